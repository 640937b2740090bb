import { setImmediate as nextTick } from 'node:timers/promises';
import { orAbort } from '../connection/connect-deadline.js';
import { ConfigurationError } from '../errors.js';
import {
  type NextEventOptions,
  type ResolvedStreamOptions,
  resolveNextEventOptions,
  resolveStopOptions,
  resolveStreamOptions,
  type StopOptions,
  type WalStreamOptions,
} from '../options.js';
import { acknowledgementUnit, CommitEvent, MessageEvent, type WalEvent } from '../pgoutput/event.js';
import type { WalBatch } from '../pgoutput/wal-batch.js';
import { ConsumerPlace } from './consumer-place.js';
import { Intake } from './intake.js';
import { LagProbe } from './lag-probe.js';
import { openStream } from './open-stream.js';
import { RateMeter } from './rate-meter.js';
import type { RawMessage } from './raw-batch.js';
import type { WalStreamStats } from './stream-stats.js';

/** A loop over events that are there already lets timers and sockets have their turn after this time. */
const MAX_LOOP_MS = 10;
/** Events of a quick consumer between two looks at the clock. It may turn slow at any of them, and the server waits. */
const EVENTS_PER_CLOCK_CHECK = 8;
const STATS_SAMPLE_MS = 1_000;

type ConsumerStyle = 'events' | 'batches' | 'raw';

/**
 * A logical replication stream: connects, decodes in worker threads and delivers in exact order, at least once.
 * Consume it one way: `for await`, {@link batches}, {@link nextEvent} or {@link rawMessages}.
 *
 * Errors that end the stream are thrown to the consumer, after everything that came before them.
 *
 * @see https://www.postgresql.org/docs/current/protocol-logical-replication.html
 */
export class WalStream implements AsyncIterable<WalEvent>, AsyncDisposable {
  readonly #options: ResolvedStreamOptions;
  readonly #intake: Intake;
  readonly #lagProbe: LagProbe;
  readonly #rates = new RateMeter();
  #started: Promise<void> | undefined;
  /** Gives up the start, when it is stopped or aborted before it has ended. */
  readonly #starting = new AbortController();
  #closing: Promise<void> | undefined;
  #startedAt = 0;
  #warnings: readonly string[] = [];
  #sampler: NodeJS.Timeout | undefined;

  #style: ConsumerStyle | undefined;
  /** Where the consumer is; `undefined` between two batches. */
  #place: ConsumerPlace | undefined;
  /** Whether the batch before ended within a transaction. */
  #leftInTransaction = false;
  #pulling = false;
  /** Whether the consumer is in a loop, and so will come back. */
  #looping = false;
  #drain: { readonly resolve: () => void } | undefined;
  #over = false;
  /** What an abort is to be reported with, when the consumer comes back. */
  #abortReason: { readonly reason: unknown } | undefined;
  #lastTickAt = 0;
  #eventsToClockCheck = 0;

  /** Checks the options: {@link ConfigurationError} names the one at fault. Nothing is connected before {@link start}. */
  constructor(options: WalStreamOptions) {
    this.#options = resolveStreamOptions(options);
    this.#intake = new Intake(this.#options);
    this.#lagProbe = new LagProbe(this.#options.connection);
  }

