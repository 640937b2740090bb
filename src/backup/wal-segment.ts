import { ProtocolError } from '../errors.js';

/** Sizes that initdb's --wal-segsize allows. */
export const MIN_SEGMENT_BYTES = 1024 * 1024;
export const MAX_SEGMENT_BYTES = 1024 * 1024 * 1024;

const SEGMENT_NAME = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})$/;
const BYTES_PER_LOG_FILE = 0x1_0000_0000;

/** A segment: `segmentBytes` of WAL of one timeline, from `startLsn` on. */
export interface WalSegment {
  readonly timeline: number;
  readonly startLsn: bigint;
}

export function isSegmentSize(bytes: number): boolean {
  return bytes >= MIN_SEGMENT_BYTES && bytes <= MAX_SEGMENT_BYTES && (bytes & (bytes - 1)) === 0;
}

/** The position rounded down to where its segment starts. */
export function segmentStart(lsn: bigint, segmentBytes: number): bigint {
  return lsn - (lsn % BigInt(segmentBytes));
}

/**
 * Name of the file of a segment: timeline, high half of the position, number of the segment in its 4 GiB, each as
 * eight hexadecimal digits.
 *
 * @see https://www.postgresql.org/docs/current/wal-internals.html
 */
export function segmentName({ timeline, startLsn }: WalSegment, segmentBytes: number): string {
  const high = Number(startLsn >> 32n);
  const number = Math.floor(Number(startLsn & 0xffff_ffffn) / segmentBytes);
  return `${hex8(timeline)}${hex8(high)}${hex8(number)}`;
}

/** The segment that a file is named after; `undefined` when it is none's name. */
export function parseSegmentName(name: string, segmentBytes: number): WalSegment | undefined {
  const [, timeline, high, number] = SEGMENT_NAME.exec(name) ?? [];
  if (timeline === undefined || high === undefined || number === undefined) return undefined;
  const offset = Number.parseInt(number, 16) * segmentBytes;
  if (offset >= BYTES_PER_LOG_FILE) return undefined;
  return { timeline: Number.parseInt(timeline, 16), startLsn: (BigInt(`0x${high}`) << 32n) + BigInt(offset) };
}

export function isSegmentName(name: string): boolean {
  return SEGMENT_NAME.test(name);
}

/** Name of the file that tells where the timelines before this one were left. */
export function historyFileName(timeline: number): string {
  return `${hex8(timeline)}.history`;
}

/** What `SHOW wal_segment_size` says (`16MB`, `1GB`) in bytes. */
export function parseSegmentSize(text: string | null | undefined): number {
  const [, number, unit] = /^(\d{1,4})(MB|GB)$/.exec(text ?? '') ?? [];
  const bytes = Number(number) * (unit === 'GB' ? 1024 ** 3 : 1024 ** 2);
  if (isSegmentSize(bytes)) return bytes;
  throw new ProtocolError(`the server's wal_segment_size cannot be read: ${JSON.stringify(text)}`, { offset: 0 });
}

function hex8(value: number): string {
  return value.toString(16).toUpperCase().padStart(8, '0');
}
