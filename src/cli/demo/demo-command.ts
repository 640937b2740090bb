import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { WalStream, type WalStreamOptions } from '../../index.js';
import { EmbeddedServer } from '../embedded-server.js';
import { onOneLine } from '../failure-line.js';
import { LiveLine } from '../live-line.js';
import { Output, OutputClosedError } from '../output.js';
import { type Palette, paletteFor } from '../palette.js';
import { formatBytes, formatCount, formatShare, RateSampler, type Rates, rateLine } from '../rate-line.js';
import { StopSignals } from '../stop-signals.js';
import { UsageError } from '../usage-error.js';
import { SERVER_SETTINGS } from './demo-schema.js';
import { DemoWriters } from './demo-writers.js';
import { DemoOrderCheck, OrderCheck } from './order-check.js';
import { Samples } from './samples.js';

/** Flags of `demo`, as commander names them. */
export interface DemoFlags {
  readonly seconds: number;
  readonly writers?: number;
  readonly workers?: number;
  readonly publication?: readonly string[];
}

const PUBLICATION = 'pg_walstream_demo';
/** What the writers aim at, all together: much, and no more than two cores can write, send and read. */
const WRITE_RATE = 80_000;
const LINE_INTERVAL_MS = 1_000;
/** How long the rest of what was written may take to come. */
const DRAIN_TIMEOUT_MS = 60_000;
const DEFAULT_WRITERS = 4;

/** Runs the demo; whether everything came in order. */
export async function demoCommand(flags: DemoFlags): Promise<boolean> {
  const embedded = !process.env.DATABASE_URL;
  if (embedded && flags.publication !== undefined) {
    throw new UsageError('--publication needs DATABASE_URL: the embedded server has a publication of its own');
  }
  if (!embedded && flags.writers !== undefined) {
    throw new UsageError('--writers does not go with DATABASE_URL: nothing is written there');
  }
  using signals = new StopSignals();
  const demo = new Demo(flags, signals);
  try {
    return embedded ? await demo.onEmbeddedServer() : await demo.onDatabase();
  } catch (error) {
    if (error instanceof OutputClosedError || demo.interrupted) return true;
    throw error;
  } finally {
    // What a reader does not read would keep the process running.
    if (signals.atOnce.aborted) process.exit(0);
  }
}

class Demo {
  readonly #flags: DemoFlags;
  readonly #signals: StopSignals;
  readonly #output = new Output(process.stdout);
  readonly #palette: Palette = paletteFor(process.stdout);
  readonly #live = new LiveLine(process.stdout);
  readonly #abort = new AbortController();
  readonly #slot = `pg_walstream_demo_${process.pid}`;

  constructor(flags: DemoFlags, signals: StopSignals) {
    this.#flags = flags;
    this.#signals = signals;
    signals.atOnce.addEventListener('abort', () => this.#abort.abort(signals.atOnce.reason));
  }

  /** Signals stopped it before it could end in good order. */
  get interrupted(): boolean {
    const { requested, atOnce } = this.#signals;
    const { aborted, reason } = this.#abort.signal;
    return aborted && (reason === requested.reason || reason === atOnce.reason);
  }

  /** Starts a server, has writers write to it, and checks that all of it comes in order. */
  async onEmbeddedServer(): Promise<boolean> {
    const { seconds } = this.#flags;
    const writerCount = this.#flags.writers ?? DEFAULT_WRITERS;
    await this.#say('starting PostgreSQL 18 …');
    const password = randomBytes(24).toString('base64url');
    await using server = await EmbeddedServer.start({ major: 18, password, settings: SERVER_SETTINGS });
    this.#throwIfRequested();
    await using writers = new DemoWriters();
    await writers.setUp({ host: server.host, port: server.port, password }, writerCount, PUBLICATION);
    writers.failed.catch((error) => this.#abort.abort(error));

    // The user's PG* variables are about another server.
    for (const name of Object.keys(process.env)) if (name.startsWith('PG')) delete process.env[name];
    await using stream = this.#openStream({
      connection: `${server.connectionString()}?sslmode=disable`,
      publications: PUBLICATION,
    });
    await this.#start(stream);
    await this.#say(`${writerCount} connections write, ${seconds} s long; Ctrl+C ends it earlier\n`);
    const check = new DemoOrderCheck(writerCount);
    writers.write(WRITE_RATE, this.#slot);
    let written: Promise<readonly number[]> | undefined;
    const overall = await this.#watch(stream, check, () => {
      written = writers.stop();
      written.catch(() => {});
      const tooLate = new Error(`what was written has not come within ${DRAIN_TIMEOUT_MS / 1000} s`);
      setTimeout(() => this.#abort.abort(tooLate), DRAIN_TIMEOUT_MS).unref();
    });
    if (written !== undefined) check.seeAll(await written);
    return await this.#summarize(
      stream,
      check,
      overall,
      `${formatCount(check.rows)} rows of ${writerCount} writers, none missing`,
    );
  }

  /** Streams DATABASE_URL, and writes nothing. */
  async onDatabase(): Promise<boolean> {
    await using stream = this.#openStream({ publications: this.#flags.publication ?? PUBLICATION });
    await this.#start(stream);
    await this.#say(
      `streaming DATABASE_URL through the temporary slot ${this.#slot}, ${this.#flags.seconds} s long; Ctrl+C ends it earlier\n`,
    );
    const check = new OrderCheck();
    // Should it fail, the loop does too and says why.
    const overall = await this.#watch(stream, check, () => void stream.stop({ drain: 'transaction' }).catch(() => {}));
    return await this.#summarize(stream, check, overall, `${formatCount(check.transactions)} commits`);
  }

  #openStream(options: Pick<WalStreamOptions, 'connection' | 'publications'>): WalStream {
    return new WalStream({
      ...options,
      slot: { name: this.#slot, create: 'if-missing', temporary: true },
      messages: true,
      ...(this.#flags.workers !== undefined && { workers: this.#flags.workers }),
      signal: this.#abort.signal,
    });
  }

  #throwIfRequested(): void {
    const { requested } = this.#signals;
    if (requested.aborted) this.#abort.abort(requested.reason);
    this.#abort.signal.throwIfAborted();
  }

  /** Ctrl+C need not wait for the server to answer. */
  async #start(stream: WalStream): Promise<void> {
    const { requested } = this.#signals;
    const onRequest = () => this.#abort.abort(requested.reason);
    this.#throwIfRequested();
    requested.addEventListener('abort', onRequest);
    await stream.start();
    requested.removeEventListener('abort', onRequest);
    for (const warning of stream.warnings) process.stderr.write(`pg-walstream: warning: ${onOneLine(warning)}\n`);
  }

  /** Reads every row of the stream, and shows some of them and the rates, until the time is up and `wrapUp` has worked. */
  async #watch(stream: WalStream, check: OrderCheck, wrapUp: () => void): Promise<Rates> {
    const samples = new Samples(this.#palette);
    const sampler = new RateSampler(() => stream.stats());
    let seconds = 0;
    const ticker = setInterval(() => {
      this.#live.show(`${this.#palette.dim(`${++seconds} s`.padStart(5))}  ${rateLine(sampler.next())}`);
      if (this.#output.closed) this.#abort.abort(new OutputClosedError());
    }, LINE_INTERVAL_MS);
    const end = new AbortController();
    const onRequest = () => end.abort();
    this.#signals.requested.addEventListener('abort', onRequest);
    if (this.#signals.requested.aborted) end.abort();
    let overall: Rates | undefined;
    const ended = sleep(this.#flags.seconds * 1000, undefined, { signal: end.signal })
      .catch(() => {})
      .then(() => {
        overall = sampler.overall();
        if (!this.#abort.signal.aborted) wrapUp();
      });
    try {
      for await (const batch of stream.batches()) {
        for (const event of batch) {
          if (!samples.complete) this.#showSample(samples.take(event));
          check.see(event);
        }
        if (check.complete) break;
      }
      return overall ?? sampler.overall();
    } finally {
      clearInterval(ticker);
      this.#signals.requested.removeEventListener('abort', onRequest);
      end.abort();
      await ended;
      this.#live.end();
    }
  }

  #showSample(text: string | undefined): void {
    if (text === undefined) return;
    this.#live.end('clear');
    process.stdout.write(`${text}\n`);
  }

  async #summarize(stream: WalStream, check: OrderCheck, overall: Rates, what: string): Promise<boolean> {
    const { bold, green, red } = this.#palette;
    const { bytesReceived, uptimeMs } = stream.stats();
    const { problem } = check;
    await this.#say(
      [
        '',
        `${formatCount(check.changes)} changes in ${formatCount(check.transactions)} transactions, ${formatBytes(bytesReceived)}, ${(uptimeMs / 1000).toFixed(1)} s`,
        `on average ${bold(`${formatCount(overall.changesPerSecond)} changes/s`)}, ${formatBytes(overall.bytesPerSecond)}/s, main thread ${formatShare(overall.mainThreadShare)}, workers ${formatShare(overall.workerShare)}`,
        `in exact order: ${problem === undefined ? `${green('yes')} (${what})` : `${red('NO')}: ${onOneLine(problem)}`}`,
      ].join('\n'),
    );
    return problem === undefined;
  }

  async #say(text: string): Promise<void> {
    await this.#output.write(`${text}\n`, this.#signals.atOnce);
  }
}
