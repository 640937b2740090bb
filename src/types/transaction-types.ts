import { DecodeError } from '../errors.js';
import { Lsn } from '../lsn.js';

/** Types about rows, transactions and the log: tid, xid8, pg_lsn, pg_snapshot. */

/** tid binary: uint32 block, uint16 offset. */
export function tidText(bytes: Buffer): string {
  return `(${bytes.readUInt32BE(0)},${bytes.readUInt16BE(4)})`;
}

/** xid8 binary: uint64. */
export function xid8Text(bytes: Buffer): string {
  return String(bytes.readBigUInt64BE(0));
}

/** pg_lsn binary: uint64. */
export function pgLsnText(bytes: Buffer): string {
  return Lsn.format(bytes.readBigUInt64BE(0));
}

/**
 * pg_snapshot binary: int32 count of running transactions, int64 xmin, int64 xmax, int64 for each that runs.
 *
 * @see https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
 */
export function snapshotText(bytes: Buffer): string {
  const count = bytes.readInt32BE(0);
  if (bytes.length !== 20 + 8 * count) {
    throw new DecodeError(`snapshot of ${count} transactions takes ${bytes.length} bytes`, { offset: 0 });
  }
  const running: bigint[] = [];
  for (let at = 20; at < bytes.length; at += 8) {
    running.push(bytes.readBigInt64BE(at));
  }
  return `${bytes.readBigInt64BE(4)}:${bytes.readBigInt64BE(12)}:${running.join(',')}`;
}
