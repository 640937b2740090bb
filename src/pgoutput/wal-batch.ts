import { parseBegin, parseCommit, parseMessage, parseOrigin, parseType, truncateOptions } from './control-message.js';
import {
  BeginEvent,
  CommitEvent,
  MessageEvent,
  OriginEvent,
  RelationEvent,
  type RowEvent,
  type StreamedXids,
  TruncateEvent,
  TypeEvent,
  type WalEvent,
} from './event.js';
import { markRedelivered } from './event-base.js';
import { EVENT_CODE_MASK, EVENT_WORDS, EventCode, EventFlag, isRowCode, type PackedBatch } from './packed-batch.js';
import { PackedEvents, type ValueReader } from './packed-events.js';
import {
  BeginPrepareEvent,
  CommitPreparedEvent,
  PrepareEvent,
  RollbackPreparedEvent,
  StreamPrepareEvent,
} from './prepared-event.js';
import { parseBeginPrepare, parseCommitPrepared, parsePrepare, parseRollbackPrepared } from './prepared-message.js';
import type { RelationVersion } from './relation.js';
import { DeleteEvent, InsertEvent, UpdateEvent } from './row-event.js';
import { StreamAbortEvent, StreamCommitEvent, StreamStartEvent, StreamStopEvent } from './stream-event.js';
import { parseStreamAbort, parseStreamCommit, parseStreamStart } from './stream-message.js';
import type { AnyTables } from './table-types.js';
import { type BatchStart, type OpenTransaction, TransactionContext } from './transaction-context.js';
import type { AckUnit } from './unit-event.js';

/** Where a batch stands in the stream. */
export interface BatchPosition {
  readonly sequence: number;
  readonly start: BatchStart;
  /** Number of the first unit of acknowledgement that ends in the events. */
  readonly firstUnit: number;
  /** What counts them, which knows the stream. */
  readonly unitCounter: object;
  /** Relation versions that index words refer to. */
  readonly relations: readonly RelationVersion[];
  readonly byteCount: number;
  /** Whether the consumer was given the events before, on an earlier connection. */
  readonly redelivered?: boolean;
}

let limitUnits: (batch: WalBatch, unit: number) => void;
let packedEventsOf: (batch: WalBatch) => PackedEvents;

/** The packed events of a batch, for whoever keeps some of them beyond it. */
export function eventsOf(batch: WalBatch): PackedEvents {
  return packedEventsOf(batch);
}

/** Makes a batch end after the unit of acknowledgement before `unit`: a stream that stops ends with a transaction. */
export function limitBatch(batch: WalBatch, unit: number): void {
  limitUnits(batch, unit);
}

/**
 * Events that arrived together, in order: a plain iterable, the fast path of delivery. A transaction may span several
 * batches and a batch several transactions. Its memory lives as long as any of its events.
 */
export class WalBatch<Tables extends object = AnyTables> implements Iterable<WalEvent<Tables>> {
  /** Number of the batch, in the order in which the server sent them. */
  readonly sequence: number;
  /** Bytes on the wire. */
  readonly byteCount: number;
  /** Whether its events were delivered before, on an earlier connection; see `retry.redeliver`. */
  readonly redelivered: boolean;
  readonly #position: BatchPosition;
  readonly #events: PackedEvents;
  #unitLimit = Number.POSITIVE_INFINITY;

  /** @internal */
  constructor(position: BatchPosition, packed: PackedBatch, readValue?: ValueReader) {
    this.sequence = position.sequence;
    this.byteCount = position.byteCount;
    this.redelivered = position.redelivered ?? false;
    this.#position = position;
    this.#events = new PackedEvents(packed, position.relations, readValue);
  }

  static {
    limitUnits = (batch, unit) => {
      batch.#unitLimit = unit;
    };
    packedEventsOf = (batch) => batch.#events;
  }

  /** Events in the batch, those that a transform dropped included. */
  get eventCount(): number {
    return this.#events.count;
  }

