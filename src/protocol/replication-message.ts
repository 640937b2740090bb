import { ProtocolError } from '../errors.js';
import { timestampFromUnixMs } from './timestamp.js';

/*
 * Payloads of CopyData during START_REPLICATION.
 *
 *   XLogData            'w' walStart:Int64 serverWalEnd:Int64 serverTime:Int64 data:Byte[]
 *   PrimaryKeepalive    'k' serverWalEnd:Int64 serverTime:Int64 replyRequested:Byte
 *   StandbyStatusUpdate 'r' write:Int64 flush:Int64 apply:Int64 clientTime:Int64 replyRequested:Byte
 *
 * https://www.postgresql.org/docs/current/protocol-replication.html
 */

export const XLOG_DATA_TAG = 0x77; // w
export const KEEPALIVE_TAG = 0x6b; // k
/** Bytes before the data of an XLogData message. */
export const XLOG_DATA_HEADER_BYTES = 25;
const KEEPALIVE_BYTES = 18;
const STANDBY_STATUS_BYTES = 34;
const STANDBY_STATUS_TAG = 0x72; // r

export interface PrimaryKeepalive {
  readonly serverWalEnd: bigint;
  /** Microseconds since 2000-01-01 UTC. */
  readonly serverTimeUs: bigint;
  readonly replyRequested: boolean;
}

/** Reads the PrimaryKeepalive at `[start, end)`; {@link ProtocolError} when its length is wrong. */
export function parseKeepalive(bytes: Buffer, start: number, end: number): PrimaryKeepalive {
  if (end - start !== KEEPALIVE_BYTES) {
    throw new ProtocolError(`keepalive of ${end - start} bytes; expected ${KEEPALIVE_BYTES}`, {
      offset: start,
      tag: 'k',
    });
  }
  return {
    serverWalEnd: bytes.readBigUInt64BE(start + 1),
    serverTimeUs: bytes.readBigInt64BE(start + 9),
    replyRequested: bytes[start + 17] !== 0,
  };
}

/** What a client reports: how far it received, made durable and applied. */
export interface StandbyPositions {
  readonly write: bigint;
  readonly flush: bigint;
  readonly apply: bigint;
}

/** A StandbyStatusUpdate, without the CopyData framing. */
export function encodeStandbyStatus(positions: StandbyPositions, nowMs: number, replyRequested: boolean): Buffer {
  const bytes = Buffer.allocUnsafe(STANDBY_STATUS_BYTES);
  bytes[0] = STANDBY_STATUS_TAG;
  bytes.writeBigUInt64BE(positions.write, 1);
  bytes.writeBigUInt64BE(positions.flush, 9);
  bytes.writeBigUInt64BE(positions.apply, 17);
  bytes.writeBigInt64BE(timestampFromUnixMs(nowMs), 25);
  bytes[33] = replyRequested ? 1 : 0;
  return bytes;
}
