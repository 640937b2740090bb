import { COMPRESSION_SUFFIXES } from './backup-compression.js';
import { isSegmentName, parseSegmentName, type WalSegment } from './wal-segment.js';

/** Suffix of a segment that is not complete. */
export const PARTIAL_SUFFIX = '.partial';

/** How pg_receivewal compresses segments. */
const WAL_COMPRESSIONS = ['gzip', 'lz4'] as const;

/** What the name of a file with WAL says. */
export interface WalFileName {
  /** Of the segment. */
  readonly name: string;
  readonly compression: (typeof WAL_COMPRESSIONS)[number] | undefined;
  readonly partial: boolean;
}

/** `undefined` for names of other files. */
export function parseWalFileName(file: string): WalFileName | undefined {
  const partial = file.endsWith(PARTIAL_SUFFIX);
  const whole = partial ? file.slice(0, -PARTIAL_SUFFIX.length) : file;
  const compression = WAL_COMPRESSIONS.find((method) => whole.endsWith(COMPRESSION_SUFFIXES[method]));
  const name = compression === undefined ? whole : whole.slice(0, -COMPRESSION_SUFFIXES[compression].length);
  return isSegmentName(name) ? { name, compression, partial } : undefined;
}

/** A file with WAL in the folder into which it is received. */
export interface WalFileFound extends WalFileName {
  /** The whole name. */
  readonly file: string;
  /** Of its WAL; `undefined`: it would have to be decompressed. */
  readonly byteCount: number | undefined;
}

export interface WalStart {
  readonly timeline: number;
  readonly startLsn: bigint;
}

/**
 * Where to go on, as pg_receivewal: after the last complete segment, or at the start of the last one that is not
 * complete. `undefined` when there is none. Complete segments of another size are none.
 */
export function judgeWalStart(files: readonly WalFileFound[], segmentBytes: number): WalStart | undefined {
  let last: (WalSegment & { readonly partial: boolean }) | undefined;
  for (const { name, partial, byteCount = segmentBytes } of files) {
    const segment = parseSegmentName(name, segmentBytes);
    if (segment === undefined || (!partial && byteCount !== segmentBytes)) continue;
    if (last === undefined || isLater(segment, partial, last)) last = { ...segment, partial };
  }
  if (last === undefined) return undefined;
  const { timeline, startLsn, partial } = last;
  return { timeline, startLsn: partial ? startLsn : startLsn + BigInt(segmentBytes) };
}

function isLater(segment: WalSegment, partial: boolean, than: WalSegment & { readonly partial: boolean }): boolean {
  if (segment.startLsn !== than.startLsn) return segment.startLsn > than.startLsn;
  if (segment.timeline !== than.timeline) return segment.timeline > than.timeline;
  return than.partial && !partial;
}