  /** Its events, from the first; may be called more than once, and makes the events anew. */
  [Symbol.iterator](): EventCursor<Tables> {
    const Cursor = this.redelivered ? RedeliveredCursor : EventCursor;
    return new Cursor<Tables>(this.#events, this.#position, this.#unitLimit);
  }
}

/** What {@link EventCursor.nextBoundary} finds. */
export type BoundaryEvent = Exclude<WalEvent, RowEvent | TruncateEvent | RelationEvent | TypeEvent>;

function isBoundary(code: number): boolean {
  return !isRowCode(code) && code !== EventCode.truncate && code !== EventCode.relation && code !== EventCode.type;
}

/** Walks a batch, keeping the transaction, ordinal and unit of the next event. */
export class EventCursor<Tables extends object = AnyTables> implements IterableIterator<WalEvent<Tables>> {
  readonly #events: PackedEvents;
  #at = 0;
  #transaction: TransactionContext | undefined;
  /** Within a streamed block, where nothing is numbered. */
  #inBlock: boolean;
  #ordinal: number;
  #unit: number;
  readonly #unitCounter: object;
  readonly #unitLimit: number;

  /** @internal */
  constructor(events: PackedEvents, position: BatchPosition, unitLimit: number) {
    this.#events = events;
    this.#transaction = position.start.transaction;
    this.#inBlock = position.start.transaction?.kind === 'streamed';
    this.#ordinal = position.start.ordinal;
    this.#unit = position.firstUnit;
    this.#unitCounter = position.unitCounter;
    this.#unitLimit = unitLimit;
  }

  /** Itself. */
  [Symbol.iterator](): this {
    return this;
  }

