import { Lsn } from '../../src/index.js';
import { Replica, type SoakChange } from './replica.js';
import { CHECKPOINT_WRITER } from './soak-schema.js';
import type { SoakUnit } from './unit-collector.js';

/**
 * What holds for the units that a slot delivers, over all streams from it: the order of commits, no gap, nothing twice
 * but what was not acknowledged before a stream was ended, nothing confirmed that was not acknowledged.
 */
export class UnitCheck {
  readonly replica = new Replica();
  transactions = 0;
  changes = 0;
  messages = 0;
  /** Delivered by an earlier stream too. */
  repeated = 0;
  /** End of the last unit that was applied. */
  #appliedLsn = 0n;
  /** End of the last unit of this stream. */
  #lastLsn = 0n;
  readonly #numbers = new Map<number, number>();
  readonly #messageNumbers = new Map<string, number>();
  /** Ends of units delivered and not acknowledged, in their order. */
  #unacknowledged: bigint[] = [];
  #confirmedLsn = 0n;
  /** The first unit that an earlier stream delivered and that was not acknowledged: it comes again. */
  #owedLsn: bigint | undefined;

  get appliedLsn(): bigint {
    return this.#appliedLsn;
  }

  /** Another stream begins. */
  begin(): void {
    this.#owedLsn = this.#unacknowledged[0] ?? this.#owedLsn;
    this.#unacknowledged = [];
    this.#lastLsn = 0n;
  }

  take(unit: SoakUnit): void {
    const { endLsn } = unit;
    const at = Lsn.format(endLsn);
    if (endLsn <= this.#lastLsn) throw new Error(`${at} came after ${Lsn.format(this.#lastLsn)}`);
    this.#lastLsn = endLsn;
    if (this.#owedLsn !== undefined) {
      const owed = this.#owedLsn;
      if (endLsn > owed) throw new Error(`${Lsn.format(owed)} was not acknowledged, and ${at} came in its place`);
      this.#owedLsn = undefined;
    }
    this.#unacknowledged.push(endLsn);
    if (endLsn <= this.#appliedLsn) {
      this.repeated++;
      return;
    }
    if (endLsn <= this.#confirmedLsn) {
      throw new Error(`${at} was confirmed before it was delivered: ${Lsn.format(this.#confirmedLsn)}`);
    }
    this.#appliedLsn = endLsn;
    if (unit.message !== undefined) this.#takeMessage(unit.message, at);
    if (unit.changes !== undefined) this.#takeTransaction(unit.changes, at);
  }

  /** The consumer is through with a unit. */
  acknowledge(endLsn: bigint): void {
    const at = this.#unacknowledged.indexOf(endLsn);
    if (at !== -1) this.#unacknowledged.splice(at, 1);
  }

  acknowledgeAll(): void {
    this.#unacknowledged = [];
  }

  /** The slot is confirmed so far. */
  confirmed(lsn: bigint): void {
    const [first] = this.#unacknowledged;
    if (first !== undefined && first <= lsn) {
      throw new Error(`confirmed up to ${Lsn.format(lsn)}, and ${Lsn.format(first)} is not acknowledged`);
    }
    if (lsn > this.#confirmedLsn) this.#confirmedLsn = lsn;
  }

  #takeMessage(content: string, at: string): void {
    this.messages++;
    const [writer = '', number = ''] = content.split(' ');
    const last = this.#messageNumbers.get(writer) ?? -1;
    // A message is flushed with what comes after it: one may be lost with a server that crashes.
    if (Number(number) <= last) throw new Error(`message ${number} of writer ${writer} after ${last}, at ${at}`);
    this.#messageNumbers.set(writer, Number(number));
  }

  #takeTransaction(changes: readonly SoakChange[], at: string): void {
    this.transactions++;
    this.changes += changes.length;
    for (const change of changes) {
      if (change.kind === 'insert' && change.table === 'ledger') this.#takeNumber(change.new ?? {}, at);
      try {
        this.replica.apply(change);
      } catch (cause) {
        throw new Error(`${(cause as Error).message}, in the transaction that ends at ${at}`, { cause });
      }
    }
  }

  #takeNumber({ writer, number }: Readonly<Record<string, unknown>>, at: string): void {
    if (writer === CHECKPOINT_WRITER) return;
    const last = this.#numbers.get(writer as number) ?? 0;
    if (number !== last + 1) throw new Error(`transaction ${number} of writer ${writer} after ${last}, at ${at}`);
    this.#numbers.set(writer as number, number);
  }
}
