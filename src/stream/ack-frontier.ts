const INITIAL_UNITS = 1024;

/**
 * Which units of acknowledgement were received, delivered and finished with, and so how far the server may be told to
 * forget. Units end with Commit, Stream Commit, Prepare, Stream Prepare, Commit Prepared, Rollback Prepared and
 * stand-alone messages, and are numbered from 0 in the order of the stream.
 *
 * Their end LSNs do not go back, with one exception: a transaction that was prepared before the slot allowed two-phase
 * is sent when it commits, its Prepare with the old position. It counts as ending where the unit before it does.
 */
export class AckFrontier {
  /** End LSNs of the units that are not yet behind the frontier, a ring: as far as the stream had come, and their own. */
  #ends = new BigUint64Array(INITIAL_UNITS);
  #ownEnds = new BigUint64Array(INITIAL_UNITS);
  /** 1 where such a unit was finished out of order. */
  #finished = new Uint8Array(INITIAL_UNITS);
  /** Number of the first unit not behind the frontier, and of the next to be received. */
  #first = 0;
  #next = 0;
  #delivered = 0;
  #lsn = 0n;
  #lastEnd = 0n;

  /** End LSN of the last unit of the contiguous run of finished ones; `0n` while there is none. */
  get lsn(): bigint {
    return this.#lsn;
  }

  /** Number that the next received unit will have. */
  get nextUnit(): number {
    return this.#next;
  }

  /** End LSN of the last unit received; `0n` while there is none. */
  get lastReceivedLsn(): bigint {
    return this.#lastEnd;
  }

  /** Number of the first unit that is not behind the frontier. */
  get firstUnfinished(): number {
    return this.#first;
  }

  /** Units received and not yet behind the frontier. */
  get unfinished(): number {
    return this.#next - this.#first;
  }

  /** The end of a unit was received. */
  receive(endLsn: bigint): void {
    if (this.unfinished === this.#ends.length) this.#grow();
    if (endLsn > this.#lastEnd) this.#lastEnd = endLsn;
    const slot = this.#next % this.#ends.length;
    this.#ends[slot] = this.#lastEnd;
    this.#ownEnds[slot] = endLsn;
    this.#finished[slot] = 0;
    this.#next++;
  }

  /** Every unit before `unit` has been given to the consumer. */
  deliverThrough(unit: number): void {
    if (unit > this.#delivered) this.#delivered = Math.min(unit, this.#next);
  }

  /** Every unit before `unit` is finished. */
  finishThrough(unit: number): void {
    const end = Math.min(unit, this.#next);
    while (this.#first < end) this.#pass();
    this.#advance();
  }

  /** Where a unit says that it ends, if it is not behind the frontier; `undefined` for any other. */
  endOf(unit: number): bigint | undefined {
    return unit < this.#first || unit >= this.#next ? undefined : this.#ownEnds[unit % this.#ends.length];
  }

  /** One unit is finished, maybe before others. */
  finish(unit: number): void {
    if (unit < this.#first || unit >= this.#next) return;
    this.#finished[unit % this.#ends.length] = 1;
    this.#advance();
  }

  /** Every delivered unit that ends at or before `lsn` is finished. */
  finishUpTo(lsn: bigint): void {
    while (this.#first < this.#delivered && this.#ends[this.#first % this.#ends.length] <= lsn) this.#pass();
    this.#advance();
  }

  #advance(): void {
    while (this.#first < this.#next && this.#finished[this.#first % this.#ends.length] === 1) this.#pass();
  }

  #pass(): void {
    this.#lsn = this.#ends[this.#first % this.#ends.length];
    this.#first++;
  }

  #grow(): void {
    const size = this.#ends.length;
    const ends = new BigUint64Array(size * 2);
    const ownEnds = new BigUint64Array(size * 2);
    const finished = new Uint8Array(size * 2);
    for (let unit = this.#first; unit < this.#next; unit++) {
      ends[unit % ends.length] = this.#ends[unit % size];
      ownEnds[unit % ends.length] = this.#ownEnds[unit % size];
      finished[unit % ends.length] = this.#finished[unit % size];
    }
    this.#ends = ends;
    this.#ownEnds = ownEnds;
    this.#finished = finished;
  }
}