  /** The next event that was not dropped. */
  next(): IteratorResult<WalEvent<Tables>, undefined> {
    while (this.#at < this.#events.end && this.#unit < this.#unitLimit) {
      const at = this.#at;
      this.#at = at + EVENT_WORDS;
      const word = this.#events.codeAndFlags(at);
      if ((word & EventFlag.dropped) !== 0) this.#ordinal++;
      else return { done: false, value: this.#eventAt(at, word & EVENT_CODE_MASK) as WalEvent<Tables> };
    }
    return { done: true, value: undefined };
  }

  /**
   * Index word of the next event.
   *
   * @internal
   */
  get at(): number {
    return this.#at;
  }

  /**
   * The next event that is no change of data and no description: where a transaction or a block of one begins or ends,
   * and what stands between them. Ordinals are not counted on the way.
   *
   * @internal
   */
  nextBoundary(): BoundaryEvent | undefined {
    const events = this.#events;
    while (this.#at < events.end && this.#unit < this.#unitLimit) {
      const at = this.#at;
      this.#at = at + EVENT_WORDS;
      const code = events.codeAndFlags(at) & EVENT_CODE_MASK;
      if (!isBoundary(code)) continue;
      const event = this.#eventAt(at, code) as BoundaryEvent | MessageEvent;
      if (event.kind !== 'message' || !event.transactional) return event;
    }
    return undefined;
  }

  /**
   * Units of acknowledgement that ended before the next event.
   *
   * @internal
   */
  get unitsPassed(): number {
    return this.#unit;
  }

  /**
   * Whether the next event belongs to a transaction that is sent as a whole, and has begun.
   *
   * @internal
   */
  get inTransaction(): boolean {
    return this.#transaction !== undefined && !this.#inBlock;
  }

  #eventAt(at: number, code: number): WalEvent {
    const events = this.#events;
    switch (code) {
      case EventCode.insert:
        return new InsertEvent(events, at, this.#transaction, this.#nextOrdinal());
      case EventCode.update:
        return new UpdateEvent(events, at, this.#transaction, this.#nextOrdinal());
      case EventCode.delete:
        return new DeleteEvent(events, at, this.#transaction, this.#nextOrdinal());
      case EventCode.begin: {
        const begin = events.parseAt(at, parseBegin);
        this.#enter({ kind: 'committed', begin });
        return new BeginEvent(events.lsnAt(at), begin);
      }
      case EventCode.commit: {
        const xid = this.#leave();
        return new CommitEvent(events.lsnAt(at), events.parseAt(at, parseCommit), xid, this.#endUnit());
      }
      case EventCode.truncate: {
        const { relations, options } = events.truncateAt(at);
        return new TruncateEvent(
          events.lsnAt(at),
          relations,
          truncateOptions(options),
          this.#nextOrdinal(),
          this.#transaction,
          events.subxidAt(at),
        );
      }
      case EventCode.message: {
        const message = events.parseAt(at, parseMessage);
        const unit = message.transactional ? undefined : this.#endUnit();
        return new MessageEvent(message, this.#transaction, events.subxidAt(at), unit);
      }
      case EventCode.origin: {
        const origin = events.parseAt(at, parseOrigin);
        if (this.#transaction !== undefined) this.#transaction.origin = origin;
        return new OriginEvent(origin);
      }
      case EventCode.type:
        return new TypeEvent(events.parseAt(at, parseType), this.#streamedXids(at));
      case EventCode.relation:
        return new RelationEvent(events.relationAt(at).relation, this.#streamedXids(at));
      default:
        return this.#uncommittedEventAt(at, code);
    }
  }

  /** Events of transactions that are sent before they commit. */
  #uncommittedEventAt(at: number, code: number): WalEvent {
    const events = this.#events;
    const lsn = events.lsnAt(at);
    switch (code) {
      case EventCode.streamStart: {
        const start = events.parseAt(at, parseStreamStart);
        this.#enter({ kind: 'streamed', xid: start.xid });
        return new StreamStartEvent(lsn, start);
      }
      case EventCode.streamStop:
        return new StreamStopEvent(lsn, this.#leave());
      case EventCode.streamCommit:
        return new StreamCommitEvent(lsn, events.parseAt(at, parseStreamCommit), this.#endUnit());
      case EventCode.streamAbort:
        return new StreamAbortEvent(lsn, events.parseAt(at, parseStreamAbort));
      case EventCode.beginPrepare: {
        const prepared = events.parseAt(at, parseBeginPrepare);
        this.#enter({ kind: 'prepared', prepared });
        return new BeginPrepareEvent(lsn, prepared);
      }
      case EventCode.prepare:
        this.#leave();
        return new PrepareEvent(lsn, events.parseAt(at, parsePrepare), this.#endUnit());
      case EventCode.streamPrepare:
        return new StreamPrepareEvent(lsn, events.parseAt(at, parsePrepare), this.#endUnit());
      case EventCode.commitPrepared:
        return new CommitPreparedEvent(lsn, events.parseAt(at, parseCommitPrepared), this.#endUnit());
      case EventCode.rollbackPrepared:
        return new RollbackPreparedEvent(lsn, events.parseAt(at, parseRollbackPrepared), this.#endUnit());
      default:
        throw new TypeError(`event code ${code} is none`);
    }
  }

  #enter(open: OpenTransaction): void {
    this.#transaction = new TransactionContext(open);
    this.#inBlock = open.kind === 'streamed';
    this.#ordinal = 0;
  }

  /** The transaction, or the block of one, ends; its xid. */
  #leave(): number | undefined {
    const xid = this.#transaction?.xid;
    this.#transaction = undefined;
    this.#inBlock = false;
    return xid;
  }

  #endUnit(): AckUnit {
    return { number: this.#unit++, counter: this.#unitCounter };
  }

  #nextOrdinal(): number | undefined {
    return this.#inBlock ? undefined : this.#ordinal++;
  }

  #streamedXids(at: number): StreamedXids {
    const subxid = this.#events.subxidAt(at);
    return subxid === undefined || this.#transaction === undefined ? undefined : { xid: this.#transaction.xid, subxid };
  }
}

/** Walks a batch that was delivered before, and says so of its events, but not of those in streamed blocks. */
class RedeliveredCursor<Tables extends object = AnyTables> extends EventCursor<Tables> {
  override next(): IteratorResult<WalEvent<Tables>, undefined> {
    const { inTransaction, unitsPassed } = this;
    const result = super.next();
    const isCommitted = inTransaction || this.inTransaction || this.unitsPassed > unitsPassed;
    if (!result.done && isCommitted) markRedelivered(result.value);
    return result;
  }
}
