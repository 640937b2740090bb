import { encodeMessage } from '../pgoutput/encoder.js';
import { encodeCopyData } from '../protocol/copy-data.js';
import { encodeXLogData } from '../protocol/replication-message.js';

/**
 * What a server says that rolls back streamed transactions: the end of the block that is open, and a Stream Abort for
 * each. For those that it may never name again, because the connection was lost.
 */
export function streamedRollback(xids: readonly number[], openBlock: number | undefined): Buffer {
  const messages = xids.map((xid) => encodeMessage({ kind: 'streamAbort', xid, subxid: xid }));
  if (openBlock !== undefined) messages.unshift(encodeMessage({ kind: 'streamStop' }));
  const header = { walStart: 0n, serverWalEnd: 0n, serverTimeUs: 0n };
  return Buffer.concat(messages.map((message) => encodeCopyData(encodeXLogData(header, message))));
}
