import { ProtocolError } from '../errors.js';
import { Lsn } from '../lsn.js';
import { UnfinishedUnits } from './unfinished-units.js';

/**
 * Which units of acknowledgement were received, delivered and finished with, and so how far the server may be told to
 * forget. Units end with Commit, Stream Commit, Prepare, Stream Prepare, Commit Prepared, Rollback Prepared and
 * stand-alone messages, and are numbered from 0 in the order of the stream.
 *
 * Their end LSNs do not go back, with one exception: a transaction that was prepared before the slot allowed two-phase
 * is sent when it commits, its Prepare with the old position. It counts as ending where the unit before it does.
 */
export class AckFrontier {
  /** End LSNs of the units that are not yet behind the frontier: as far as the stream had come. */
  readonly #ends = new UnfinishedUnits();
  /** Of those that say that they end before, what they say. */
  readonly #ownEnds = new Map<number, bigint>();
  /** Number of the first unit not behind the frontier, of the next to arrive, and of the next that is new. */
  #first = 0;
  #arriving = 0;
  #next = 0;
  #delivered = 0;
  /** Whether units may be finished that others are before. */
  #finishedAhead = false;
  #lsn = 0n;
  #lastEnd = 0n;

  /** End LSN of the last unit of the contiguous run of finished ones; `0n` while there is none. */
  get lsn(): bigint {
    return this.#lsn;
  }

  /** Number of the next unit to arrive. */
  get nextUnit(): number {
    return this.#arriving;
  }

  /** Units received so far, each counted once. */
  get received(): number {
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

  /** Bytes that units take which are not behind the frontier. */
  get byteCount(): number {
    return this.#ends.byteCount;
  }

  /** The end of a unit was received; ProtocolError when one that comes again is not the one that it was. */
  receive(endLsn: bigint): void {
    if (this.#arriving < this.#next) {
      const before = this.endOf(this.#arriving);
      if (before !== undefined && before !== endLsn) {
        throw new ProtocolError(
          `the transaction that ends at ${Lsn.format(before)} was received before the connection was lost, and does not come again`,
          { offset: 0, lsn: before },
        );
      }
      this.#arriving++;
      return;
    }
    if (endLsn < this.#lastEnd) this.#ownEnds.set(this.#next, endLsn);
    else this.#lastEnd = endLsn;
    this.#ends.add(this.#lastEnd);
    this.#next++;
    this.#arriving = this.#next;
  }

  /** The units from `unit` on, which must not be behind the frontier, come again. */
  stepBackTo(unit: number): void {
    this.#arriving = Math.min(unit, this.#next);
  }

  /** Every unit before `unit` has been given to the consumer. */
  deliverThrough(unit: number): void {
    if (unit > this.#delivered) this.#delivered = Math.min(unit, this.#next);
  }

  /** Every unit before `unit` is finished. */
  finishThrough(unit: number): void {
    this.#passTo(Math.min(unit, this.#next));
    this.#advance();
  }

  /** Where a unit says that it ends, if it is not behind the frontier; `undefined` for any other. */
  endOf(unit: number): bigint | undefined {
    if (unit < this.#first || unit >= this.#next) return undefined;
    return this.#ownEnds.get(unit) ?? this.#ends.endOf(unit);
  }

  /** How far the stream was where `unit` began, which must not be behind the frontier. */
  startOf(unit: number): bigint {
    return unit <= this.#first ? this.#lsn : this.#ends.endOf(unit - 1);
  }

  isFinished(unit: number): boolean {
    return unit < this.#first || (unit < this.#next && this.#ends.isFinished(unit));
  }

  /** One unit is finished, maybe before others. */
  finish(unit: number): void {
    if (unit < this.#first || unit >= this.#next) return;
    this.#ends.finish(unit);
    this.#finishedAhead = true;
    this.#advance();
  }

  /** Every delivered unit that ends at or before `lsn` is finished. */
  finishUpTo(lsn: bigint): void {
    let unit = this.#first;
    while (unit < this.#delivered && this.#ends.endOf(unit) <= lsn) unit++;
    this.#passTo(unit);
    this.#advance();
  }

  #advance(): void {
    if (!this.#finishedAhead) return;
    let unit = this.#first;
    while (unit < this.#next && this.#ends.isFinished(unit)) unit++;
    this.#passTo(unit);
    this.#finishedAhead = unit < this.#next;
  }

  #passTo(unit: number): void {
    if (unit <= this.#first) return;
    this.#lsn = this.#ends.endOf(unit - 1);
    if (this.#ownEnds.size > 0) for (let each = this.#first; each < unit; each++) this.#ownEnds.delete(each);
    this.#first = unit;
    this.#ends.dropBefore(unit);
  }
}
