import type { WalEvent } from '../pgoutput/event.js';
import { limitBatch, WalBatch } from '../pgoutput/wal-batch.js';
import type { Decoded } from './decode-pipeline.js';
import type { RawMessage } from './raw-batch.js';
import type { TransactionItem } from './transaction-assembler.js';

/** Walks what a batch holds for the consumer. */
interface Cursor extends Iterator<WalEvent | RawMessage | TransactionItem, undefined> {
  readonly unitsPassed: number;
  readonly inTransaction: boolean;
}

/** A batch that the consumer has taken, and how far it is in it: item by item, or the whole at once. */
export class ConsumerPlace {
  readonly decoded: Decoded;
  readonly #cursor: Cursor | undefined;
  readonly #unitsThrough: number;
  readonly #endsInTransaction: boolean;

  private constructor(decoded: Decoded, cursor: Cursor | undefined, unitsThrough: number, endsInTransaction: boolean) {
    this.decoded = decoded;
    this.#cursor = cursor;
    this.#unitsThrough = unitsThrough;
    this.#endsInTransaction = endsInTransaction;
  }

  /** The consumer takes items one by one. */
  static inBatch(decoded: Decoded): ConsumerPlace {
    return new ConsumerPlace(decoded, decoded.batch[Symbol.iterator](), 0, false);
  }

  /** The consumer takes the transactions that end in the batch, one by one. */
  static inTransactions(decoded: Decoded, items: readonly TransactionItem[]): ConsumerPlace {
    return new ConsumerPlace(decoded, new ItemCursor(items, decoded.cut.position.firstUnit), 0, false);
  }

  /**
   * The consumer takes the batch whole. With `drain` it ends after the first transaction that ends in it, because the
   * stream is to stop there.
   */
  static wholeBatch(decoded: Decoded, drain: boolean): ConsumerPlace {
    const { batch, cut, error } = decoded;
    if (!(batch instanceof WalBatch) || (!drain && error === undefined)) {
      return new ConsumerPlace(decoded, undefined, cut.unitsThrough, cut.endsInTransaction);
    }
    if (drain) limitBatch(batch, cut.position.firstUnit + 1);
    // Less is delivered than was received: what that is, only the events say.
    const cursor = batch[Symbol.iterator]();
    while (!cursor.next().done);
    return new ConsumerPlace(decoded, undefined, cursor.unitsPassed, cursor.inTransaction);
  }

  /** Units of acknowledgement that the consumer has been given, counted over the stream. */
  get unitsPassed(): number {
    return this.#cursor === undefined ? this.#unitsThrough : this.#cursor.unitsPassed;
  }

  /** Whether the consumer has been given the beginning of a transaction and not its end. */
  get inTransaction(): boolean {
    return this.#cursor === undefined ? this.#endsInTransaction : this.#cursor.inTransaction;
  }

  /** The next item of a batch that is taken one by one. */
  next(): IteratorResult<WalEvent | RawMessage | TransactionItem, undefined> {
    return this.#cursor === undefined ? { done: true, value: undefined } : this.#cursor.next();
  }
}

/** Walks whole transactions: between them the consumer is never within one. */
class ItemCursor implements Cursor {
  readonly #items: readonly TransactionItem[];
  readonly #firstUnit: number;
  #taken = 0;

  constructor(items: readonly TransactionItem[], firstUnit: number) {
    this.#items = items;
    this.#firstUnit = firstUnit;
  }

  /** Every item ends one unit. */
  get unitsPassed(): number {
    return this.#firstUnit + this.#taken;
  }

  get inTransaction(): boolean {
    return false;
  }

  next(): IteratorResult<TransactionItem, undefined> {
    if (this.#taken === this.#items.length) return { done: true, value: undefined };
    return { done: false, value: this.#items[this.#taken++] };
  }
}
