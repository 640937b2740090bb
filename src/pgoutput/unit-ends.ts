import { isTransactional } from './control-message.js';
import { MessageTag } from './message-tag.js';
import { STREAMED_XID_BYTES } from './stream-message.js';

/**
 * Follows the messages of one stream, undecoded, and tells where the units end that a client confirms: transactions,
 * prepared or not, and messages that stand alone.
 */
export class UnitEnds {
  #inStreamedBlock = false;

  get inStreamedBlock(): boolean {
    return this.#inStreamedBlock;
  }

  /** The position to confirm when this message, the next of the stream, ends a unit; else `undefined`. */
  after(data: Buffer): bigint | undefined {
    switch (data[0]) {
      case MessageTag.streamStart:
        this.#inStreamedBlock = true;
        return undefined;
      case MessageTag.streamStop:
        this.#inStreamedBlock = false;
        return undefined;
      case MessageTag.streamCommit:
        // tag xid:Int32 flags:Int8 commitLsn:Int64 endLsn:Int64
        return lsnAt(data, 14);
      case MessageTag.commit:
      case MessageTag.prepare:
      case MessageTag.streamPrepare:
      case MessageTag.commitPrepared:
      case MessageTag.rollbackPrepared:
        // tag flags:Int8 lsn:Int64 endLsn:Int64
        return lsnAt(data, 10);
      case MessageTag.message: {
        // tag [xid:Int32] flags:Int8 lsn:Int64
        const flagsAt = this.#inStreamedBlock ? 1 + STREAMED_XID_BYTES : 1;
        return isTransactional(data[flagsAt] ?? 0) ? undefined : lsnAt(data, flagsAt + 1);
      }
      default:
        return undefined;
    }
  }
}

function lsnAt(data: Buffer, offset: number): bigint | undefined {
  return data.length >= offset + 8 ? data.readBigUInt64BE(offset) : undefined;
}
