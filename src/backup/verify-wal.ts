import { LONG_PAGE_HEADER_BYTES, parseSegmentHeader, type WalSegmentHeader } from './wal-page.js';
import { type WalProblem, WalRangeScan, type WalRangeToVerify } from './wal-range-scan.js';
import type { WalSegmentFile, WalSource } from './wal-source.js';

/** Bytes read at once: a multiple of every size of page. */
const READ_BYTES = 1024 * 1024;

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
  const scan = new WalRangeScan(range, sizes);
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  for (let name = scan.wanted; name !== undefined; name = scan.wanted) {
    signal?.throwIfAborted();
    const file = await source.open(name);
    if (file === undefined) {
      scan.lacksSegment();
      break;
    }
    try {
      scan.begin(file.byteCount);
      await scanSegment(scan, file, buffer);
    } finally {
      await file.close();
    }
  }
  return scan.problem;
}

/** Reads until the scan needs another segment, or nothing more. */
async function scanSegment(scan: WalRangeScan, file: WalSegmentFile, buffer: Buffer): Promise<void> {
  for (let offset = scan.nextOffset; offset !== undefined; offset = scan.nextOffset) {
    const bytes = buffer.subarray(0, await file.read(buffer, offset));
    if (bytes.length === 0) {
      scan.lacks('its segment became shorter while it was read');
      return;
    }
    for (let at = 0; at < bytes.length && scan.nextOffset === offset + at; at += scan.pageBytes) scan.page(bytes, at);
  }
}

async function readSizes(source: WalSource): Promise<WalSegmentHeader | string> {
  const name = await source.anySegment();
  const file = name === undefined ? undefined : await source.open(name);
  if (file === undefined || name === undefined) return 'there is no WAL segment';
  try {
    const bytes = Buffer.alloc(LONG_PAGE_HEADER_BYTES);
    return parseSegmentHeader(bytes.subarray(0, await file.read(bytes, 0)), name);
  } finally {
    await file.close();
  }
}
