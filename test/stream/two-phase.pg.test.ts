import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import {
  type AcknowledgeableEvent,
  ConfigurationError,
  Lsn,
  type WalEvent,
  WalStream,
  type WalStreamOptions,
} from '../../src/index.js';
import { assertSameUnits, CommittedView } from '../support/committed-view.js';
import {
  createLargeSchema,
  insertMany,
  LARGE_PUBLICATION,
  runLargeTransactions,
  runPreparedTransactions,
} from '../support/large-transactions.js';
import { SEED } from '../support/seed.js';
import { connect, needsMajor, PG_MAJOR, sharedServer, sql } from '../support/server.js';
import { Random } from '../support/workload.js';
import { drain, failure } from './source.js';

interface Variant {
  readonly slot: string;
  readonly options: Partial<WalStreamOptions>;
  readonly major: 15 | 16;
}

const VARIANTS: readonly Variant[] = [
  { slot: 'prepared', options: {}, major: 15 },
  { slot: 'prepared_streamed', options: { streaming: 'on', workers: 3 }, major: 15 },
  { slot: 'prepared_parallel', options: { streaming: 'parallel' }, major: 16 },
];

function viewOf(events: readonly WalEvent[]): CommittedView {
  const view = new CommittedView();
  for (const event of events) view.take(event);
  return view;
}

