import { parseBegin, parseCommit, parseMessage, parseOrigin, parseType, truncateOptions } from './control-message.js';
import {
  BeginEvent,
  CommitEvent,
  MessageEvent,
  OriginEvent,
  RelationEvent,
  TruncateEvent,
  TypeEvent,
  type WalEvent,
} from './event.js';
import { EVENT_CODE_MASK, EVENT_WORDS, EventCode, EventFlag, type PackedBatch } from './packed-batch.js';
import { PackedEvents, type ValueReader } from './packed-events.js';
import type { RelationVersion } from './relation.js';
import { DeleteEvent, InsertEvent, UpdateEvent } from './row-event.js';
import { type BatchStart, TransactionContext } from './transaction-context.js';

/** Where a batch stands in the stream. */
export interface BatchPosition {
  readonly sequence: number;
  readonly start: BatchStart;
  /** Number of the first unit of acknowledgement that ends in the events. */
  readonly firstUnit: number;
  /** Relation versions that index words refer to. */
  readonly relations: readonly RelationVersion[];
  readonly byteCount: number;
}

let limitUnits: (batch: WalBatch, unit: number) => void;

/** Makes a batch end after the unit of acknowledgement before `unit`: a stream that stops ends with a transaction. */
export function limitBatch(batch: WalBatch, unit: number): void {
  limitUnits(batch, unit);
}

/**
 * Events that arrived together, in order: a plain iterable, the fast path of delivery. A transaction may span several
 * batches and a batch several transactions. Its memory lives as long as any of its events.
 */
export class WalBatch implements Iterable<WalEvent> {
  /** Number of the batch, in the order in which the server sent them. */
  readonly sequence: number;
  /** Bytes on the wire. */
  readonly byteCount: number;
  readonly #position: BatchPosition;
  readonly #events: PackedEvents;
  #unitLimit = Number.POSITIVE_INFINITY;

  constructor(position: BatchPosition, packed: PackedBatch, readValue?: ValueReader) {
    this.sequence = position.sequence;
    this.byteCount = position.byteCount;
    this.#position = position;
    this.#events = new PackedEvents(packed, position.relations, readValue);
  }

  static {
    limitUnits = (batch, unit) => {
      batch.#unitLimit = unit;
    };
  }

  /** Events in the batch, those that a transform dropped included. */
  get eventCount(): number {
    return this.#events.count;
  }

  [Symbol.iterator](): EventCursor {
    return new EventCursor(this.#events, this.#position, this.#unitLimit);
  }
}

/** Walks a batch, keeping the transaction, ordinal and unit of the next event. */
export class EventCursor implements IterableIterator<WalEvent> {
  readonly #events: PackedEvents;
  #at = 0;
  #transaction: TransactionContext | undefined;
  #ordinal: number;
  #unit: number;
  readonly #unitLimit: number;

  constructor(events: PackedEvents, position: BatchPosition, unitLimit: number) {
    this.#events = events;
    this.#transaction = position.start.transaction;
    this.#ordinal = position.start.ordinal;
    this.#unit = position.firstUnit;
    this.#unitLimit = unitLimit;
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<WalEvent, undefined> {
    while (this.#at < this.#events.end && this.#unit < this.#unitLimit) {
      const at = this.#at;
      this.#at = at + EVENT_WORDS;
      const word = this.#events.codeAndFlags(at);
      if ((word & EventFlag.dropped) !== 0) this.#ordinal++;
      else return { done: false, value: this.#eventAt(at, word & EVENT_CODE_MASK) };
    }
    return { done: true, value: undefined };
  }

  /** Units of acknowledgement that ended before the next event. */
  get unitsPassed(): number {
    return this.#unit;
  }

  /** Whether the next event belongs to a transaction that has begun. */
  get inTransaction(): boolean {
    return this.#transaction !== undefined;
  }

  #eventAt(at: number, code: number): WalEvent {
    const events = this.#events;
    switch (code) {
      case EventCode.insert:
        return new InsertEvent(events, at, this.#transaction, this.#ordinal++);
      case EventCode.update:
        return new UpdateEvent(events, at, this.#transaction, this.#ordinal++);
      case EventCode.delete:
        return new DeleteEvent(events, at, this.#transaction, this.#ordinal++);
      case EventCode.begin:
        this.#transaction = new TransactionContext(events.parseAt(at, parseBegin));
        this.#ordinal = 0;
        return new BeginEvent(events.lsnAt(at), this.#transaction);
      case EventCode.commit: {
        const xid = this.#transaction?.xid;
        this.#transaction = undefined;
        return new CommitEvent(events.lsnAt(at), events.parseAt(at, parseCommit), xid, this.#unit++);
      }
      case EventCode.truncate: {
        const { relations, options } = events.truncateAt(at);
        return new TruncateEvent(
          events.lsnAt(at),
          relations,
          truncateOptions(options),
          this.#ordinal++,
          this.#transaction,
        );
      }
      case EventCode.message: {
        const message = events.parseAt(at, parseMessage);
        const unit = message.transactional ? -1 : this.#unit++;
        return new MessageEvent(message, this.#transaction, unit);
      }
      case EventCode.origin: {
        const origin = events.parseAt(at, parseOrigin);
        if (this.#transaction !== undefined) this.#transaction.origin = origin;
        return new OriginEvent(origin);
      }
      case EventCode.type:
        return new TypeEvent(events.parseAt(at, parseType));
      default:
        return new RelationEvent(events.relationAt(at).relation);
    }
  }
}
