import { Readable } from 'node:stream';
import { inspect } from 'node:util';
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
import type { AcknowledgeableEvent, WalEvent } from '../pgoutput/event.js';
import type { AnyTables, TableTypes } from '../pgoutput/table-types.js';
import { acknowledgementUnit, UnitEvent } from '../pgoutput/unit-event.js';
import type { WalBatch } from '../pgoutput/wal-batch.js';
import { Consumer, type StreamLife } from './consumer.js';
import { DeliveredMark } from './delivered-mark.js';
import { Intake } from './intake.js';
import { LagProbe, type StreamPlace } from './lag-probe.js';
import { type OpenStream, openStream } from './open-stream.js';
import { RateMeter } from './rate-meter.js';
import type { RawMessage } from './raw-batch.js';
import { Reconnector } from './reconnector.js';
import { SpillDirectory } from './spill-directory.js';
import { StreamReporter } from './stream-reporter.js';
import type { WalStreamStats } from './stream-stats.js';
import type { PreparedTransaction, Transaction } from './transaction.js';
import { TransactionAssembler, type TransactionItem } from './transaction-assembler.js';

const STATS_SAMPLE_MS = 1_000;

/**
 * A logical replication stream: connects, decodes in worker threads and delivers in exact order, at least once.
 * Consume it one way: `for await`, {@link batches}, {@link transactions}, {@link nextEvent},
 * {@link rawMessages} or {@link readable}.
 *
 * Errors that end the stream are thrown to the consumer, after everything that came before them.
 *
 * `Tables` are the row types of the published tables by 'schema.table', such as `pg-walstream types` writes: then
 * `schema` and `table` of a row event tell the types of its rows. They are believed, not checked: a table that is not
 * among them is delivered all the same.
 *
 * @see https://www.postgresql.org/docs/current/protocol-logical-replication.html
 */