suite(`prepared transactions, PostgreSQL ${PG_MAJOR}, seed ${SEED}`, { skip: needsMajor(15, 'two_phase') }, () => {
  const server = sharedServer({ settings: { logical_decoding_work_mem: '64kB', max_prepared_transactions: '20' } });
  let stopLsn = 0n;

  function streamFrom(slot: string, options: Partial<WalStreamOptions> = {}): WalStream {
    return new WalStream({
      connection: server().connectionString(),
      slot,
      publications: LARGE_PUBLICATION,
      messages: true,
      twoPhase: true,
      stopLsn,
      ...options,
    });
  }

  async function walEnd(): Promise<bigint> {
    const [row] = await sql(server(), 'SELECT pg_current_wal_insert_lsn() AS lsn');
    return Lsn.parse(String(row?.lsn));
  }

  before(async () => {
    const client = await connect(server());
    await createLargeSchema(client);
    await client.query(`SELECT pg_create_logical_replication_slot('oracle', 'pgoutput')`);
    for (const slot of VARIANTS.flatMap((variant) => [variant.slot, `whole_${variant.slot}`])) {
      await client.query(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput', false, true)`);
    }
    await runPreparedTransactions(server());
    await runLargeTransactions(server(), new Random(SEED));
    await client.end();
    stopLsn = await walEnd();
  });

  for (const { slot, options, major } of VARIANTS) {
    test(`${slot}: what is committed in the end is what comes without two-phase`, {
      skip: needsMajor(major, 'parallel streaming'),
    }, async () => {
      await sql(server(), `SELECT pg_copy_logical_replication_slot('oracle', 'oracle_${slot}')`);
      const oracle = viewOf(await drain(streamFrom(`oracle_${slot}`, { twoPhase: false })));
      assert.equal(oracle.counts.prepare, undefined);
      const view = viewOf(await drain(streamFrom(slot, options)));
      assertSameUnits(view.units, oracle.units);
      assert.deepEqual(view.unfinished, []);
      const { counts } = view;
      assert.equal((counts.prepare ?? 0) + (counts.streamPrepare ?? 0), 7);
      // PostgreSQL 18 does not stream what it knows to be rolled back.
      if (options.streaming === undefined) assert.equal(counts.streamPrepare, undefined);
      else assert.ok(counts.streamPrepare >= 2, JSON.stringify(counts));
      assert.equal(counts.commitPrepared, 4);
      assert.equal(counts.rollbackPrepared, 3);
    });

    test(`${slot}: transactions() gives the same`, { skip: needsMajor(major, 'parallel streaming') }, async () => {
      const [oracleSlot, wholeSlot] = [`oracle_whole_${slot}`, `whole_${slot}`];
      await sql(server(), `SELECT pg_copy_logical_replication_slot('oracle', '${oracleSlot}')`);
      const oracle = viewOf(await drain(streamFrom(oracleSlot, { twoPhase: false })));
      const view = new CommittedView();
      const stream = streamFrom(wholeSlot, { ...options, spill: { memoryBytes: 64 * 1024 } });
      for await (const item of stream.transactions()) await view.takeItem(item);
      assertSameUnits(view.units, oracle.units);
      assert.deepEqual(view.unfinished, []);
      assert.equal(view.counts.prepared, 7);
      assert.equal(view.counts.commitPrepared, 4);
      assert.equal(view.counts.rollbackPrepared, 3);
    });
  }

  test('each of them is acknowledged by itself, and what was is not sent again', async (t) => {
    const slot = 'acknowledged';
    await sql(server(), `SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput', false, true)`);
    const client = await connect(server());
    t.after(() => client.end());
    await client.query('BEGIN');
    await insertMany(client, 'whole', 2);
    await client.query(`PREPARE TRANSACTION 'acknowledged one'`);
    await client.query('BEGIN');
    for (let step = 0; step < 3; step++) await insertMany(client, 'plain');
    await client.query(`PREPARE TRANSACTION 'acknowledged two'`);
    const options = { ack: 'manual', streaming: 'on' } as const;
    const kinds = new Set(['insert', 'relation', 'type', 'message', 'streamStart', 'streamStop']);
    const read = async (acknowledge: (event: AcknowledgeableEvent) => boolean): Promise<string[]> => {
      const stream = streamFrom(slot, { ...options, stopLsn: await walEnd() });
      const seen: string[] = [];
      for await (const event of stream) {
        if (!kinds.has(event.kind)) seen.push('gid' in event ? `${event.kind} ${event.gid}` : event.kind);
        switch (event.kind) {
          case 'prepare':
          case 'streamPrepare':
          case 'commitPrepared':
          case 'rollbackPrepared':
            if (acknowledge(event)) stream.ack(event);
        }
      }
      return seen;
    };
    const one = ['beginPrepare acknowledged one', 'prepare acknowledged one'];
    const two = ['streamPrepare acknowledged two'];
    assert.deepEqual(await read(() => false), [...one, ...two]);
    // The second is finished, and not the first: both come again.
    assert.deepEqual(await read(({ kind }) => kind === 'streamPrepare'), [...one, ...two]);
    assert.deepEqual(await read(({ kind }) => kind === 'prepare'), [...one, ...two]);
    assert.deepEqual(await read(() => true), two);
    await client.query(`COMMIT PREPARED 'acknowledged two'`);
    await client.query(`ROLLBACK PREPARED 'acknowledged one'`);
    const ends = ['commitPrepared acknowledged two', 'rollbackPrepared acknowledged one'];
    assert.deepEqual(await read(({ kind }) => kind === 'rollbackPrepared'), ends);
    assert.deepEqual(await read(() => true), ends);
    assert.deepEqual(await read(() => true), []);
  });

  test('a slot without two_phase is given it, with a warning; then it refuses streams that do not ask for it', async (t) => {
    const slot = 'turned_on';
    await sql(server(), `SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
    const client = await connect(server());
    t.after(() => client.end());
    await client.query('BEGIN');
    await insertMany(client, 'whole', 2);
    await client.query(`PREPARE TRANSACTION 'before'`);
    assert.deepEqual(await drain(streamFrom(slot, { twoPhase: false, stopLsn: await walEnd() })), []);
    await insertMany(client, 'whole', 1);
    await client.query(`COMMIT PREPARED 'before'`);
    const stream = streamFrom(slot, { ack: 'manual', stopLsn: await walEnd() });
    await stream.start();
    assert.match(stream.warnings.join(), /two_phase/);
    const events = await drain(stream);
    assert.deepEqual(
      events.filter(({ kind }) => kind !== 'relation' && kind !== 'type').map(({ kind }) => kind),
      ['begin', 'insert', 'commit', 'beginPrepare', 'insert', 'insert', 'prepare', 'commitPrepared'],
    );
    // What was prepared before is sent when it commits; the Prepare's own position lies before the commit's.
    const [commit] = events.filter((event) => event.kind === 'commit');
    const [prepare] = events.filter((event) => event.kind === 'prepare');
    assert.ok(prepare.prepareEndLsn < commit.commitLsn);
    const again = streamFrom(slot, { ack: 'manual', stopLsn: await walEnd() });
    for await (const event of again) {
      if (event.kind === 'commit' || event.kind === 'prepare') again.ack(event);
    }
    // Such a Prepare, though acknowledged, comes as often as its Commit Prepared does.
    assert.deepEqual(
      (await drain(streamFrom(slot, { stopLsn: await walEnd() }))).map(({ kind }) => kind),
      ['beginPrepare', 'relation', 'insert', 'insert', 'prepare', 'commitPrepared'],
    );
    assert.deepEqual(await drain(streamFrom(slot, { stopLsn: await walEnd() })), []);
    const refused = await failure(drain(streamFrom(slot, { twoPhase: false })));
    assert.ok(refused instanceof ConfigurationError && refused.option === 'twoPhase', String(refused));
  });
});
