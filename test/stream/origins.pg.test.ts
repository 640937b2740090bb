import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  ConfigurationError,
  Lsn,
  Transaction,
  type WalEvent,
  WalStream,
  type WalStreamOptions,
} from '../../src/index.js';
import { connect, needsMajor, PG_MAJOR, sharedServer } from '../support/server.js';
import { dropSlot, FILLER, insertLsn, only, SCENARIO_SETTINGS, type Scenario, Scenarios } from './scenario.js';
import { drain, Source } from './source.js';

const server = sharedServer({ settings: SCENARIO_SETTINGS });
const scenarios = new Scenarios(server);
const streamed = (scenario: Scenario) => scenarios.streamed(scenario);

describe(`PostgreSQL ${PG_MAJOR}: replication origins`, () => {
  const scenario = {
    setup: `CREATE TABLE t (id int PRIMARY KEY);
      SELECT pg_replication_origin_create('from "elsewhere"')
        WHERE NOT EXISTS (SELECT FROM pg_replication_origin WHERE roname = 'from "elsewhere"')`,
    changes: [
      'INSERT INTO t VALUES (1)',
      `SELECT pg_replication_origin_session_setup('from "elsewhere"')`,
      `BEGIN; SELECT pg_replication_origin_xact_setup('AB/CDEF', '2024-01-02 03:04:05.678+00'); INSERT INTO t VALUES (2);
       COMMIT`,
      'SELECT pg_replication_origin_session_reset()',
      'INSERT INTO t VALUES (3)',
    ],
  };
  const ids = (events: readonly WalEvent[]) => only(events, 'insert').map((event) => event.new.id);

  for (const options of PG_MAJOR >= 16 ? [{}, { origin: 'any' as const }] : [{}]) {
    test(`any${'origin' in options ? ', asked for' : ', by default'}`, async () => {
      const events = await streamed({ ...scenario, options });
      assert.deepEqual(ids(events), [1, 2, 3]);
      assert.deepEqual(
        only(events, 'origin').map(({ name, originLsn }) => [name, originLsn]),
        [['from "elsewhere"', Lsn.parse('AB/CDEF')]],
      );
      const kinds = events.map((event) => event.kind).filter((kind) => kind !== 'relation');
      assert.deepEqual(kinds.slice(3, 7), ['begin', 'origin', 'insert', 'commit']);
      // The server dates such a transaction as its origin did.
      assert.equal(only(events, 'begin')[1]?.commitTime.toISOString(), '2024-01-02T03:04:05.678Z');
    });
  }

  test('a transaction that begins at stopLsn is not delivered, wherever it comes from', async () => {
    const client = await connect(server());
    const name = 'stop_before_origin';
    try {
      await client.query(`CREATE TABLE ${name} (id int PRIMARY KEY); CREATE PUBLICATION ${name} FOR TABLE ${name}`);
      await client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [name]);
      await client.query(`INSERT INTO ${name} VALUES (1)`);
      await client.query('CREATE TABLE not_published AS SELECT FROM generate_series(1, 100)');
      const stopLsn = await insertLsn(client);
      await client.query('DROP TABLE not_published');
      await client.query(`SELECT pg_replication_origin_create('${name}')`);
      await client.query(`SELECT pg_replication_origin_session_setup('${name}')`);
      await client.query(`INSERT INTO ${name} VALUES (2)`);
      await client.query('SELECT pg_replication_origin_session_reset()');
      const stream = new WalStream({
        connection: server().connectionString(),
        slot: name,
        publications: name,
        stopLsn,
      });
      const events: WalEvent[] = [];
      for await (const event of stream) events.push(event);
      assert.deepEqual(ids(events), [1]);
    } finally {
      await dropSlot(client, name);
      await client.query(`DROP TABLE ${name}; DROP PUBLICATION ${name}`);
      await client.end();
    }
  });

  test('none', { skip: needsMajor(16, 'origin') }, async () => {
    const events = await streamed({ ...scenario, options: { origin: 'none' } });
    assert.deepEqual(ids(events), [1, 3]);
    assert.deepEqual(only(events, 'origin'), []);
  });

  test('none, from a server that cannot', { skip: PG_MAJOR >= 16 && 'this one can' }, async () => {
    await assert.rejects(
      streamed({ ...scenario, options: { origin: 'none' } }),
      (error) => error instanceof ConfigurationError && error.option === 'origin' && /16/.test(error.message),
    );
  });

  test('none filters truncates and messages too', { skip: needsMajor(16, 'origin') }, async () => {
    const message = (transactional: boolean, content: string) =>
      `SELECT pg_logical_emit_message(${transactional}, 'p', '${content}')`;
    const changes = (from: string) => [
      message(false, `alone ${from}`),
      `BEGIN; ${message(true, `within ${from}`)}; INSERT INTO t VALUES (1); COMMIT`,
      'TRUNCATE t',
    ];
    const events = await streamed({
      ...scenario,
      changes: [
        `SELECT pg_replication_origin_session_setup('from "elsewhere"')`,
        ...changes('there'),
        'SELECT pg_replication_origin_session_reset()',
        ...changes('here'),
      ],
      options: { origin: 'none', messages: true },
    });
    assert.deepEqual(
      only(events, 'message').map(({ content }) => content.toString()),
      ['alone here', 'within here'],
    );
    assert.deepEqual([ids(events), only(events, 'truncate').length], [[1], 1]);
  });

  /** A transaction of an origin between two others, large enough to be streamed. */
  async function open(t: Parameters<typeof Source.open>[0]): Promise<Source> {
    const source = await Source.open(t, server());
    const { name } = source;
    await source.query(`SELECT pg_replication_origin_create('${name}')`);
    await source.client.query(`BEGIN; INSERT INTO ${name} VALUES (1); ${FILLER}; COMMIT`);
    await source.query(`SELECT pg_replication_origin_session_setup('${name}')`);
    await source.client.query(
      `BEGIN; SELECT pg_replication_origin_xact_setup('AB/CDEF', '2024-01-02 03:04:05.678+00');
       INSERT INTO ${name} VALUES (2); ${FILLER}; SAVEPOINT s; INSERT INTO ${name} VALUES (3); ${FILLER}; COMMIT`,
    );
    await source.query('SELECT pg_replication_origin_session_reset()');
    await source.client.query(`BEGIN; INSERT INTO ${name} VALUES (4); ${FILLER}; COMMIT`);
    return source;
  }

  for (const streaming of ['off', 'on'] as const) {
    // Stream Start carries no position of the origin, and Stream Commit neither.
    const originLsn = streaming === 'on' ? 0n : Lsn.parse('AB/CDEF');

    test(`transactions() say where they come from, streaming ${streaming}`, async (t) => {
      const source = await open(t);
      const transactions: Transaction[] = [];
      const origins: unknown[] = [];
      for await (const item of source.stream({ streaming, stopLsn: await source.lsn() }).transactions()) {
        assert.ok(item instanceof Transaction);
        const before = origins.length;
        for await (const change of item.changes) origins.push(change.kind === 'insert' && change.new.id);
        // PostgreSQL 14 sends transactions of which nothing is published.
        if (origins.length > before) transactions.push(item);
      }
      assert.deepEqual(origins, [1, 2, 3, 4]);
      assert.deepEqual(
        transactions.map(({ origin }) => origin),
        [undefined, { name: source.name, originLsn }, undefined],
      );
      assert.equal(transactions[1]?.commitTime.toISOString(), '2024-01-02T03:04:05.678Z');
      assert.deepEqual(JSON.parse(JSON.stringify(transactions[1])).origin, {
        name: source.name,
        originLsn: Lsn.format(originLsn),
      });
      assert.equal('origin' in JSON.parse(JSON.stringify(transactions[0])), false);
    });

    test(`an origin event once, right after what begins the transaction, streaming ${streaming}`, async (t) => {
      const source = await open(t);
      const events = await drain(source.stream({ streaming, stopLsn: await source.lsn() }));
      const [origin, ...others] = only(events, 'origin');
      assert.deepEqual([origin?.name, origin?.originLsn, others.length], [source.name, originLsn, 0]);
      const before = events[events.findIndex(({ kind }) => kind === 'origin') - 1];
      assert.ok(before !== undefined);
      assert.equal(before.kind, streaming === 'on' ? 'streamStart' : 'begin');
      const [first] = only(events, 'insert').filter((event) => event.new.id === 2);
      assert.equal('xid' in before && before.xid, first?.xid);
      assert.ok(JSON.stringify(origin).includes(Lsn.format(originLsn)));
    });
  }

  const modes: readonly Partial<WalStreamOptions>[] = [{}, { streaming: 'on' }, { streaming: 'parallel' }];
  for (const mode of modes) {
    test(`none, streaming ${mode.streaming ?? 'off'}`, { skip: needsMajor(16, 'origin') }, async (t) => {
      const source = await open(t);
      const options = { ...mode, origin: 'none', stopLsn: await source.lsn() } as const;
      const rows: unknown[] = [];
      for await (const item of source.stream({ ...options, ack: 'manual' }).transactions()) {
        assert.ok(item instanceof Transaction);
        assert.equal(item.origin, undefined);
        for await (const change of item.changes) rows.push(change.kind === 'insert' && change.new.id);
      }
      assert.deepEqual(rows, [1, 4]);
      await source.free();
      const events = await drain(source.stream(options));
      assert.deepEqual([ids(events), only(events, 'origin')], [[1, 4], []]);
    });
  }
});