  /**
   * Connects, checks what the server needs for streaming, creates the slot when that is asked for, and starts. Fails
   * fast: ConfigurationError, ConnectionError, TimeoutError, AuthenticationError, SlotError, ServerError. Called by
   * the first consumption when it was not before.
   */
  start(): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(stoppedError());
    this.#started ??= this.#start();
    return this.#started;
  }

  /**
   * What the checks at the start found that does not keep the stream from working, and what went wrong since without
   * ending it.
   */
  get warnings(): readonly string[] {
    return [...this.#warnings, ...this.#intake.pipeline.types.warnings];
  }

  /**
   * One event at a time. With `ack: 'auto'` a transaction is acknowledged when the consumer comes back for what
   * follows its commit. Leaving the loop closes the stream.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<WalEvent> {
    this.#choose('events');
    this.#looping = true;
    return this.#iterate(() => this.#nextInBatch() as IteratorResult<WalEvent>);
  }

  /**
   * The fast path: events as they arrived together, in plain iterables. With `ack: 'auto'` the transactions that end
   * in a batch are acknowledged when the consumer comes back for the next.
   */
  batches(): AsyncIterableIterator<WalBatch> {
    this.#choose('batches');
    this.#looping = true;
    return this.#iterate<WalBatch>(() => DONE);
  }

  /** Messages as the server sent them, undecoded. Acknowledged like events. */
  rawMessages(): AsyncIterableIterator<RawMessage> {
    this.#choose('raw');
    this.#looping = true;
    return this.#iterate(() => this.#nextInBatch() as IteratorResult<RawMessage>);
  }

  /**
   * The next event; `null` when `timeoutMs` is over before there is one, `undefined` when the stream has ended. An
   * aborted `signal` rejects with its reason. Either way nothing is lost: the event comes with the next call.
   */
  async nextEvent(options: NextEventOptions = {}): Promise<WalEvent | null | undefined> {
    this.#choose('events');
    const { signal, timeoutMs } = resolveNextEventOptions(options);
    this.#enter();
    try {
      signal?.throwIfAborted();
      const deadline = timeoutMs === undefined ? undefined : performance.now() + timeoutMs;
      for (;;) {
        const result = this.#nextInBatch() as IteratorResult<WalEvent>;
        if (!result.done) {
          await this.#yieldWhenDue();
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

  /**
   * Acknowledges, with `ack: 'manual'`: a commit event its transaction, a stand-alone message itself, an LSN every
   * delivered transaction whose commitEndLsn is not beyond it. The server is told the contiguous frontier. Events of
   * another stream, one before a restart for example, acknowledge nothing: they are delivered again.
   */
  ack(position: bigint | CommitEvent | MessageEvent): void {
    if (this.#options.ack !== 'manual') {
      throw new ConfigurationError("ack() needs the option ack: 'manual'", { option: 'ack' });
    }
    const { frontier } = this.#intake;
    if (typeof position === 'bigint') {
      frontier.deliverThrough(this.#place?.unitsPassed ?? 0);
      frontier.finishUpTo(position);
      return;
    }
    const unit =
      position instanceof CommitEvent || position instanceof MessageEvent ? acknowledgementUnit(position) : undefined;
    if (unit === undefined) {
      throw new ConfigurationError(
        'ack() takes a commit event, a message that stands alone, or an LSN: a change is acknowledged with its transaction',
        { option: 'ack' },
      );
    }
    // An event of another stream may bear the same number.
    const end = position instanceof CommitEvent ? position.commitEndLsn : position.lsn;
    if (frontier.endOf(unit) === end) frontier.finish(unit);
  }

  /** Figures of this moment. */
  stats(): WalStreamStats {
    const intake = this.#intake;
    const { copy, pipeline, frontier } = intake;
    const bytesReceived = copy?.bytesRead ?? 0;
    const [bytesPerSecond, changesPerSecond] = this.#rates.rates(performance.now(), [
      bytesReceived,
      intake.changesReceived,
    ]);
    const walEnd = copy === undefined || this.#over ? undefined : this.#lagProbe.walEnd();
    const flushedLsn = intake.reported.flush;
    return {
      uptimeMs: this.#startedAt === 0 ? 0 : performance.now() - this.#startedAt,
      bytesReceived,
      changesReceived: intake.changesReceived,
      unitsReceived: frontier.nextUnit,
      bytesPerSecond,
      changesPerSecond,
      reads: copy?.reads ?? 0,
      readDelayMs: copy?.readDelayMs ?? 0,
      inFlightBytes: intake.inFlightBytes,
      inFlightBatches: intake.inFlightBatches,
      workerBatches: pipeline.pool.batches,
      inlineBatches: pipeline.inlineBatches,
      workerRestarts: pipeline.pool.restarts,
      workerBusyMs: pipeline.pool.busyMs,
      mainThreadMs: intake.busyMs,
      receivedLsn: intake.receivedLsn,
      flushedLsn,
      lagMs: intake.lagMs,
      lagBytes: walEnd === undefined || flushedLsn === 0n ? undefined : walEnd > flushedLsn ? walEnd - flushedLsn : 0n,
    };
  }

  /**
   * Ends the stream: final feedback, then connection and workers are closed. The consumer's loop ends by itself.
   * Waits for the consumer to come back from what it has, and for the rest of its transaction, at most `timeoutMs`;
   * so do not await it inside the loop.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    const { drain, timeoutMs } = resolveStopOptions(options);
    if (this.#startedAt !== 0 && !this.#over && drain === 'transaction') await this.#drained(timeoutMs);
    await this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop({ drain: 'none' });
  }

  async #start(): Promise<void> {
    const { signal } = this.#options;
    const { pool } = this.#intake.pipeline;
    const starting = this.#starting.signal;
    const giveUp = () => this.#starting.abort(signal?.reason);
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      signal?.throwIfAborted();
      if (pool.needsPreparation) await orAbort(pool.prepare(), starting);
      const opened = await openStream(this.#options, this.#intake, starting);
      this.#warnings = opened.warnings;
      this.#intake.attach(opened.copy, opened.feedbackIntervalMs, opened.confirmedFlushLsn);
      starting.throwIfAborted();
    } catch (error) {
      this.#over = true;
      await this.#intake.close();
      throw error;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
    this.#startedAt = performance.now();
    this.#sampler = setInterval(() => this.#sample(), STATS_SAMPLE_MS);
    this.#sample();
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (signal?.aborted) this.#onAbort();
  }

  readonly #onAbort = (): void => {
    this.#abortReason = { reason: this.#options.signal?.reason };
    void this.#close();
  };

  #sample(): void {
    this.#rates.sample(performance.now(), [this.#intake.copy?.bytesRead ?? 0, this.#intake.changesReceived]);
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
          if ((await this.#advance({})) === 'ended') return { done: true, value: undefined };
          if (this.#style === 'batches') return { done: false, value: this.#place?.decoded.batch as T };
          const result = nextInBatch();
          if (!result.done) return result;
        }
      } finally {
        this.#pulling = false;
      }
    };
    const rest = async (result: IteratorResult<T>): Promise<IteratorResult<T>> => {
      await this.#yieldWhenDue();
      return result;
    };
    return {
      next: () => {
        if (this.#pulling) return pull();
        const result = nextInBatch();
        if (result.done) return pull();
        return --this.#eventsToClockCheck <= 0 && this.#checkClock() ? rest(result) : Promise.resolve(result);
      },
      return: async () => {
        await this.#close();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /** The next item of the current batch. That the consumer asks for it finishes the units before. */
  #nextInBatch(): IteratorResult<WalEvent | RawMessage> {
    const place = this.#place;
    if (place === undefined || this.#over) return DONE;
    if (this.#options.ack === 'auto') this.#intake.frontier.finishThrough(place.unitsPassed);
    if (this.#drain !== undefined && !place.inTransaction) return DONE;
    return place.next();
  }

  /** Finishes the current batch and takes the next. */
  async #advance(wait: { signal?: AbortSignal; timeoutMs?: number }): Promise<'taken' | 'ended' | 'timeout'> {
    if (!(await this.#startedWithin(wait))) return 'timeout';
    const { queue } = this.#intake;
    for (;;) {
      if (this.#over) return this.#reportEnd();
      this.#finishPlace();
      if (this.#drain !== undefined && !this.#leftInTransaction) return this.#finish(undefined);
      await this.#yieldWhenDue();
      const taken = this.#intake.take();
      if (taken !== undefined) {
        this.#place =
          this.#style === 'batches'
            ? ConsumerPlace.wholeBatch(taken, this.#drain !== undefined)
            : ConsumerPlace.inBatch(taken);
        return 'taken';
      }
      const { ended } = queue;
      if (ended !== undefined) return this.#finish(ended.error);
      if (!(await this.#wait(wait))) return 'timeout';
    }
  }

  /** Waits for the start; `false` when the time is up before. A start that was stopped is no error to a consumer. */
  async #startedWithin(wait: { signal?: AbortSignal; timeoutMs?: number }): Promise<boolean> {
    if (this.#startedAt !== 0 || this.#closing !== undefined) return true;
    const started = this.start().catch((error: unknown) => {
      if (this.#closing === undefined) throw error;
    });
    const { signal, timeoutMs } = wait;
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

  #finishPlace(): void {
    const place = this.#place;
    if (place === undefined) return;
    const { frontier } = this.#intake;
    if (this.#options.ack === 'auto') frontier.finishThrough(place.unitsPassed);
    else frontier.deliverThrough(place.unitsPassed);
    this.#leftInTransaction = place.inTransaction;
    this.#place = undefined;
    this.#intake.finishBatch(place.decoded);
  }

  /** Waits until there is something to take; `false` when the time is up before. */
  async #wait(options: { signal?: AbortSignal; timeoutMs?: number }): Promise<boolean> {
    const { queue } = this.#intake;
    const { signal, timeoutMs } = options;
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
  async #finish(error: unknown): Promise<'ended'> {
    await this.#close();
    if (error !== undefined) throw error;
    return 'ended';
  }

  /** The stream was closed from elsewhere: an abort is thrown, once. */
  async #reportEnd(): Promise<'ended'> {
    await this.#closing;
    const aborted = this.#abortReason;
    this.#abortReason = undefined;
    if (aborted !== undefined) throw aborted.reason;
    return 'ended';
  }

  /** Resolves when the consumer has come to the end of its transaction, or `timeoutMs` later. */
  async #drained(timeoutMs: number): Promise<void> {
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

  #close(): Promise<void> {
    this.#over = true;
    this.#closing ??= this.#closeNow();
    return this.#closing;
  }

  async #closeNow(): Promise<void> {
    clearInterval(this.#sampler);
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#starting.abort(stoppedError());
    this.#intake.abort(undefined);
    try {
      // What is still starting is given up, and closes what it has opened.
      await this.#started?.catch(() => {});
      await Promise.all([this.#intake.close(), this.#lagProbe.close()]);
    } finally {
      this.#drain?.resolve();
    }
  }

  /** A loop over what is there already runs on microtasks alone, which would starve timers and sockets. */
  async #yieldWhenDue(): Promise<void> {
    if (!this.#isRestDue()) return;
    await nextTick();
    this.#lastTickAt = performance.now();
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

const TIME_IS_UP = Symbol('time is up');

function stoppedError(): ConfigurationError {
  return new ConfigurationError('the stream has been stopped', { option: 'start' });
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };
