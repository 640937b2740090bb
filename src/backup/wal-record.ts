/*
 * Header of a WAL record, in the byte order of the server's machine. The CRC-32C covers what follows the header, then the header up to
 * the CRC itself.
 *
 *   XLogRecord totalLength:UInt32 xid:UInt32 prevLsn:UInt64 info:Byte rmgr:Byte pad:Byte[2] crc:UInt32
 *
 * https://github.com/postgres/postgres/blob/master/src/include/access/xlogrecord.h
 */

export const RECORD_HEADER_BYTES = 24;
/** Bytes of the header that its CRC covers. */
export const RECORD_CRC_OFFSET = 20;
/** Records begin at multiples of it. */
export const RECORD_ALIGNMENT = 8;
/** PostgreSQL makes none longer (XLogRecordMaxSize; before 16, what a server can allocate at once). */
export const MAX_RECORD_BYTES = 0x3fff_ffff;

const RMGR_XLOG = 0;
const MAX_BUILTIN_RMGR = 21;
/** From here on they are those of extensions, since 15. */
const MIN_CUSTOM_RMGR = 128;
const RMGR_INFO_MASK = 0xf0;
const XLOG_SWITCH = 0x40;

export interface WalRecordHeader {
  readonly totalLength: number;
  readonly prevLsn: bigint;
  readonly crc: number;
  /** The rest of its segment is empty. */
  readonly isSwitch: boolean;
}

/** Reads a record's header from a buffer that begins with it; a sentence when it is none. */
export function parseWalRecord(bytes: Buffer): WalRecordHeader | string {
  const totalLength = bytes.readUInt32LE(0);
  const bad = judgeRecordLength(totalLength);
  if (bad !== undefined) return bad;
  const rmgr = bytes[17];
  if (rmgr > MAX_BUILTIN_RMGR && rmgr < MIN_CUSTOM_RMGR) return `invalid resource manager ID ${rmgr}`;
  return {
    totalLength,
    prevLsn: bytes.readBigUInt64LE(8),
    crc: bytes.readUInt32LE(RECORD_CRC_OFFSET),
    isSwitch: rmgr === RMGR_XLOG && (bytes[16] & RMGR_INFO_MASK) === XLOG_SWITCH,
  };
}

export function judgeRecordLength(totalLength: number): string | undefined {
  if (totalLength < RECORD_HEADER_BYTES) {
    return `invalid record length: expected at least ${RECORD_HEADER_BYTES}, got ${totalLength}`;
  }
  return totalLength > MAX_RECORD_BYTES ? `invalid record length: ${totalLength} is too long` : undefined;
}
