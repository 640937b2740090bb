import { crc32c } from '@node-rs/crc32';
import { Lsn } from '../lsn.js';
import { parseWalPage, type WalPageHeader } from './wal-page.js';
import {
  judgeRecordLength,
  parseWalRecord,
  RECORD_ALIGNMENT,
  RECORD_CRC_OFFSET,
  RECORD_HEADER_BYTES,
  type WalRecordHeader,
} from './wal-record.js';

/** The WAL that is to be there, and what is known of where it comes from. */
export interface WalScanRange {
  readonly timeline: number;
  /** Where a record begins. */
  readonly startLsn: bigint;
  /** Where a record ends. */
  readonly endLsn: bigint;
  readonly segmentBytes: number;
  readonly pageBytes: number;
  /** Where it is known. */
  readonly systemIdentifier?: bigint | undefined;
}

/** What is wrong with the WAL, and where. */
export interface WalFault {
  readonly lsn: bigint;
  readonly problem: string;
}

/**
 * Checks WAL page by page, as the server's own reader does: page headers, record headers, the CRC of every record, and
 * that each record names the one before. Stops at the first fault, since nothing after it can be told.
 *
 * It keeps no record: a CRC is taken as its bytes come, so that no length in the WAL makes it allocate anything.
 *
 * @see https://github.com/postgres/postgres/blob/master/src/backend/access/transam/xlogreader.c
 */
export class WalScanner {
  readonly #range: WalScanRange;
  #fault: WalFault | undefined;
  #major: number | undefined;
  #timeline = 0;
  /** Where the next byte of WAL is looked for. */
  #lsn: bigint;
  /** Of the last whole record; `undefined` before the first. */
  #lastRecordLsn: bigint | undefined;
  #records = 0;

  /** The record that is being read. */
  #recordLsn = 0n;
  readonly #header = Buffer.alloc(RECORD_HEADER_BYTES);
  #headerFilled = 0;
  #totalLength = 0;
  #parsed: WalRecordHeader | undefined;
  /** Bytes of the record that are still to come, 0 between records. */
  #missing = 0;
  #crc = 0;

  constructor(range: WalScanRange) {
    this.#range = range;
    this.#lsn = range.startLsn;
  }

