import assert from 'node:assert/strict';
import { before, suite, type TestContext, test } from 'node:test';
import { type WalEvent, WalStream, type WalStreamOptions } from '../../src/index.js';
import { assertSameUnits, CommittedView } from '../support/committed-view.js';
import { createLargeSchema, LARGE_PUBLICATION, runLargeTransactions } from '../support/large-transactions.js';
import { SEED } from '../support/seed.js';
import { connect, needsMajor, PG_MAJOR, sharedServer } from '../support/server.js';
import { Random } from '../support/workload.js';
import { drain, range, Source, until } from './source.js';

const ORACLE_SLOT = 'oracle';
const END_PREFIX = 'the end';

interface Variant {
  readonly slot: string;
  /** Reads while the transactions are written; else after they have ended. */
  readonly live?: true;
  readonly options: Partial<WalStreamOptions>;
  readonly consume: (stream: WalStream) => Promise<WalEvent[]>;
}

const VARIANTS: readonly Variant[] = [
  { slot: 'one_by_one', options: { streaming: 'on' }, consume: oneByOne },
  { slot: 'batches', options: { streaming: 'on', workers: 3 }, consume: byBatches },
  { slot: 'binary', options: { streaming: 'on', protoVersion: 2, binary: true }, consume: byBatches },
  { slot: 'live', live: true, options: { streaming: 'on' }, consume: oneByOne },
  { slot: 'live_parallel', live: true, options: { streaming: 'parallel', workers: 3 }, consume: byBatches },
  { slot: 'parallel', options: { streaming: 'parallel', maxInFlightBytes: 1024 * 1024 }, consume: byBatches },
];

async function oneByOne(stream: WalStream): Promise<WalEvent[]> {
  const events: WalEvent[] = [];
  for await (const event of stream) {
    events.push(event);
    if (isEnd(event)) break;
  }
  return events;
}

async function byBatches(stream: WalStream): Promise<WalEvent[]> {
  const events: WalEvent[] = [];
  for await (const batch of stream.batches()) {
    for (const event of batch) {
      events.push(event);
      if (isEnd(event)) return events;
    }
  }
  return events;
}

function isEnd(event: WalEvent): boolean {
  return event.kind === 'message' && event.prefix === END_PREFIX;
}

function viewOf(events: readonly WalEvent[]): CommittedView {
  const view = new CommittedView();
  for (const event of events) view.take(event);
  return view;
}

/** `transactions()`, with memory for all of them and for next to nothing. */
const WHOLE: readonly Pick<Variant, 'slot' | 'options' | 'live'>[] = [
  { slot: 'whole', options: {} },
  { slot: 'whole_spilled', options: { spill: { memoryBytes: 64 * 1024 } } },
  { slot: 'whole_streamed', options: { streaming: 'on', workers: 3 } },
  { slot: 'whole_streamed_spilled', options: { streaming: 'on', spill: { memoryBytes: 64 * 1024 } } },
  { slot: 'whole_parallel', options: { streaming: 'parallel', binary: true, spill: { memoryBytes: 256 * 1024 } } },
  { slot: 'whole_live', live: true, options: { streaming: 'on', spill: { memoryBytes: 64 * 1024 } } },
];

/** What `transactions()` delivers up to the end, as units. */
async function wholeTransactions(stream: WalStream): Promise<CommittedView> {
  const view = new CommittedView();
  for await (const item of stream.transactions()) {
    if (item.kind === 'transaction' && item.changes.spilled) view.counts.spilled = (view.counts.spilled ?? 0) + 1;
    await view.takeItem(item);
    if (item.kind === 'message' && isEnd(item)) break;
  }
  return view;
}

function missing({ options }: Pick<Variant, 'options'>): string | false {
  return options.streaming === 'parallel' && needsMajor(16, 'parallel streaming');
}

