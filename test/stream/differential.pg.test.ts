import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Lsn, type WalEvent, WalStream, type WalStreamOptions } from '../../src/index.js';
import {
  assertSameEvents,
  type Comparable,
  EventComparer,
  expectedEvents,
  losslessFromText,
  peekMessages,
  serverText,
  type ToValue,
} from '../support/oracle.js';
import { assertSameRows, Replay, readTable } from '../support/oracle-replay.js';
import { SEED } from '../support/seed.js';
import { connect, PG_MAJOR, sharedServer } from '../support/server.js';
import {
  createWorkloadSchema,
  END_PREFIX,
  runWorkload,
  WORKLOAD_PUBLICATIONS,
  WORKLOAD_TABLES,
  type WorkloadReport,
} from '../support/workload.js';

const WRITERS = 5;
const TRANSACTIONS_PER_WRITER = 80;
const ORACLE_SLOT = 'oracle';
const LIVE_SLOT = 'live';

interface Variant {
  readonly slot: string;
  readonly title: string;
  readonly consume: (stream: WalStream) => Promise<Comparable[]>;
  readonly options: Partial<WalStreamOptions>;
  readonly toValue: ToValue;
}

const VARIANTS: readonly Variant[] = [
  { slot: 'v1', title: 'for await, text', consume: oneByOne, options: {}, toValue: losslessFromText },
  { slot: 'v2', title: 'batches, text', consume: byBatches, options: {}, toValue: losslessFromText },
  { slot: 'v3', title: 'for await, binary', consume: oneByOne, options: { binary: true }, toValue: losslessFromText },
  { slot: 'v4', title: 'batches, binary', consume: byBatches, options: { binary: true }, toValue: losslessFromText },
  { slot: 'v5', title: 'nextEvent', consume: byPolling, options: { types: 'text' }, toValue: serverText },
  {
    slot: 'v6',
    title: 'batches, the smallest window',
    consume: byBatches,
    options: { types: 'text', maxInFlightBytes: 1024 * 1024, workers: 3 },
    toValue: serverText,
  },
];

/** Leaves the loop after the message with prefix `until`. */
async function oneByOne(stream: WalStream, until?: string): Promise<Comparable[]> {
  const comparer = new EventComparer();
  const events: Comparable[] = [];
  for await (const event of stream) {
    const comparable = comparer.comparable(event);
    if (comparable !== undefined) events.push(comparable);
    if (event.kind === 'message' && event.prefix === until) break;
  }
  return events;
}

/** Rows are read after the stream has ended: they live as long as their events. */
async function byBatches(stream: WalStream): Promise<Comparable[]> {
  const events: WalEvent[] = [];
  for await (const batch of stream.batches()) events.push(...batch);
  const comparer = new EventComparer();
  return events.map((event) => comparer.comparable(event)).filter((event) => event !== undefined);
}

async function byPolling(stream: WalStream): Promise<Comparable[]> {
  const comparer = new EventComparer();
  const events: Comparable[] = [];
  for (;;) {
    const event = await stream.nextEvent({ timeoutMs: 20 });
    if (event === undefined) return events;
    const comparable = event === null ? undefined : comparer.comparable(event);
    if (comparable !== undefined) events.push(comparable);
  }
}

describe(`PostgreSQL ${PG_MAJOR}: every event of a mixed, concurrent workload, compared with another decoder`, () => {
  const server = sharedServer({
    settings: { deadlock_timeout: '30ms', logical_decoding_work_mem: '64kB' },
  });
  let report: WorkloadReport;
  let messages: Awaited<ReturnType<typeof peekMessages>>;
  let live: Comparable[];
  let stopLsn: bigint;
  const replay = new Replay();

  const streamOf = (slot: string, options: Partial<WalStreamOptions> = {}) =>
    new WalStream({
      connection: server().connectionString(),
      slot,
      publications: WORKLOAD_PUBLICATIONS,
      messages: true,
      workers: 2,
      ...options,
    });

  before(async () => {
    const client = await connect(server());
    try {
      await createWorkloadSchema(client, WRITERS);
      await client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [ORACLE_SLOT]);
      for (const slot of [LIVE_SLOT, ...VARIANTS.map((variant) => variant.slot)]) {
        await client.query('SELECT pg_copy_logical_replication_slot($1, $2)', [ORACLE_SLOT, slot]);
      }
      for (const table of WORKLOAD_TABLES) replay.add(table, await readTable(client, table));
      const stream = streamOf(LIVE_SLOT, { types: 'text' });
      await stream.start();
      const streamed = oneByOne(stream, END_PREFIX);
      report = await runWorkload(server(), {
        seed: SEED,
        writers: WRITERS,
        transactionsPerWriter: TRANSACTIONS_PER_WRITER,
      });
      const [end] = (await client.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn')).rows;
      stopLsn = Lsn.parse(end?.lsn ?? '');
      messages = await peekMessages(client, ORACLE_SLOT, WORKLOAD_PUBLICATIONS);
      live = await streamed;
    } finally {
      await client.end();
    }
  });

  test('the workload has everything in it', () => {
    const { committed, rolledBack } = report;
    assert.ok(committed > WRITERS * TRANSACTIONS_PER_WRITER * 0.6, `${committed} committed`);
    assert.ok(rolledBack > 0);
    const kinds = new Map<string, number>();
    for (const { message } of messages) kinds.set(message.tag, (kinds.get(message.tag) ?? 0) + 1);
    for (const kind of 'begin commit origin relation type insert update delete truncate message'.split(' ')) {
      assert.ok((kinds.get(kind) ?? 0) > 0, `no ${kind} (seed ${SEED})`);
    }
  });

  test('live: for await, the text of the server', () => {
    assertSameEvents(live, expectedEvents(messages, serverText).slice(0, live.length), SEED);
    assert.equal(live.at(-1)?.prefix, END_PREFIX);
  });

  test('live: whoever applies the events has the rows of the database', async () => {
    const client = await connect(server());
    try {
      await client.query('SET TimeZone = UTC; SET extra_float_digits = 3');
      for (const event of live) replay.apply(event);
      for (const table of WORKLOAD_TABLES) {
        const title = `${table.table} (seed ${SEED})`;
        assertSameRows(replay.rows(table), await readTable(client, table), title);
      }
    } finally {
      await client.end();
    }
  });

  for (const { slot, title, consume, options, toValue } of VARIANTS) {
    test(`afterwards: ${title}`, async () => {
      const stream = streamOf(slot, { stopLsn, ...options });
      const events = await consume(stream);
      assertSameEvents(events, expectedEvents(messages, toValue), SEED);
      assert.ok(stream.stats().workerBatches > 0, 'workers took part');
    });
  }
});
