import { Lsn } from '../lsn.js';
import { LONG_PAGE_HEADER_BYTES, parseWalPage, type WalSegmentHeader } from './wal-page.js';
import { type WalFault, WalScanner } from './wal-scanner.js';
import { segmentName, segmentStart } from './wal-segment.js';
import type { WalSegmentFile, WalSource } from './wal-source.js';

/** Bytes read at once: a multiple of every size of page. */
const READ_BYTES = 1024 * 1024;

export interface WalRangeToVerify {
  readonly timeline: number;
  readonly startLsn: bigint;
  readonly endLsn: bigint;
  readonly systemIdentifier: bigint | undefined;
}

/** What is wrong with WAL, and the segment in which it was found. */
export interface WalProblem extends WalFault {
  /** `undefined` when there is no segment at all. */
  readonly segment: string | undefined;
}

/**
 * Checks that every record from `startLsn` to `endLsn` is there and whole. Gives the first fault: `undefined` when there is
 * none. Errors of the system, such as EACCES, are thrown.
 */
export async function verifyWalRange(
  source: WalSource,
  range: WalRangeToVerify,
  signal?: AbortSignal,
): Promise<WalProblem | undefined> {
  const sizes = await readSizes(source);
  if (typeof sizes === 'string') return { lsn: range.startLsn, problem: sizes, segment: undefined };
  const { segmentBytes, pageBytes } = sizes;
  const scanner = new WalScanner({ ...range, segmentBytes, pageBytes });
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  let segment: string | undefined;
  for (;;) {
    signal?.throwIfAborted();
    const pageLsn = scanner.nextPageLsn;
    if (pageLsn === undefined) break;
    const startLsn = segmentStart(pageLsn, segmentBytes);
    segment = segmentName({ timeline: range.timeline, startLsn }, segmentBytes);
    const file = await source.open(segment);
    if (file === undefined) {
      scanner.missing(`the segment ${segment} is missing`);
      break;
    }
    try {
      await scanSegment(scanner, file, startLsn, { segmentBytes, pageBytes, buffer });
    } finally {
      await file.close();
    }
  }
  return scanner.fault && { ...scanner.fault, segment };
}

/** As one line: what a person is told. */
export function describeWalProblem({ lsn, problem }: WalProblem, timeline: number): string {
  return `WAL parsing failed for timeline ${timeline}, at ${Lsn.format(lsn)}: ${problem}`;
}

interface SegmentReading {
  readonly segmentBytes: number;
  readonly pageBytes: number;
  readonly buffer: Buffer;
}

/** Reads until the scanner needs another segment, or nothing more. */
async function scanSegment(
  scanner: WalScanner,
  file: WalSegmentFile,
  startLsn: bigint,
  { segmentBytes, pageBytes, buffer }: SegmentReading,
): Promise<void> {
  if (file.byteCount !== segmentBytes) {
    scanner.missing(`its segment has ${file.byteCount} bytes, not ${segmentBytes}`);
    return;
  }
  const endLsn = startLsn + BigInt(segmentBytes);
  let pageLsn = scanner.nextPageLsn;
  if (pageLsn !== startLsn) {
    // What tells whose segment it is stands in its first page.
    const first = buffer.subarray(0, await file.read(buffer.subarray(0, pageBytes), 0));
    scanner.page(first, 0, startLsn);
    pageLsn = scanner.nextPageLsn;
  }
  while (pageLsn !== undefined && pageLsn < endLsn) {
    const position = Number(pageLsn - startLsn);
    const filled = await file.read(buffer, position);
    if (filled === 0) {
      scanner.missing('its segment became shorter while it was read');
      return;
    }
    const bytes = buffer.subarray(0, filled);
    for (let at = 0; at < filled && pageLsn !== undefined && pageLsn < endLsn; at += pageBytes) {
      if (Number(pageLsn - startLsn) !== position + at) break;
      scanner.page(bytes, at, pageLsn);
      pageLsn = scanner.nextPageLsn;
    }
  }
}

async function readSizes(source: WalSource): Promise<WalSegmentHeader | string> {
  const name = await source.anySegment();
  const file = name === undefined ? undefined : await source.open(name);
  if (file === undefined) return 'there is no WAL segment';
  try {
    const bytes = Buffer.alloc(LONG_PAGE_HEADER_BYTES);
    if ((await file.read(bytes, 0)) < bytes.length) return `the segment ${name} is too short`;
    const header = parseWalPage(bytes, 0);
    if (typeof header === 'string') return `${header} in the page header of the segment ${name}`;
    return header.segment ?? `the segment ${name} begins without a long page header`;
  } finally {
    await file.close();
  }
}
