import type { WalEvent } from '../pgoutput/event.js';
import { type EventCursor, limitBatch, WalBatch } from '../pgoutput/wal-batch.js';
import type { Decoded } from './decode-pipeline.js';
import type { RawCursor, RawMessage } from './raw-batch.js';

/** A batch that the consumer has taken, and how far it is in it: item by item, or the whole at once. */
export class ConsumerPlace {
  readonly decoded: Decoded;
  readonly #cursor: EventCursor | RawCursor | undefined;
  readonly #unitsThrough: number;
  readonly #endsInTransaction: boolean;

  private constructor(
    decoded: Decoded,
    cursor: EventCursor | RawCursor | undefined,
    unitsThrough: number,
    endsInTransaction: boolean,
  ) {
    this.decoded = decoded;
    this.#cursor = cursor;
    this.#unitsThrough = unitsThrough;
    this.#endsInTransaction = endsInTransaction;
  }

  /** The consumer takes items one by one. */
  static inBatch(decoded: Decoded): ConsumerPlace {
    return new ConsumerPlace(decoded, decoded.batch[Symbol.iterator](), 0, false);
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
  next(): IteratorResult<WalEvent | RawMessage, undefined> {
    return this.#cursor === undefined ? { done: true, value: undefined } : this.#cursor.next();
  }
}
