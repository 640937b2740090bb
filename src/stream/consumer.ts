import { setImmediate as nextTick } from 'node:timers/promises';
import { orAbort } from '../connection/connect-deadline.js';
import { ConfigurationError } from '../errors.js';
import type { NextEventOptions } from '../options.js';
import type { WalEvent } from '../pgoutput/event.js';
import type { WalBatch } from '../pgoutput/wal-batch.js';
import { ConsumerPlace } from './consumer-place.js';
import type { Decoded } from './decode-pipeline.js';
import type { DeliveredMark } from './delivered-mark.js';
import type { Intake } from './intake.js';
import type { RawMessage } from './raw-batch.js';
import type { TransactionAssembler, TransactionItem } from './transaction-assembler.js';

/** A loop over events that are there already lets timers and sockets have their turn after this time. */
const MAX_LOOP_MS = 10;
/** Events of a quick consumer between two looks at the clock. It may turn slow at any of them, and the server waits. */
const EVENTS_PER_CLOCK_CHECK = 8;

type ConsumerStyle = 'events' | 'batches' | 'transactions' | 'raw';

/** The stream's life, as far as its consumer takes part in it. */
export interface StreamLife {
  /** Whether the server streams, or did. */
  readonly started: boolean;
  /** Whether the stream is closed or being closed: nothing more is delivered. */
  readonly over: boolean;
  /** Whether closing has begun; a start that fails after that is nobody's concern. */
  readonly closing: boolean;
  start(): Promise<void>;
  /** For transactions, once the stream has started. SpillError when the folder for large ones cannot be used. */
  openAssembler(): Promise<TransactionAssembler>;
  /** Ends the stream from the consumer's side; `error` is what ended it, where something did. */
  close(error?: unknown): Promise<void>;
  /** Resolves when the stream is closed; rejects with the reason of an abort, once. */
  closed(): Promise<void>;
}

/**
 * The delivering half of a stream: gives one consumer, in one way, what was decoded, and finishes units of
 * acknowledgement as the consumer comes back from them.
 */
export class Consumer {
  readonly #intake: Intake;
  readonly #life: StreamLife;
  readonly #finishesUnits: boolean;
  /** Kept when what is not acknowledged is delivered again. */
  readonly #mark: DeliveredMark | undefined;
  #style: ConsumerStyle | undefined;
  /** Where the consumer is; `undefined` between two batches. */
  #place: ConsumerPlace | undefined;
  /** Whether the batch before ended within a transaction. */
  #leftInTransaction = false;
  #pulling = false;
  /** Whether the consumer is in a loop, and so will come back. */
  #looping = false;
  #assembler: TransactionAssembler | undefined;
  #drain: { readonly resolve: () => void } | undefined;
  #lastTickAt = 0;
  #eventsToClockCheck = 0;

  /** With `ack: 'auto'` coming back finishes the units before. */
  constructor(intake: Intake, life: StreamLife, ack: 'auto' | 'manual', mark: DeliveredMark | undefined) {
    this.#intake = intake;
    this.#life = life;
    this.#finishesUnits = ack === 'auto';
    this.#mark = mark;
  }

  /** Units of acknowledgement that the consumer was given. */
  get unitsPassed(): number {
    return this.#place?.unitsPassed ?? 0;
  }

  events(): AsyncIterableIterator<WalEvent> {
    this.#choose('events');
    return this.#iterate(() => this.#nextInBatch() as IteratorResult<WalEvent>);
  }

  batches(): AsyncIterableIterator<WalBatch> {
    this.#choose('batches');
    return this.#iterate<WalBatch>(() => DONE);
  }

  transactions(): AsyncIterableIterator<TransactionItem> {
    this.#choose('transactions');
    return this.#iterate(() => this.#nextInBatch() as IteratorResult<TransactionItem>);
  }

  rawMessages(): AsyncIterableIterator<RawMessage> {
    this.#choose('raw');
    return this.#iterate(() => this.#nextInBatch() as IteratorResult<RawMessage>);
  }

  async nextEvent({ signal, timeoutMs }: NextEventOptions): Promise<WalEvent | null | undefined> {
    this.#choose('events');
    this.#enter();
    try {
      signal?.throwIfAborted();
      const deadline = timeoutMs === undefined ? undefined : performance.now() + timeoutMs;
      for (;;) {
        const result = this.#nextInBatch() as IteratorResult<WalEvent>;
        if (!result.done) {
          await this.#restWhenDue();
          return result.value;
        }
        const remainingMs = deadline === undefined ? undefined : deadline - performance.now();
        const outcome = await this.#advance({ signal, timeoutMs: remainingMs });
        if (outcome === 'ended') return undefined;
        if (outcome === 'timeout') return null;
      }
    } finally {
      this.#pulling = false;
    }
  }

