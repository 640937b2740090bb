import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import pgLogicalReplication from 'pg-logical-replication';
import { WalStream } from '../src/index.js';
import type { BenchContext } from './bench-context.js';
import type { TableRow } from './report.js';
import { dropWhenReleased } from './slot-copies.js';
import { percentile, type Spread } from './spread.js';

const TURNS = 5;
const SAMPLES_PER_TURN = 50;
/** The first changes of a turn warm the connection up and are not counted. */
const WARM_UP_SAMPLES = 5;
/** Between two changes the stream is idle, and not always equally long: timers could get into step. */
const MIN_IDLE_MS = 5;
const IDLE_SPREAD_MS = 15;
const ARRIVAL_TIMEOUT_MS = 10_000;
const MAX_DIFFERENCE_MS = 1;
const NAMES = ['pg-walstream', 'pg-logical-replication'] as const;
type ListenerName = (typeof NAMES)[number];

/** Says when a row has come; one row is awaited at a time. */
class Arrivals {
  #waiting: ((arrivedAt: number) => void) | undefined;

  onRow(): void {
    const arrivedAt = performance.now();
    this.#waiting?.(arrivedAt);
    this.#waiting = undefined;
  }

  /** Ask before the row is committed. */
  next(): Promise<number> {
    return new Promise((resolve, reject) => {
      const timeout = setTimeout(() => reject(new Error('a committed change did not come')), ARRIVAL_TIMEOUT_MS);
      this.#waiting = (arrivedAt) => {
        clearTimeout(timeout);
        resolve(arrivedAt);
      };
    });
  }
}

interface Listener {
  stop(): Promise<void>;
}

/**
 * Time from COMMIT being sent to the change in the consumer's hands, writer and consumer in this process. The two
 * listen in turns, never together: the server would serve both at once.
 */
export async function benchLatency({ client, connection, report, progress }: BenchContext): Promise<void> {
  await client.query('CREATE TABLE latency (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL)');
  await client.query('CREATE PUBLICATION bench_latency FOR TABLE latency');
  const writer = new pg.Client({ connectionString: connection });
  await writer.connect();
  await writer.query('SET synchronous_commit = on');
  const samples: Record<ListenerName, number[]> = { 'pg-walstream': [], 'pg-logical-replication': [] };
  try {
    for (let turn = 0; turn < TURNS; turn++) {
      for (const name of NAMES) samples[name].push(...(await takeTurn(name, client, connection, writer)));
      progress(`latency: turn ${turn + 1} of ${TURNS}`);
    }
  } finally {
    await writer.end();
  }
  const medians = NAMES.map((name) => medianOf(samples[name]));
  report.tables.push({
    title: `commit to consumer on an idle stream, ${TURNS * SAMPLES_PER_TURN} changes each`,
    rows: NAMES.map((name) => rowOf(name, samples[name])),
  });
  report.verdicts.push({
    name: "one change on an idle stream: median beyond pg-logical-replication's",
    value: (medians[0] ?? Number.NaN) - (medians[1] ?? Number.NaN),
    bound: 'at most',
    target: MAX_DIFFERENCE_MS,
    unit: 'ms',
  });
}

async function takeTurn(
  name: ListenerName,
  client: pg.Client,
  connection: string,
  writer: pg.Client,
): Promise<number[]> {
  const slot = 'bench_latency';
  const arrivals = new Arrivals();
  await client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [slot]);
  const listen = name === 'pg-walstream' ? listenWithWalStream : listenWithPgLogicalReplication;
  const listener = await listen(connection, slot, arrivals);
  const latenciesMs: number[] = [];
  try {
    for (let sample = 0; sample < WARM_UP_SAMPLES + SAMPLES_PER_TURN; sample++) {
      await sleep(MIN_IDLE_MS + Math.random() * IDLE_SPREAD_MS);
      await writer.query('BEGIN');
      await writer.query("INSERT INTO latency (body) VALUES ('one change')");
      const arrival = arrivals.next();
      const committingAt = performance.now();
      const committed = writer.query('COMMIT');
      const latencyMs = (await arrival) - committingAt;
      await committed;
      if (sample >= WARM_UP_SAMPLES) latenciesMs.push(latencyMs);
    }
  } finally {
    await listener.stop();
    await dropWhenReleased(client, slot);
  }
  return latenciesMs;
}

async function listenWithWalStream(connection: string, slot: string, arrivals: Arrivals): Promise<Listener> {
  const stream = new WalStream({ connection, slot, publications: 'bench_latency' });
  await stream.start();
  const reading = (async () => {
    for await (const event of stream) if (event.kind === 'insert' && event.new.body !== undefined) arrivals.onRow();
  })();
  return {
    async stop() {
      await stream.stop();
      await reading;
    },
  };
}

async function listenWithPgLogicalReplication(connection: string, slot: string, arrivals: Arrivals): Promise<Listener> {
  const service = new pgLogicalReplication.LogicalReplicationService(
    { connectionString: connection },
    { acknowledge: { auto: false, timeoutSeconds: 10 } },
  );
  service.on('data', (_lsn: string, message: pgLogicalReplication.Pgoutput.Message) => {
    if (message.tag === 'insert' && message.new.body !== undefined) arrivals.onRow();
  });
  const started = new Promise<void>((resolve) => {
    service.on('start', () => resolve());
  });
  const plugin = new pgLogicalReplication.PgoutputPlugin({ protoVersion: 1, publicationNames: ['bench_latency'] });
  const ended = service.subscribe(plugin, slot);
  await Promise.race([started, ended]);
  return {
    async stop() {
      await service.destroy();
      await ended.catch(() => {});
    },
  };
}

function rowOf(name: string, latenciesMs: readonly number[]): TableRow {
  const sorted = latenciesMs.toSorted((a, b) => a - b);
  const at = (percent: number): Spread => {
    const value = percentile(sorted, percent);
    return { median: value, min: value, max: value };
  };
  return { name, figures: { 'median ms': at(50), 'p95 ms': at(95), 'p99 ms': at(99), 'max ms': at(100) } };
}

function medianOf(values: readonly number[]): number {
  return percentile(
    values.toSorted((a, b) => a - b),
    50,
  );
}
