import { parseMessage, truncateOptions } from './control-message.js';
import { MessageEvent, type RowEvent, TruncateEvent } from './event.js';
import { EVENT_CODE_MASK, EVENT_WORDS, EventCode, EventFlag } from './packed-batch.js';
import type { PackedEvents } from './packed-events.js';
import { DeleteEvent, InsertEvent, UpdateEvent } from './row-event.js';
import type { AnyTables } from './table-types.js';
import type { TransactionContext } from './transaction-context.js';

/** What a transaction consists of: row changes, truncates and its logical messages. */
export type ChangeEvent<Tables extends object = AnyTables> = RowEvent<Tables> | TruncateEvent | MessageEvent;

/** Packed events between two index words of a batch, all of one transaction. */
export interface Stretch {
  readonly events: PackedEvents;
  readonly from: number;
  readonly to: number;
}

/** Walks the changes of one transaction, numbering those that survive to its commit. */
export class ChangeCursor<Tables extends object = AnyTables> implements IterableIterator<ChangeEvent<Tables>> {
  readonly #transaction: TransactionContext;
  readonly #rolledBack: ReadonlySet<number>;
  readonly #stretches: Iterator<Stretch>;
  #stretch: Stretch | undefined;
  #at = 0;
  #ordinal = 0;

  /** `rolledBack`: the subtransactions whose changes are passed over. */
  constructor(transaction: TransactionContext, rolledBack: ReadonlySet<number>, stretches: Iterable<Stretch> = []) {
    this.#transaction = transaction;
    this.#rolledBack = rolledBack;
    this.#stretches = stretches[Symbol.iterator]();
  }

  [Symbol.iterator](): this {
    return this;
  }

  /** Goes on with the changes of `stretch`. */
  enter(stretch: Stretch): void {
    this.#stretch = stretch;
    this.#at = stretch.from;
  }

  next(): IteratorResult<ChangeEvent<Tables>, undefined> {
    for (;;) {
      const stretch = this.#stretch;
      if (stretch === undefined || this.#at >= stretch.to) {
        const step = this.#stretches.next();
        if (step.done) return { done: true, value: undefined };
        this.enter(step.value);
        continue;
      }
      const at = this.#at;
      this.#at += EVENT_WORDS;
      const change = this.#changeAt(stretch.events, at);
      if (change !== undefined) return { done: false, value: change as ChangeEvent<Tables> };
    }
  }

  /** `undefined` for what is no change, was rolled back, or was dropped by a transform. */
  #changeAt(events: PackedEvents, at: number): ChangeEvent | undefined {
    const word = events.codeAndFlags(at);
    if (this.#rolledBack.size > 0) {
      const subxid = events.subxidAt(at);
      if (subxid !== undefined && this.#rolledBack.has(subxid)) return undefined;
    }
    if ((word & EventFlag.dropped) !== 0) {
      this.#ordinal++;
      return undefined;
    }
    const transaction = this.#transaction;
    switch (word & EVENT_CODE_MASK) {
      case EventCode.insert:
        return new InsertEvent(events, at, transaction, this.#ordinal++);
      case EventCode.update:
        return new UpdateEvent(events, at, transaction, this.#ordinal++);
      case EventCode.delete:
        return new DeleteEvent(events, at, transaction, this.#ordinal++);
      case EventCode.truncate: {
        const { relations, options } = events.truncateAt(at);
        return new TruncateEvent(
          events.lsnAt(at),
          relations,
          truncateOptions(options),
          this.#ordinal++,
          transaction,
          undefined,
        );
      }
      case EventCode.message:
        return new MessageEvent(events.parseAt(at, parseMessage), transaction, undefined, undefined);
      default:
        return undefined;
    }
  }
}
