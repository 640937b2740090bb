import { ProtocolError } from '../errors.js';
import { ByteWriter } from './byte-writer.js';
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

export interface XLogDataHeader {
  readonly walStart: bigint;
  readonly serverWalEnd: bigint;
  /** Microseconds since 2000-01-01 UTC. */
  readonly serverTimeUs: bigint;
}

/** An XLogData with its data, without the CopyData framing; {@link ConfigurationError} for what does not fit. */
export function encodeXLogData(header: XLogDataHeader, data: Uint8Array): Buffer {
  const out = new ByteWriter();
  out.uint8(XLOG_DATA_TAG, 'tag');
  out.uint64(header.walStart, 'walStart');
  out.uint64(header.serverWalEnd, 'serverWalEnd');
  out.int64(header.serverTimeUs, 'serverTimeUs');
  out.bytes(data, 'data');
  return out.take();
}

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

/** A PrimaryKeepalive, without the CopyData framing; {@link ConfigurationError} for what does not fit. */
export function encodeKeepalive(keepalive: PrimaryKeepalive): Buffer {
  const out = new ByteWriter();
  out.uint8(KEEPALIVE_TAG, 'tag');
  out.uint64(keepalive.serverWalEnd, 'serverWalEnd');
  out.int64(keepalive.serverTimeUs, 'serverTimeUs');
  out.uint8(keepalive.replyRequested ? 1 : 0, 'replyRequested');
  return out.take();
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

export interface StandbyStatus extends StandbyPositions {
  /** Microseconds since 2000-01-01 UTC. */
  readonly clientTimeUs: bigint;
  readonly replyRequested: boolean;
}

/**
 * Reads what a client sent during the COPY, without its framing; `undefined` for what is no StandbyStatusUpdate, such
 * as hot-standby feedback. {@link ProtocolError} when its length is wrong.
 */
export function parseStandbyStatus(payload: Buffer): StandbyStatus | undefined {
  if (payload[0] !== STANDBY_STATUS_TAG) return undefined;
  if (payload.length !== STANDBY_STATUS_BYTES) {
    throw new ProtocolError(`standby status of ${payload.length} bytes; expected ${STANDBY_STATUS_BYTES}`, {
      offset: 0,
      tag: 'r',
    });
  }
  return {
    write: payload.readBigUInt64BE(1),
    flush: payload.readBigUInt64BE(9),
    apply: payload.readBigUInt64BE(17),
    clientTimeUs: payload.readBigInt64BE(25),
    replyRequested: payload[33] !== 0,
  };
}
