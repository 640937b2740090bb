import { Lsn } from '../lsn.js';
import type { WalSegmentHeader } from './wal-page.js';
import { type WalFault, WalScanner } from './wal-scanner.js';
import { segmentName, segmentStart } from './wal-segment.js';

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

/** As one line: what a person is told. */
export function describeWalProblem({ lsn, problem }: WalProblem, timeline: number): string {
  return `WAL parsing failed for timeline ${timeline}, at ${Lsn.format(lsn)}: ${problem}`;
}

/** Checks a range of WAL segment by segment, wherever they come from. */
export class WalRangeScan {
  readonly #timeline: number;
  readonly #sizes: Pick<WalSegmentHeader, 'segmentBytes' | 'pageBytes'>;
  readonly #scanner: WalScanner;
  #segment: string | undefined;
  #segmentLsn = 0n;
  /** Whether the first page of the segment was seen: what tells whose it is stands there. */
  #isOpened = false;

  constructor(range: WalRangeToVerify, sizes: Pick<WalSegmentHeader, 'segmentBytes' | 'pageBytes'>) {
    this.#timeline = range.timeline;
    this.#sizes = sizes;
    this.#scanner = new WalScanner({ ...range, ...sizes });
  }

  get pageBytes(): number {
    return this.#sizes.pageBytes;
  }

  /** The segment that is to come next; `undefined` when nothing more is. */
  get wanted(): string | undefined {
    const pageLsn = this.#scanner.nextPageLsn;
    if (pageLsn === undefined) return undefined;
    const { segmentBytes } = this.#sizes;
    return segmentName({ timeline: this.#timeline, startLsn: segmentStart(pageLsn, segmentBytes) }, segmentBytes);
  }

  /** {@link wanted} comes, and has so many bytes. */
  begin(byteCount: number): void {
    const { segmentBytes } = this.#sizes;
    this.#segment = this.wanted;
    this.#segmentLsn = segmentStart(this.#scanner.nextPageLsn ?? 0n, segmentBytes);
    this.#isOpened = false;
    if (byteCount !== segmentBytes) this.lacks(`its segment has ${byteCount} bytes, not ${segmentBytes}`);
  }

  /** Where in the segment the page lies that is to come next; `undefined` when nothing more of the segment is. */
  get nextOffset(): number | undefined {
    const pageLsn = this.#scanner.nextPageLsn;
    if (pageLsn === undefined) return undefined;
    if (!this.#isOpened) return 0;
    const offset = Number(pageLsn - this.#segmentLsn);
    return offset < this.#sizes.segmentBytes ? offset : undefined;
  }

  /** Takes the page of {@link nextOffset}, which lies at `at` in `bytes`. */
  page(bytes: Buffer, at: number): void {
    const offset = this.nextOffset;
    if (offset === undefined) return;
    this.#isOpened = true;
    this.#scanner.page(bytes, at, this.#segmentLsn + BigInt(offset));
  }

  /** What is to come cannot be had. */
  lacks(problem: string): void {
    this.#scanner.missing(problem);
  }

  /** {@link wanted} is not there. */
  lacksSegment(): void {
    this.#segment = this.wanted;
    this.lacks(`the segment ${this.#segment} is missing`);
  }

  /** `undefined` when everything is there and whole. */
  get problem(): WalProblem | undefined {
    const { fault } = this.#scanner;
    return fault && { ...fault, segment: this.#segment };
  }
}