suite(`transactions in progress, PostgreSQL ${PG_MAJOR}, seed ${SEED}`, () => {
  const server = sharedServer({ settings: { logical_decoding_work_mem: '64kB' } });
  let stopLsn: bigint | undefined;
  const live = new Map<string, Promise<WalEvent[]>>();
  const liveWhole = new Map<string, Promise<CommittedView>>();
  let oracle = new CommittedView();

  function streamFrom(slot: string, options: Partial<WalStreamOptions> = {}): WalStream {
    return new WalStream({
      connection: server().connectionString(),
      slot,
      publications: LARGE_PUBLICATION,
      messages: true,
      ...(stopLsn !== undefined && { stopLsn }),
      ...options,
    });
  }

  before(async () => {
    const client = await connect(server());
    await createLargeSchema(client);
    for (const slot of [ORACLE_SLOT, ...[...VARIANTS, ...WHOLE].map((variant) => variant.slot)]) {
      await client.query(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
    }
    for (const { slot, options, consume } of VARIANTS.filter((one) => one.live && missing(one) === false)) {
      const stream = streamFrom(slot, options);
      await stream.start();
      live.set(slot, consume(stream));
    }
    for (const { slot, options } of WHOLE.filter((one) => one.live)) {
      const stream = streamFrom(slot, options);
      await stream.start();
      liveWhole.set(slot, wholeTransactions(stream));
    }
    await runLargeTransactions(server(), new Random(SEED));
    await client.query(`SELECT pg_logical_emit_message(false, '${END_PREFIX}', '')`);
    const { rows } = await client.query('SELECT pg_current_wal_insert_lsn() - $1::pg_lsn AS lsn', ['0/0']);
    stopLsn = BigInt(rows[0].lsn);
    await client.query(`SELECT pg_logical_emit_message(true, 'beyond', 'stopLsn')`);
    await client.end();
    oracle = viewOf(await oneByOne(streamFrom(ORACLE_SLOT)));
    assert.equal(oracle.counts.streamStart, undefined);
    assert.ok(oracle.units.length > 50);
  });

  for (const variant of VARIANTS) {
    const { slot, options, consume } = variant;
    test(`${slot}: what commits is what comes without streaming`, { skip: missing(variant) }, async () => {
      const events = await (live.get(slot) ?? consume(streamFrom(slot, options)));
      const view = viewOf(events);
      assertSameUnits(view.units, oracle.units);
      assert.deepEqual(view.unfinished, []);
      const { counts, mostInProgress } = view;
      assert.ok(counts.streamStart > 2 * counts.streamCommit, JSON.stringify(counts));
      assert.ok(counts.streamCommit >= 10 && mostInProgress >= 10, JSON.stringify({ ...counts, mostInProgress }));
      const aborts = events.filter((event) => event.kind === 'streamAbort');
      // PostgreSQL 18 does not stream what it knows to be rolled back.
      if (variant.live || PG_MAJOR < 18) {
        assert.ok(aborts.some(({ xid, subxid }) => xid === subxid) && aborts.some(({ xid, subxid }) => xid !== subxid));
      }
      for (const { abortLsn, abortTime } of aborts) {
        assert.equal(abortLsn === undefined, options.streaming !== 'parallel');
        assert.equal(abortTime === undefined, options.streaming !== 'parallel');
      }
      assert.ok(counts.origin >= 2, JSON.stringify(counts));
      for (const event of events) JSON.stringify(event);
    });
  }

  for (const variant of WHOLE) {
    const { slot, options } = variant;
    test(`${slot}: transactions() gives the same`, { skip: missing(variant) }, async () => {
      const view = await (liveWhole.get(slot) ?? wholeTransactions(streamFrom(slot, options)));
      assertSameUnits(view.units, oracle.units);
      assert.equal((view.counts.spilled ?? 0) > 0, options.spill !== undefined, JSON.stringify(view.counts));
    });
  }

  /** Streams while a transaction is in progress, and has seen its first block. */
  async function openTransaction(t: TestContext) {
    const source = await Source.open(t, server());
    const writer = await connect(server());
    t.after(() => writer.end());
    const insert = (from: number, to: number) =>
      `INSERT INTO ${source.name} SELECT g, repeat('x', 200) FROM generate_series(${from}, ${to}) g`;
    await writer.query('BEGIN');
    await writer.query(insert(1, 1_000));
    return { source, writer, insert };
  }

  test('a transaction in progress holds no acknowledgement back, and comes again whole', async (t) => {
    const { source, writer, insert } = await openTransaction(t);
    const stream = source.stream({ streaming: 'on', feedbackIntervalMs: 50 });
    const kinds: string[] = [];
    const consumed = (async () => {
      for await (const { kind } of stream) kinds.push(kind);
    })();
    await source.insert(5_000);
    const committed = await source.lsn();
    await until(async () => (await source.confirmed()) >= committed, 'the small transaction is acknowledged');
    assert.ok(kinds.includes('streamStart') && kinds.includes('commit'), kinds.at(-1));
    await stream.stop();
    await consumed;
    await writer.query(insert(1_001, 1_100));
    await writer.query('COMMIT');
    await source.free();
    const events = await drain(source.stream({ streaming: 'on', stopLsn: await source.lsn() }));
    assert.deepEqual(
      events.filter((event) => event.kind === 'insert').map((event) => event.new.id),
      range(1, 1_100),
    );
    assert.equal(events.at(-1)?.kind, 'streamCommit');
  });

  test('stopLsn does not wait for a transaction in progress', async (t) => {
    const { source, writer } = await openTransaction(t);
    await source.insert(5_000);
    const events = await drain(source.stream({ streaming: 'on', stopLsn: await source.lsn() }));
    assert.ok(events.some(({ kind }) => kind === 'streamStart') && events.some(({ kind }) => kind === 'commit'));
    assert.ok(!events.some(({ kind }) => kind === 'streamCommit'));
    await writer.query('ROLLBACK');
  });

  test('streamed transactions are acknowledged like others, also as raw messages and by hand', async (t) => {
    const { source, writer } = await openTransaction(t);
    await writer.query('COMMIT');
    const stopLsn = await source.lsn();
    const byHand = source.stream({ streaming: 'on', stopLsn, ack: 'manual' });
    for await (const event of byHand) if (event.kind === 'streamStop') assert.throws(() => byHand.ack(event as never));
    await source.free();
    assert.ok((await source.confirmed()) < stopLsn);
    let messages = 0;
    for await (const { data } of source.stream({ streaming: 'on', stopLsn }).rawMessages()) {
      if (data[0] === 'I'.charCodeAt(0)) messages++;
    }
    assert.equal(messages, 1_000);
    await source.free();
    assert.ok((await source.confirmed()) >= stopLsn);
  });
});
