import { LONG_PAGE_HEADER_BYTES, parseSegmentHeader, type WalSegmentHeader } from './wal-page.js';
import { type WalProblem, WalRangeScan, type WalRangeToVerify } from './wal-range-scan.js';
import { isSegmentName } from './wal-segment.js';

/** What was found of each range, in their order: `undefined` where there is nothing wrong. */
export type WalVerdicts = readonly (WalProblem | undefined)[];

/**
 * Checks ranges of WAL as an archive is read that can only be read from its beginning. Segments lie in their order there, and
 * one reading is enough; another packer's order takes more, but no more memory.
 */
export class WalArchiveScan {
  readonly #ranges: readonly WalRangeToVerify[];
  /** Names of all segments that there are. */
  readonly #seen = new Set<string>();
  #segment = '';
  #segmentBytes = 0;
  /** The beginning of the first segment, which tells how large they all are. */
  readonly #head = Buffer.alloc(LONG_PAGE_HEADER_BYTES);
  #headBytes = 0;
  #sizes: WalSegmentHeader | string | undefined;
  #scans: readonly WalRangeScan[] = [];
  /** Those whose segment is being read. */
  #feeds: readonly SegmentFeed[] = [];
  #hasRead = false;

  constructor(ranges: readonly WalRangeToVerify[]) {
    this.#ranges = ranges;
  }

  /** A file begins, by its name in `pg_wal`. */
  begin(name: string, byteCount: number): void {
    this.#segment = isSegmentName(name) ? name : '';
    if (this.#segment === '') return;
    this.#seen.add(name);
    this.#segmentBytes = byteCount;
    this.#feed();
  }

  push(bytes: Buffer, start: number, end: number): void {
    if (this.#segment === '') return;
    let at = start;
    if (this.#sizes === undefined) {
      const count = Math.min(this.#head.length - this.#headBytes, end - at);
      bytes.copy(this.#head, this.#headBytes, at, at + count);
      this.#headBytes += count;
      at += count;
      if (this.#headBytes === this.#head.length) this.#learnSizes();
    }
    for (const feed of this.#feeds) feed.push(bytes, at, end);
  }

  /** The file was whole. */
  end(): void {
    if (this.#segment !== '' && this.#sizes === undefined) this.#learnSizes();
    this.#segment = '';
    this.#feeds = [];
  }

  /** The archive was read to its end: whether it is to be read again, because a segment came before its turn. */
  endReading(): boolean {
    const isMissed = ({ wanted }: WalRangeScan) => wanted !== undefined && this.#seen.has(wanted);
    const again = this.#hasRead && this.#scans.some(isMissed);
    this.#hasRead = false;
    return again;
  }

  /** Nothing more can be read; `undefined` when there was no segment at all. */
  judge(): WalVerdicts | undefined {
    if (this.#seen.size === 0) return undefined;
    if (this.#segment !== '' && this.#sizes === undefined) this.#learnSizes();
    const sizes = this.#sizes;
    if (typeof sizes === 'string') {
      return this.#ranges.map(({ startLsn }) => ({ lsn: startLsn, problem: sizes, segment: undefined }));
    }
    for (const { scan } of this.#feeds) if (scan.nextOffset !== undefined) scan.lacks('its segment is cut off');
    for (const scan of this.#scans) if (scan.wanted !== undefined) scan.lacksSegment();
    return this.#scans.map(({ problem }) => problem);
  }

  #learnSizes(): void {
    const head = this.#head.subarray(0, this.#headBytes);
    const sizes = parseSegmentHeader(head, this.#segment);
    this.#sizes = sizes;
    if (typeof sizes === 'string') return;
    this.#scans = this.#ranges.map((range) => new WalRangeScan(range, sizes));
    this.#feed();
    for (const feed of this.#feeds) feed.push(head, 0, head.length);
  }

  /** The segment that begins goes to whoever waits for it. */
  #feed(): void {
    const waiting = this.#scans.filter(({ wanted }) => wanted === this.#segment);
    for (const scan of waiting) scan.begin(this.#segmentBytes);
    this.#feeds = waiting.map((scan) => new SegmentFeed(scan));
    if (waiting.length > 0) this.#hasRead = true;
  }
}

/** Cuts a segment that comes in pieces into pages. */
class SegmentFeed {
  readonly scan: WalRangeScan;
  readonly #page: Buffer;
  #filled = 0;
  #offset = 0;

  constructor(scan: WalRangeScan) {
    this.scan = scan;
    this.#page = Buffer.allocUnsafe(scan.pageBytes);
  }

  push(bytes: Buffer, start: number, end: number): void {
    const pageBytes = this.#page.length;
    for (let at = start; at < end; ) {
      const next = this.scan.nextOffset;
      if (next === undefined) return;
      if (this.#offset < next) {
        const skipped = Math.min(next - this.#offset, end - at);
        this.#offset += skipped;
        at += skipped;
      } else if (this.#filled === 0 && end - at >= pageBytes) {
        this.scan.page(bytes.subarray(0, end), at);
        this.#offset += pageBytes;
        at += pageBytes;
      } else {
        const count = Math.min(pageBytes - this.#filled, end - at);
        bytes.copy(this.#page, this.#filled, at, at + count);
        this.#filled += count;
        at += count;
        if (this.#filled < pageBytes) continue;
        this.#filled = 0;
        this.scan.page(this.#page, 0);
        this.#offset += pageBytes;
      }
    }
  }
}
