import { parseSegmentName, type WalSegment } from './wal-segment.js';

/** Suffix of a segment that is not complete. */
export const PARTIAL_SUFFIX = '.partial';

/** A file in the folder into which WAL is received. */
export interface WalFileFound {
  readonly name: string;
  readonly byteCount: number;
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
  for (const { name, byteCount } of files) {
    const partial = name.endsWith(PARTIAL_SUFFIX);
    const segment = parseSegmentName(partial ? name.slice(0, -PARTIAL_SUFFIX.length) : name, segmentBytes);
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