  /** Where the page starts that is to come next; `undefined` when all was read, or nothing more can be. */
  get nextPageLsn(): bigint | undefined {
    if (this.#fault !== undefined || this.done) return undefined;
    return this.#lsn - (this.#lsn % BigInt(this.#range.pageBytes));
  }

  /** Whether every record up to the end was read. */
  get done(): boolean {
    return this.#missing === 0 && this.#lsn >= this.#range.endLsn;
  }

  get fault(): WalFault | undefined {
    return this.#fault;
  }

  get records(): number {
    return this.#records;
  }

  /**
   * Takes the page that starts at `pageLsn` and lies at `at` in `bytes`, whole. Pages other than {@link nextPageLsn} (what
   * is before the range or after a switch) have only their headers checked.
   */
  page(bytes: Buffer, at: number, pageLsn: bigint): void {
    if (this.#fault !== undefined) return;
    const { pageBytes } = this.#range;
    if (bytes.length - at < pageBytes) {
      this.#fail(pageLsn, `the page is cut off: ${bytes.length - at} of ${pageBytes} bytes`);
      return;
    }
    const expected = this.nextPageLsn;
    const header = parseWalPage(bytes, at);
    if (typeof header === 'string') {
      this.#fail(pageLsn, `${header} in the page header`);
      return;
    }
    const problem = this.#judgePage(header, pageLsn);
    if (problem !== undefined) this.#fail(pageLsn, problem);
    else if (pageLsn === expected) this.#readPage(bytes, at, pageLsn, header);
  }

  /** What is to come cannot be had. */
  missing(problem: string): void {
    if (this.nextPageLsn !== undefined) this.#fail(this.#lsn, problem);
  }

  #judgePage(header: WalPageHeader, pageLsn: bigint): string | undefined {
    const { segmentBytes, pageBytes, systemIdentifier, timeline } = this.#range;
    this.#major ??= header.major;
    if (header.major !== this.#major) return `a page of PostgreSQL ${header.major} among those of ${this.#major}`;
    if (header.pageLsn !== pageLsn) return `unexpected page address ${Lsn.format(header.pageLsn)}`;
    const opensSegment = pageLsn % BigInt(segmentBytes) === 0n;
    if (opensSegment !== (header.segment !== undefined)) {
      return opensSegment ? 'the segment begins without a long page header' : 'a long page header inside a segment';
    }
    if (header.segment !== undefined) {
      if (systemIdentifier !== undefined && header.segment.systemIdentifier !== systemIdentifier) {
        return `WAL of another system: its identifier is ${header.segment.systemIdentifier}, not ${systemIdentifier}`;
      }
      if (header.segment.segmentBytes !== segmentBytes) return `unexpected segment size ${header.segment.segmentBytes}`;
      if (header.segment.pageBytes !== pageBytes) return `unexpected page size ${header.segment.pageBytes}`;
    }
    // The segment in which a timeline began holds pages of the one before.
    if (header.timeline < this.#timeline || header.timeline > timeline || header.timeline === 0) {
      return `unexpected timeline ${header.timeline}`;
    }
    this.#timeline = header.timeline;
    return undefined;
  }

  #readPage(bytes: Buffer, at: number, pageLsn: bigint, header: WalPageHeader): void {
    const pageEnd = at + this.#range.pageBytes;
    let position = at + Number(this.#lsn - pageLsn);
    if (position === at) {
      if (!this.#enterPage(header, pageLsn)) return;
      position = at + header.headerBytes;
    } else if (position < at + header.headerBytes) {
      this.#fail(this.#lsn, 'no record can begin inside a page header');
      return;
    }
    for (;;) {
      this.#lsn = pageLsn + BigInt(position - at);
      if (this.#lsn >= this.#range.endLsn) {
        const exact = this.#missing === 0 && this.#lsn === this.#range.endLsn;
        if (!exact) this.#fail(this.#recordLsn, this.#ofRecord(`crosses ${Lsn.format(this.#range.endLsn)}`));
        return;
      }
      if (position === pageEnd) return;
      if (this.#missing === 0 && !this.#beginRecord(bytes, position)) return;
      const count = Math.min(this.#missing, pageEnd - position);
      if (!this.#take(bytes, position, count)) return;
      position += count;
      if (this.#missing > 0) continue;
      if (!this.#endRecord()) return;
      if (this.#parsed?.isSwitch) {
        const { segmentBytes } = this.#range;
        // A record that ends where its segment does leaves nothing empty.
        const recordEnd = pageLsn + BigInt(position - at);
        const rest = recordEnd % BigInt(segmentBytes);
        this.#lsn = rest === 0n ? recordEnd : recordEnd - rest + BigInt(segmentBytes);
        return;
      }
      position = at + align(position - at);
    }
  }

  /** The page's first byte is the next to be read. */
  #enterPage(header: WalPageHeader, pageLsn: bigint): boolean {
    if (this.#missing === 0) {
      return header.continuesRecord ? this.#fail(pageLsn, 'the page goes on with a record that did not begin') : true;
    }
    if (header.overwritesRecord) {
      this.#missing = 0;
      return true;
    }
    if (!header.continuesRecord) return this.#fail(pageLsn, this.#ofRecord('does not go on'));
    return header.remainingLength === this.#missing
      ? true
      : this.#fail(pageLsn, this.#ofRecord(`lacks ${this.#missing} bytes, not ${header.remainingLength}`));
  }

  /** Its length always lies on its first page, since records are aligned. */
  #beginRecord(bytes: Buffer, position: number): boolean {
    const totalLength = bytes.readUInt32LE(position);
    const problem = judgeRecordLength(totalLength);
    if (problem !== undefined) return this.#fail(this.#lsn, problem);
    this.#recordLsn = this.#lsn;
    this.#totalLength = totalLength;
    this.#missing = totalLength;
    this.#headerFilled = 0;
    this.#parsed = undefined;
    this.#crc = 0;
    return true;
  }

  #take(bytes: Buffer, position: number, count: number): boolean {
    const headerPart = Math.min(RECORD_HEADER_BYTES - this.#headerFilled, count);
    if (headerPart > 0) {
      bytes.copy(this.#header, this.#headerFilled, position, position + headerPart);
      this.#headerFilled += headerPart;
      if (this.#headerFilled === RECORD_HEADER_BYTES && !this.#checkHeader()) return false;
    }
    if (count > headerPart) this.#crc = crc32c(bytes.subarray(position + headerPart, position + count), this.#crc);
    this.#missing -= count;
    return true;
  }

  #checkHeader(): boolean {
    const parsed = parseWalRecord(this.#header);
    if (typeof parsed === 'string') return this.#fail(this.#recordLsn, parsed);
    const { prevLsn } = parsed;
    const last = this.#lastRecordLsn;
    if (last === undefined ? prevLsn >= this.#recordLsn : prevLsn !== last) {
      return this.#fail(this.#recordLsn, `the record has incorrect prev-link ${Lsn.format(prevLsn)}`);
    }
    this.#parsed = parsed;
    return true;
  }

  #endRecord(): boolean {
    const crc = crc32c(this.#header.subarray(0, RECORD_CRC_OFFSET), this.#crc);
    if (crc !== this.#parsed?.crc) return this.#fail(this.#recordLsn, 'incorrect checksum of the record');
    this.#lastRecordLsn = this.#recordLsn;
    this.#records++;
    return true;
  }

  #ofRecord(problem: string): string {
    return `the record of ${this.#totalLength} bytes at ${Lsn.format(this.#recordLsn)} ${problem}`;
  }

  #fail(lsn: bigint, problem: string): false {
    this.#fault = { lsn, problem };
    return false;
  }
}

function align(offset: number): number {
  return Math.ceil(offset / RECORD_ALIGNMENT) * RECORD_ALIGNMENT;
}
