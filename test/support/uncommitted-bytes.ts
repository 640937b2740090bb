import { text } from '../connection/backend-bytes.js';
import { uint32, uint64 } from './pgoutput-bytes.js';

/*
 * Encodes messages of protocols 2 to 4, for tests: transactions that are sent before they commit.
 * https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */

export function streamStart(message: { xid: number; isFirst: boolean }): Buffer {
  return Buffer.concat([Buffer.from('S'), uint32(message.xid), Buffer.of(message.isFirst ? 1 : 0)]);
}

export function streamStop(): Buffer {
  return Buffer.from('E');
}

/** A message as it is in a streamed block: the xid of the subtransaction after its tag. */
export function inBlock(subxid: number, message: Buffer): Buffer {
  return Buffer.concat([message.subarray(0, 1), uint32(subxid), message.subarray(1)]);
}

export function streamCommit(message: { xid: number; commitLsn: bigint; commitEndLsn: bigint }): Buffer {
  const { xid, commitLsn, commitEndLsn } = message;
  return Buffer.concat([
    Buffer.from('c'),
    uint32(xid),
    Buffer.of(0),
    uint64(commitLsn),
    uint64(commitEndLsn),
    uint64(0n),
  ]);
}

export function streamAbort(message: { xid: number; subxid: number; abortLsn?: bigint }): Buffer {
  const { xid, subxid, abortLsn } = message;
  const position = abortLsn === undefined ? [] : [uint64(abortLsn), uint64(0n)];
  return Buffer.concat([Buffer.from('A'), uint32(xid), uint32(subxid), ...position]);
}

export interface PreparedBytes {
  readonly xid: number;
  readonly gid: string;
  readonly prepareLsn: bigint;
  readonly prepareEndLsn: bigint;
}

export function beginPrepare(message: PreparedBytes): Buffer {
  return Buffer.concat([Buffer.from('b'), preparedFields(message)]);
}

export function prepare(message: PreparedBytes): Buffer {
  return Buffer.concat([Buffer.from('P\0'), preparedFields(message)]);
}

export function streamPrepare(message: PreparedBytes): Buffer {
  return Buffer.concat([Buffer.from('p\0'), preparedFields(message)]);
}

function preparedFields({ xid, gid, prepareLsn, prepareEndLsn }: PreparedBytes): Buffer {
  return Buffer.concat([uint64(prepareLsn), uint64(prepareEndLsn), uint64(0n), uint32(xid), text(gid)]);
}

export function commitPrepared(message: { xid: number; gid: string; commitLsn: bigint; commitEndLsn: bigint }): Buffer {
  const { xid, gid, commitLsn, commitEndLsn } = message;
  return Buffer.concat([
    Buffer.from('K\0'),
    uint64(commitLsn),
    uint64(commitEndLsn),
    uint64(0n),
    uint32(xid),
    text(gid),
  ]);
}

export function rollbackPrepared(message: {
  xid: number;
  gid: string;
  prepareEndLsn: bigint;
  rollbackEndLsn: bigint;
}): Buffer {
  const { xid, gid, prepareEndLsn, rollbackEndLsn } = message;
  return Buffer.concat([
    Buffer.from('r\0'),
    uint64(prepareEndLsn),
    uint64(rollbackEndLsn),
    uint64(0n),
    uint64(0n),
    uint32(xid),
    text(gid),
  ]);
}