export class WalStream<Tables extends TableTypes<Tables> = AnyTables>
  implements AsyncIterable<WalEvent<Tables>>, AsyncDisposable
{
  readonly #options: ResolvedStreamOptions;
  readonly #reporter: StreamReporter;
  readonly #intake: Intake;
  readonly #consumer: Consumer;
  readonly #lagProbe: LagProbe;
  readonly #rates = new RateMeter();
  readonly #reconnector: Reconnector;
  #started: Promise<void> | undefined;
  /** While the connection is made again. */
  #reconnecting: Promise<void> | undefined;
  #reconnects = 0;
  /** Gives up connecting, when the stream is stopped or aborted meanwhile. */
  readonly #connecting = new AbortController();
  #closing: Promise<void> | undefined;
  #startedAt = 0;
  /** The cluster that is streamed from. */
  #system = { systemIdentifier: '', timeline: 0 };
  /** Where large transactions go, once the stream has started; rejects where that cannot be used. */
  #spillDirectory: Promise<SpillDirectory> | undefined;
  #warnings: readonly string[] = [];
  #sampler: NodeJS.Timeout | undefined;

  #over = false;
  #lastStats: WalStreamStats | undefined;
  /** What an abort is to be reported with, when the consumer comes back. */
  #abortReason: { readonly reason: unknown } | undefined;

  /** Checks the options: {@link ConfigurationError} names the one at fault. Nothing is connected before {@link start}. */
  constructor(options: WalStreamOptions) {
    this.#options = resolveStreamOptions(options);
    const mark = this.#options.retry.redeliver ? new DeliveredMark() : undefined;
    this.#reporter = new StreamReporter(this.#options.slot.name, this.#options.logger);
    this.#intake = new Intake(this.#options, this.#reporter, (error) => this.#onLost(error), mark);
    this.#reconnector = new Reconnector(this.#options.retry, this.#reporter);
    this.#consumer = new Consumer(this.#intake, this.#life(), this.#options.ack, mark);
    this.#lagProbe = new LagProbe(this.#options.connection, () => this.#place);
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
   * What the checks at the start found that does not keep the stream from working, with the statements that mend it, and
   * what went wrong since without ending the stream.
   */
  get warnings(): readonly string[] {
    return [...this.#warnings, ...this.#intake.pipeline.types.warnings];
  }

  /**
   * One event at a time. With `ack: 'auto'` a transaction is acknowledged when the consumer comes back for what
   * follows its commit. Leaving the loop closes the stream.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<WalEvent<Tables>> {
    return this.#consumer.events() as AsyncIterableIterator<WalEvent<Tables>>;
  }

  /**
   * The fast path: events as they arrived together, in plain iterables. With `ack: 'auto'` the transactions that end
   * in a batch are acknowledged when the consumer comes back for the next.
   */
  batches(): AsyncIterableIterator<WalBatch<Tables>> {
    return this.#consumer.batches() as AsyncIterableIterator<WalBatch<Tables>>;
  }

  /**
   * Whole transactions, one at a time, in the order in which they were committed (or prepared, with `twoPhase`), without
   * what was rolled back. What a prepared transaction came to, and messages that stand alone, come in between. Each is
   * a unit of acknowledgement.
   *
   * A transaction that is too large for memory is kept on disk (`spill`), and removed from there when it is
   * acknowledged or the stream ends. SpillError when that is impossible.
   */
  transactions(): AsyncIterableIterator<TransactionItem<Tables>> {
    return this.#consumer.transactions() as AsyncIterableIterator<TransactionItem<Tables>>;
  }

  /** Messages as the server sent them, undecoded. Acknowledged like events. */
  rawMessages(): AsyncIterableIterator<RawMessage> {
    return this.#consumer.rawMessages();
  }

  /**
   * Events, batches or transactions in a Readable in object mode, for `pipeline`, `filter`, `map`, `take` and whatever
   * else takes one. All of these read ahead, so it needs `ack: 'manual'`: ConfigurationError without. What ends the stream
   * is its 'error' event; {@link stop} ends it, and destroying it closes the stream.
   *
   * @see https://nodejs.org/api/stream.html#readable-streams
   */
  readable(of: 'events' | 'batches' | 'transactions' = 'events'): Readable {
    if (this.#options.ack !== 'manual') {
      throw new ConfigurationError(
        "readable() needs the option ack: 'manual': a Readable reads ahead, and what nobody has handled would be acknowledged",
        { option: 'ack' },
      );
    }
    switch (of) {
      case 'events':
        return Readable.from(this);
      case 'batches':
        return Readable.from(this.batches());
      case 'transactions':
        return Readable.from(this.transactions());
      default:
        throw new ConfigurationError(`readable() gives 'events', 'batches' or 'transactions', not ${inspect(of)}`, {
          option: 'consumer',
        });
    }
  }

  /**
   * The next event; `null` when `timeoutMs` is over before there is one, `undefined` when the stream has ended. An
   * aborted `signal` rejects with its reason. Either way nothing is lost: the event comes with the next call.
   */
  async nextEvent(options: NextEventOptions = {}): Promise<WalEvent<Tables> | null | undefined> {
    return (await this.#consumer.nextEvent(resolveNextEventOptions(options))) as WalEvent<Tables> | null | undefined;
  }

  /**
   * Acknowledges, with `ack: 'manual'`: a transaction itself, a commit or prepare event its transaction, a message that
   * stands alone itself, an LSN every delivered transaction whose commitEndLsn is not beyond it. The server is told the
   * contiguous frontier. What another stream gave, one before a restart for example, acknowledges nothing: it is
   * delivered again.
   */
  ack(position: bigint | AcknowledgeableEvent | Transaction | PreparedTransaction): void {
    if (this.#options.ack !== 'manual') {
      throw new ConfigurationError("ack() needs the option ack: 'manual'", { option: 'ack' });
    }
    const { frontier } = this.#intake;
    if (typeof position === 'bigint') {
      frontier.deliverThrough(this.#consumer.unitsPassed);
      frontier.finishUpTo(position);
      return;
    }
    const unit = position instanceof UnitEvent ? acknowledgementUnit(position) : undefined;
    if (unit === undefined) {
      throw new ConfigurationError(
        'ack() takes a transaction, an event that commits or prepares a transaction or rolls a prepared one back, a message that stands alone, or an LSN: a change is acknowledged with its transaction',
        { option: 'ack' },
      );
    }
    if (unit.counter === frontier) frontier.finish(unit.number);
  }

  /** Name of the slot. */
  get slot(): string {
    return this.#options.slot.name;
  }

  /** Figures of this moment; after the end, those of the end. */
  stats(): WalStreamStats {
    return this.#lastStats ?? this.#stats();
  }

  #stats(): WalStreamStats {
    const intake = this.#intake;
    const { copy, pipeline, frontier } = intake;
    const { bytesReceived } = intake;
    const [bytesPerSecond, changesPerSecond] = this.#rates.rates(performance.now(), [
      bytesReceived,
      intake.changesReceived,
    ]);
    return {
      uptimeMs: this.#startedAt === 0 ? 0 : performance.now() - this.#startedAt,
      bytesReceived,
      changesReceived: intake.changesReceived,
      unitsReceived: frontier.received,
      unitsUnacknowledged: frontier.unfinished,
      bytesPerSecond,
      changesPerSecond,
      reads: intake.reads,
      readDelayMs: copy?.readDelayMs ?? 0,
      connected: copy !== undefined && !this.#over,
      reconnects: this.#reconnects,
      inFlightBytes: intake.inFlightBytes,
      inFlightBatches: intake.inFlightBatches,
      workers: this.#options.workers,
      workerBatches: pipeline.pool.batches,
      inlineBatches: pipeline.inlineBatches,
      workerRestarts: pipeline.pool.restarts,
      invalidRows: pipeline.invalidRows,
      workerBusyMs: pipeline.pool.busyMs,
      mainThreadMs: intake.busyMs,
      receivedLsn: intake.receivedLsn,
      flushedLsn: intake.reported.flush,
      lagMs: intake.lagMs,
      lagBytes: this.#place === undefined ? undefined : this.#lagProbe.lagBytes(),
    };
  }

  get #place(): StreamPlace | undefined {
    const { copy, reported } = this.#intake;
    return copy === undefined || this.#over ? undefined : { host: copy.host, flushedLsn: reported.flush };
  }

  /**
   * Ends the stream: final feedback, then connection and workers are closed. The consumer's loop ends by itself.
   * Waits for the consumer to come back from what it has, and for the rest of its transaction, at most `timeoutMs`;
   * so do not await it inside the loop.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    const { drain, timeoutMs } = resolveStopOptions(options);
    if (this.#startedAt !== 0 && !this.#over && drain === 'transaction') await this.#consumer.drained(timeoutMs);
    await this.#close();
  }

  /** As {@link stop} with `drain: 'none'`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop({ drain: 'none' });
  }

  #life(): StreamLife {
    const stream = this;
    return {
      get started() {
        return stream.#startedAt !== 0;
      },
      get over() {
        return stream.#over;
      },
      get closing() {
        return stream.#closing !== undefined;
      },
      start: () => this.start(),
      openAssembler: () => this.#openAssembler(),
      close: (error) => this.#close(error),
      closed: () => this.#closed(),
    };
  }

  async #start(): Promise<void> {
    const { signal } = this.#options;
    const { pool } = this.#intake.pipeline;
    const starting = this.#connecting.signal;
    const giveUp = () => this.#connecting.abort(signal?.reason);
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      signal?.throwIfAborted();
      // Threads come up while the server is asked.
      pool.start();
      if (pool.needsPreparation) await orAbort(pool.prepare(), starting);
      const opened = await this.#openFirst(starting);
      this.#warnings = opened.warnings;
      // From here on what is lost is made again, even if it is lost already.
      this.#startedAt = performance.now();
      this.#attach(opened);
      for (const warning of opened.warnings) this.#reporter.warned(warning);
      this.#spillDirectory = this.#openSpillDirectory();
      // Most ways to consume never need it. To one that does, this is thrown then.
      this.#spillDirectory.catch((error: Error) => this.#warn(error.message));
      starting.throwIfAborted();
    } catch (error) {
      this.#over = true;
      await this.#intake.close();
      this.#reporter.ended(starting.aborted ? undefined : error);
      throw error;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
    this.#sampler = setInterval(() => this.#sample(), STATS_SAMPLE_MS);
    this.#sample();
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (signal?.aborted) this.#onAbort();
  }

  #warn(warning: string): void {
    this.#warnings = [...this.#warnings, warning];
    this.#reporter.warned(warning);
  }

  async #openFirst(signal: AbortSignal): Promise<OpenStream> {
    const open = () => openStream(this.#options, this.#intake, signal);
    try {
      return await open();
    } catch (error) {
      signal.throwIfAborted();
      if (!this.#options.retriesStart) throw error;
      const opened = await this.#reconnector.open(error, open, signal);
      this.#reconnector.progressed();
      return opened;
    }
  }

  #attach(opened: OpenStream): void {
    const { systemIdentifier, timeline } = opened;
    this.#system = { systemIdentifier, timeline };
    this.#reporter.connected(opened);
    this.#intake.attach(opened);
  }

  /** Whether the stream goes on: then the connection is being made again. */
  #onLost(error: unknown): boolean {
    const { retry } = this.#options;
    if (this.#over || this.#startedAt === 0) return false;
    if (this.#intake.progressedWithin(retry.maxDelayMs)) this.#reconnector.progressed();
    if (!this.#reconnector.canRetry(error)) return false;
    this.#reconnecting = this.#reconnect(error);
    return true;
  }

  async #reconnect(error: unknown): Promise<void> {
    const { signal } = this.#connecting;
    // Let the intake put its things in order first.
    await Promise.resolve();
    const point = { ...this.#system, ...this.#intake.resumePosition };
    const open = () => openStream(this.#options, this.#intake, signal, point);
    try {
      const opened = await this.#reconnector.open(error, open, signal);
      this.#reconnects++;
      this.#attach(opened);
      this.#reporter.connectionResumed(point.lsn);
    } catch (failure) {
      if (!signal.aborted) this.#intake.end(failure);
    }
  }

  /** What a process left there that crashed is gone, however this one consumes the stream. */
  async #openSpillDirectory(): Promise<SpillDirectory> {
    const { spill, slot } = this.#options;
    const { systemIdentifier } = this.#system;
    const directory = new SpillDirectory(spill.directory, { systemIdentifier, slot: slot.name });
    await directory.clear();
    return directory;
  }

  async #openAssembler(): Promise<TransactionAssembler> {
    const directory = await (this.#spillDirectory ?? this.#openSpillDirectory());
    const onSpill = (xid: number, byteCount: number) => this.#reporter.spilled(xid, byteCount);
    return new TransactionAssembler(directory, this.#options.spill.memoryBytes, onSpill);
  }

  readonly #onAbort = (): void => {
    this.#abortReason = { reason: this.#options.signal?.reason };
    // Whoever consumes the stream hears of it, and of the reason first.
    this.#close().catch(() => {});
  };

  #sample(): void {
    this.#rates.sample(performance.now(), [this.#intake.bytesReceived, this.#intake.changesReceived]);
  }

  /** An abort is thrown to the consumer, once. */
  async #closed(): Promise<void> {
    try {
      await this.#closing;
    } finally {
      const aborted = this.#abortReason;
      this.#abortReason = undefined;
      // biome-ignore lint/correctness/noUnsafeFinally: it goes before what went wrong because of it
      if (aborted !== undefined) throw aborted.reason;
    }
  }

  #close(error?: unknown): Promise<void> {
    this.#over = true;
    this.#closing ??= this.#closeNow(error);
    return this.#closing;
  }

  async #closeNow(error: unknown): Promise<void> {
    clearInterval(this.#sampler);
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#connecting.abort(stoppedError());
    this.#intake.abort(undefined);
    try {
      // What is still starting is given up, and closes what it has opened.
      await this.#started?.catch(() => {});
      await this.#reconnecting;
      await this.#spillDirectory?.catch(() => {});
      await Promise.all([this.#intake.close(), this.#lagProbe.close()]).finally(() => this.#consumer.close());
    } finally {
      this.#lastStats = {
        ...this.#stats(),
        bytesPerSecond: 0,
        changesPerSecond: 0,
        readDelayMs: 0,
        inFlightBytes: 0,
        inFlightBatches: 0,
      };
      this.#reporter.ended(error);
    }
  }
}

function stoppedError(): ConfigurationError {
  return new ConfigurationError('the stream has been stopped', { option: 'start' });
}
