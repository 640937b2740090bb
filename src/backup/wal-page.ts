import { isSegmentSize } from './wal-segment.js';

/*
 * Header of a WAL page, in the byte order of the server's machine (little-endian wherever it runs today). The first page of a segment has the
 * long form.
 *
 *   XLogPageHeader     magic:UInt16 info:UInt16 timeline:UInt32 pageAddress:UInt64 remainingLength:UInt32 pad:Byte[4]
 *   XLogLongPageHeader XLogPageHeader systemIdentifier:UInt64 segmentSize:UInt32 pageSize:UInt32
 *
 * https://github.com/postgres/postgres/blob/master/src/include/access/xlog_internal.h
 */

export const PAGE_HEADER_BYTES = 24;
export const LONG_PAGE_HEADER_BYTES = 40;

/** What the page begins with is the rest of a record that began before. */
const FIRST_IS_CONTRECORD = 0x0001;
const LONG_HEADER = 0x0002;
/** The record that the page before left unfinished was never finished: a crash came between. */
const FIRST_IS_OVERWRITE_CONTRECORD = 0x0008;
const ALL_FLAGS = 0x000f;

/** XLOG_PAGE_MAGIC of each major version. */
const MAJOR_OF_MAGIC: ReadonlyMap<number, number> = new Map([
  [0xd10d, 14],
  [0xd110, 15],
  [0xd113, 16],
  [0xd116, 17],
  [0xd118, 18],
]);

export interface WalPageHeader {
  /** Major version of the server that wrote it. */
  readonly major: number;
  readonly headerBytes: number;
  readonly timeline: number;
  readonly pageLsn: bigint;
  /** Bytes of a record that began before and goes on here; 0: none does. */
  readonly remainingLength: number;
  readonly continuesRecord: boolean;
  readonly overwritesRecord: boolean;
  /** Of the long form. */
  readonly segment: WalSegmentHeader | undefined;
}

export interface WalSegmentHeader {
  readonly systemIdentifier: bigint;
  readonly segmentBytes: number;
  readonly pageBytes: number;
}

/**
 * Reads the header of the page at `at`, of which at least {@link LONG_PAGE_HEADER_BYTES} must be there; a sentence when it is
 * none.
 */
export function parseWalPage(bytes: Buffer, at: number): WalPageHeader | string {
  const magic = bytes.readUInt16LE(at);
  const major = MAJOR_OF_MAGIC.get(magic);
  if (major === undefined) return `invalid magic number ${magic.toString(16).toUpperCase().padStart(4, '0')}`;
  const info = bytes.readUInt16LE(at + 2);
  if ((info & ~ALL_FLAGS) !== 0) return `invalid info bits ${info.toString(16).toUpperCase().padStart(4, '0')}`;
  const isLong = (info & LONG_HEADER) !== 0;
  let segment: WalSegmentHeader | undefined;
  if (isLong) {
    const segmentBytes = bytes.readUInt32LE(at + 32);
    const pageBytes = bytes.readUInt32LE(at + 36);
    if (!isSegmentSize(segmentBytes)) return `invalid segment size ${segmentBytes}`;
    if (!isPageSize(pageBytes)) return `invalid page size ${pageBytes}`;
    segment = { systemIdentifier: bytes.readBigUInt64LE(at + 24), segmentBytes, pageBytes };
  }
  return {
    major,
    headerBytes: isLong ? LONG_PAGE_HEADER_BYTES : PAGE_HEADER_BYTES,
    timeline: bytes.readUInt32LE(at + 4),
    pageLsn: bytes.readBigUInt64LE(at + 8),
    remainingLength: bytes.readUInt32LE(at + 16),
    continuesRecord: (info & FIRST_IS_CONTRECORD) !== 0,
    overwritesRecord: (info & FIRST_IS_OVERWRITE_CONTRECORD) !== 0,
    segment,
  };
}

/** What the first {@link LONG_PAGE_HEADER_BYTES} of a segment say of all of them; a sentence when they do not. */
export function parseSegmentHeader(bytes: Buffer, name: string): WalSegmentHeader | string {
  if (bytes.length < LONG_PAGE_HEADER_BYTES) return `the segment ${name} is too short`;
  const header = parseWalPage(bytes, 0);
  if (typeof header === 'string') return `${header} in the page header of the segment ${name}`;
  return header.segment ?? `the segment ${name} begins without a long page header`;
}

/** Sizes that configure's --with-wal-blocksize allows. */
function isPageSize(bytes: number): boolean {
  return bytes >= 1024 && bytes <= 65_536 && (bytes & (bytes - 1)) === 0;
}