  /** Resolves when the consumer has come to the end of its transaction, or `timeoutMs` later. */
  async drained(timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      const others = this.#drain;
      this.#drain = {
        resolve: () => {
          others?.resolve();
          clearTimeout(timer);
          resolve();
        },
      };
      // A consumer that polls may never come back: it is not waited for.
      if (!this.#looping && !this.#pulling) this.#drain.resolve();
      this.#intake.queue.wake();
    });
  }

  /** The stream is closed: nobody needs to wait for the consumer any more, and what was spilled goes. */
  async close(): Promise<void> {
    try {
      await this.#assembler?.close();
    } finally {
      this.#drain?.resolve();
    }
  }

  /** One consumer, one way: what a batch has given to one cannot be given to another. */
  #choose(style: ConsumerStyle): void {
    if (this.#style === style) return;
    if (this.#style !== undefined) {
      throw new ConfigurationError(`the stream is consumed as ${this.#style}; it cannot be consumed as ${style} too`, {
        option: 'consumer',
      });
    }
    this.#style = style;
    this.#intake.decide(style === 'raw' ? 'raw' : 'events');
  }

  #enter(): void {
    if (this.#pulling) {
      throw new ConfigurationError('one call waits for the stream already: consume it one at a time', {
        option: 'consumer',
      });
    }
    this.#pulling = true;
  }

  /** An iterator over what `nextInBatch` finds in the current batch or, for whole batches, over those. */
  #iterate<T>(nextInBatch: () => IteratorResult<T>): AsyncIterableIterator<T> {
    const pull = async (): Promise<IteratorResult<T>> => {
      this.#enter();
      try {
        for (;;) {
          if ((await this.#advance({})) === 'ended') return DONE;
          if (this.#style === 'batches') return this.#wholeBatch() as IteratorResult<T>;
          const result = nextInBatch();
          if (!result.done) return result;
        }
      } finally {
        this.#pulling = false;
      }
    };
    const rest = async (result: IteratorResult<T>): Promise<IteratorResult<T>> => {
      await this.#restWhenDue();
      return result;
    };
    return {
      next: () => {
        this.#looping = true;
        if (this.#pulling) return pull();
        const result = nextInBatch();
        if (result.done) return pull();
        return --this.#eventsToClockCheck <= 0 && this.#checkClock() ? rest(result) : Promise.resolve(result);
      },
      return: async () => {
        await this.#life.close();
        return DONE;
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /** The next item of the current batch. That the consumer asks for it finishes the units before. */
  #nextInBatch(): IteratorResult<WalEvent | RawMessage | TransactionItem> {
    const place = this.#place;
    if (place === undefined || this.#life.over) return DONE;
    const { frontier } = this.#intake;
    if (this.#finishesUnits) frontier.finishThrough(place.unitsPassed);
    this.#assembler?.forget(frontier.firstUnfinished);
    if (this.#drain !== undefined && !place.inTransaction) return DONE;
    const mark = this.#mark;
    if (mark === undefined) return place.next();
    // What came before the stream stepped back comes again.
    if (this.#intake.isStale(place.decoded)) return DONE;
    const result = place.next();
    if (!result.done) this.#note(mark, result.value, place.unitsPassed);
    return result;
  }

  /** Keeps in mind what the consumer is given. */
  #note(mark: DeliveredMark, item: WalEvent | RawMessage | TransactionItem, unitsPassed: number): void {
    if (this.#style === 'transactions') mark.reach(unitsPassed);
    else if (this.#style === 'raw') mark.raw(item as RawMessage, unitsPassed);
    else mark.event(item as WalEvent, unitsPassed);
  }

  #wholeBatch(): IteratorResult<unknown> {
    const decoded = this.#place?.decoded;
    if (decoded !== undefined) this.#mark?.batch(decoded.cut);
    return { done: false, value: decoded?.batch };
  }

  /** Finishes the current batch and takes the next. */
  async #advance(wait: Wait): Promise<'taken' | 'ended' | 'timeout'> {
    if (!(await this.#startedWithin(wait))) return 'timeout';
    const { queue } = this.#intake;
    for (;;) {
      // Whatever was waited for, the stream may have been closed meanwhile.
      if (this.#life.over) {
        await this.#life.closed();
        return 'ended';
      }
      this.#finishPlace();
      if (this.#drain !== undefined && !this.#leftInTransaction) return this.#end(undefined);
      if (await this.#restWhenDue()) continue;
      const taken = this.#intake.take();
      if (taken !== undefined) {
        const place = await this.#enterBatch(taken);
        if (this.#intake.isStale(taken)) {
          this.#intake.finishBatch(taken);
          continue;
        }
        this.#place = place;
        return 'taken';
      }
      const { ended } = queue;
      if (ended !== undefined) return this.#end(ended.error);
      if (!(await this.#wait(wait))) return 'timeout';
    }
  }

  /** Waits for the start; `false` when the time is up before. A start that was stopped is no error to a consumer. */
  async #startedWithin({ signal, timeoutMs }: Wait): Promise<boolean> {
    const life = this.#life;
    if (life.started || life.closing) return true;
    const started = life.start().catch((error: unknown) => {
      if (!life.closing) throw error;
    });
    if (signal === undefined && timeoutMs === undefined) {
      await started;
      return true;
    }
    const limit = new AbortController();
    const onAbort = () => limit.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => limit.abort(TIME_IS_UP), timeoutMs);
    try {
      await orAbort(started, limit.signal);
      return true;
    } catch (error) {
      if (error === TIME_IS_UP) return false;
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  async #enterBatch(taken: Decoded): Promise<ConsumerPlace> {
    switch (this.#style) {
      case 'batches':
        return ConsumerPlace.wholeBatch(taken, this.#drain !== undefined);
      case 'transactions':
        return ConsumerPlace.inTransactions(taken, await this.#assemble(taken));
      default:
        return ConsumerPlace.inBatch(taken);
    }
  }

  /** The transactions that end in a batch. When they cannot be put together, nothing more can. */
  async #assemble({ batch, cut }: Decoded): Promise<readonly TransactionItem[]> {
    try {
      this.#assembler ??= await this.#life.openAssembler();
      return await this.#assembler.add(batch as WalBatch, cut.resumed);
    } catch (error) {
      // Closing takes the folder away from under it.
      if (this.#life.over) return [];
      await this.#life.close(error);
      throw error;
    }
  }

  #finishPlace(): void {
    const place = this.#place;
    if (place === undefined) return;
    const { frontier } = this.#intake;
    if (this.#finishesUnits) frontier.finishThrough(place.unitsPassed);
    else frontier.deliverThrough(place.unitsPassed);
    this.#leftInTransaction = place.inTransaction && !this.#intake.isStale(place.decoded);
    this.#place = undefined;
    this.#intake.finishBatch(place.decoded);
  }

  /** Waits until there is something to take; `false` when the time is up before. */
  async #wait({ signal, timeoutMs }: Wait): Promise<boolean> {
    const { queue } = this.#intake;
    if (timeoutMs === undefined && signal === undefined) {
      await queue.wait();
      this.#lastTickAt = performance.now();
      return true;
    }
    if (timeoutMs !== undefined && timeoutMs <= 0) return false;
    let timer: NodeJS.Timeout | undefined;
    let timedOut = false;
    const wake = () => queue.wake();
    if (timeoutMs !== undefined) {
      timer = setTimeout(() => {
        timedOut = true;
        queue.wake();
      }, timeoutMs);
    }
    signal?.addEventListener('abort', wake, { once: true });
    try {
      await queue.wait();
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', wake);
    }
    signal?.throwIfAborted();
    return !timedOut || queue.length > 0;
  }

  /** The stream is over: closes everything, then throws what ended it. */
  async #end(error: unknown): Promise<'ended'> {
    await this.#life.close(error);
    if (error !== undefined) throw error;
    return 'ended';
  }

  /** A loop over what is there already runs on microtasks alone, which would starve timers and sockets. */
  async #restWhenDue(): Promise<boolean> {
    if (!this.#isRestDue()) return false;
    await nextTick();
    this.#lastTickAt = performance.now();
    return true;
  }

  /** Whether a rest is due. The clock is cheap beside a slow consumer: there it is looked at for every event. */
  #checkClock(): boolean {
    const isDue = this.#isRestDue();
    this.#eventsToClockCheck = isDue ? 1 : EVENTS_PER_CLOCK_CHECK;
    return isDue;
  }

  #isRestDue(): boolean {
    return performance.now() - this.#lastTickAt >= MAX_LOOP_MS;
  }
}

/** How long one call waits for the stream. */
type Wait = NextEventOptions;

const TIME_IS_UP = Symbol('time is up');

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };
