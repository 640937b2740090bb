/**
 * Handles at most MAX_EVENTS_PER_SECOND events (default 10), evenly spaced, however much is written: for whatever comes
 * behind it and must not be flooded. Nothing piles up here meanwhile. The stream reads no more than `maxInFlightBytes`
 * ahead; then the server has to wait, and keeps the WAL.
 *
 *   npm run example rate-limited-streaming
 *   MAX_EVENTS_PER_SECOND=500 DATABASE_URL=postgresql://... npm run example rate-limited-streaming
 *
 * A slot that is read more slowly than the database is written keeps more and more WAL: watch the last figure, and set
 * max_slot_wal_keep_size on the server. The slot is dropped with
 *
 *   psql -c "SELECT pg_drop_replication_slot('rate_limited_slot')"
 */
import { interruption, whenInterrupted } from './building-blocks/interruption.js';
import './building-blocks/connection-loss.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lsn, type WalEvent, WalStream } from 'pg-walstream';
import { embeddedDatabase } from './sample-shop/embedded-database.js';

const STATS_INTERVAL_MS = 1_000;

/**
 * Lets one event pass at a time, `1 / rate` seconds apart. What was late is made up for by `MAX_LATE_MS` only: enough
 * for a timer that is late, too little for a burst after a pause.
 */
class Pacer {
  static readonly MAX_LATE_MS = 10;
  readonly #intervalMs: number;
  readonly #startedAt = performance.now();
  #nextAt = this.#startedAt;
  #passed = 0;
  #limitedMs = 0;

  constructor(eventsPerSecond: number) {
    this.#intervalMs = 1_000 / eventsPerSecond;
  }

  /** Waits for its turn; milliseconds since the beginning. Rejects when the signal is aborted. */
  async pass(signal: AbortSignal): Promise<number> {
    let now = performance.now();
    // A timer may be early by a fraction of a millisecond.
    while (now < this.#nextAt) {
      await sleep(Math.ceil(this.#nextAt - now), undefined, { signal });
      const woken = performance.now();
      this.#limitedMs += woken - now;
      now = woken;
    }
    this.#nextAt = Math.max(this.#nextAt, now - Pacer.MAX_LATE_MS) + this.#intervalMs;
    this.#passed++;
    return now - this.#startedAt;
  }

  /** Events that have passed, and the milliseconds that they were held back. */
  get figures() {
    return { passed: this.#passed, limitedMs: this.#limitedMs, elapsedMs: performance.now() - this.#startedAt };
  }
}

/** Current and average rate, how much of the time the limit held, and what lies here and on the server meanwhile. */
function startStatistics(pacer: Pacer, stream: WalStream): NodeJS.Timeout {
  let before = pacer.figures;
  return setInterval(() => {
    const now = pacer.figures;
    const current = ((now.passed - before.passed) * 1_000) / (now.elapsedMs - before.elapsedMs);
    const average = (now.passed * 1_000) / now.elapsedMs;
    const limited = (now.limitedMs / now.elapsedMs) * 100;
    const { inFlightBytes, lagBytes } = stream.stats();
    console.log(
      `stats: now ${current.toFixed(1)}/s, on average ${average.toFixed(1)}/s, limited ${limited.toFixed(0)} % of the time; ${inFlightBytes} bytes here, ${lagBytes ?? '?'} bytes behind on the server`,
    );
    before = now;
  }, STATS_INTERVAL_MS);
}

function readRate(): number {
  const text = process.env.MAX_EVENTS_PER_SECOND || '10';
  const rate = Number(text);
  if (!(rate >= 0.001 && rate <= 1_000_000)) {
    throw new RangeError(`MAX_EVENTS_PER_SECOND is '${text}': it has to be a number from 0.001 to 1000000, such as 10`);
  }
  return rate;
}

function describe(event: WalEvent): string {
  if (event.kind === 'insert' || event.kind === 'update' || event.kind === 'delete') {
    return `${event.kind} ${event.schema}.${event.table}`;
  }
  return event.kind === 'commit' ? `commit at ${Lsn.format(event.commitEndLsn)}` : event.kind;
}

try {
  const eventsPerSecond = readRate();
  const stream = new WalStream({
    connection: process.env.DATABASE_URL || (await embeddedDatabase()),
    slot: { name: 'rate_limited_slot', create: 'if-missing' },
    publications: 'my_publication',
    // As little as possible: it would only wait here instead of there.
    maxInFlightBytes: 1024 * 1024,
    retry: { maxAttempts: 10 },
  });
  // Ctrl+C does not wait for the next event, nor for the rest of a transaction, which may take minutes at this rate:
  // what is not confirmed comes again.
  whenInterrupted(() => void stream.stop({ drain: 'none' }).catch(() => {}));
  console.log(`at most ${eventsPerSecond} events/s of my_publication; Ctrl+C ends it`);
  const pacer = new Pacer(eventsPerSecond);
  const statistics = startStatistics(pacer, stream);
  try {
    for await (const event of stream) {
      // The loop asks for nothing meanwhile, and that is all it takes: the stream, the socket and the server wait too.
      const atMs = await pacer.pass(interruption);
      console.log(`${(atMs / 1_000).toFixed(3)} s  ${describe(event)}`);
    }
  } catch (error) {
    if (!interruption.aborted) throw error;
  } finally {
    clearInterval(statistics);
    await stream.stop({ drain: 'none' });
  }
  const { passed, elapsedMs } = pacer.figures;
  console.log(
    `stopped after ${passed} events in ${(elapsedMs / 1_000).toFixed(1)} s; confirmed up to ${Lsn.format(stream.stats().flushedLsn)}`,
  );
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
