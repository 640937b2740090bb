import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import {
  AppliedPosition,
  ConfigurationError,
  SlotError,
  type TransactionItem,
  type WalStream,
} from '../../src/index.js';
import { connect, needsMajor, sharedServer } from '../support/server.js';
import { drain, failure, Source, until } from './source.js';

suite('the applied position', () => {
  const server = sharedServer({ settings: { max_prepared_transactions: '5' } });
  let tables = 0;

  async function openSink(t: TestContext): Promise<{ client: pg.Client; table: string }> {
    // PostgreSQL 14 sends transactions that change nothing published too, but not those of other databases.
    const client = await connect(server(), 'template1');
    t.after(() => client.end());
    const table = `sink ${++tables}`;
    await client.query(`CREATE TABLE "${table} rows" (commit_lsn bigint)`);
    return { client, table };
  }

  async function take(stream: WalStream, count: number): Promise<TransactionItem[]> {
    const items: TransactionItem[] = [];
    for await (const item of stream.transactions()) if (items.push(item) === count) break;
    return items;
  }

  async function itemsOf(source: Source, count: number): Promise<TransactionItem[]> {
    return take(source.stream({ ack: 'manual', messages: true, stopLsn: await source.lsn() }), count);
  }

  test('each item is applied once, with its position', async (t) => {
    const source = await Source.open(t, server());
    const { client, table } = await openSink(t);
    for (const id of [1, 2]) {
      await source.insert(id);
      await source.query(`SELECT pg_logical_emit_message(false, 'alone', '${id}')`);
    }
    // A message is not flushed by itself.
    await source.insert(3);
    const items = await itemsOf(source, 4);
    const position = await AppliedPosition.open(client, { slot: source.name, table });
    assert.equal(position.lsn, 0n);
    const applied: unknown[] = [];
    // What came before comes again.
    for (const item of [...items, ...items]) {
      if (await position.apply(item, () => applied.push(item))) assert.equal(applied.at(-1), item);
    }
    assert.deepEqual(
      applied.map((item) => (item as TransactionItem).kind),
      ['transaction', 'message', 'transaction', 'message'],
    );
    const again = await AppliedPosition.open(client, { slot: source.name, table });
    assert.equal(again.lsn, position.lsn);
    const rest = source.stream({ startLsn: again.lsn, messages: true, stopLsn: await source.lsn() });
    const kinds = (await drain(rest)).map(({ kind }) => kind);
    assert.deepEqual(kinds, ['begin', 'relation', 'insert', 'commit']);
  });

  test('an error rolls both back', async (t) => {
    const source = await Source.open(t, server());
    const { client, table } = await openSink(t);
    await source.insert(1);
    const [item] = await itemsOf(source, 1);
    const position = await AppliedPosition.open(client, { slot: source.name, table });
    const enough = new Error('enough');
    const write = (client: pg.Client) => client.query(`INSERT INTO "${table} rows" VALUES (1)`);
    const failed = position.apply(item, async (client) => {
      await write(client);
      throw enough;
    });
    assert.equal(await failure(failed), enough);
    // An error of SQL that the function keeps to itself is one all the same.
    await assert.rejects(
      position.apply(item, async (client) => {
        await write(client);
        await client.query('nonsense').catch(() => {});
      }),
      { code: '25P02' },
    );
    assert.equal(position.lsn, 0n);
    assert.equal((await client.query(`SELECT FROM "${table} rows"`)).rowCount, 0);
    assert.ok(await position.apply(item, write));
    assert.equal((await client.query(`SELECT FROM "${table} rows"`)).rowCount, 1);
  });

  test('two consumers do not interleave', async (t) => {
    const source = await Source.open(t, server());
    const { client, table } = await openSink(t);
    await source.insert(1);
    const [item] = await itemsOf(source, 1);
    const other = await connect(server(), 'template1');
    t.after(() => other.end());
    const options = { slot: source.name, table };
    const positions = await Promise.all([AppliedPosition.open(client, options), AppliedPosition.open(other, options)]);
    const write = async () => {
      await sleep(100);
    };
    const applied = await Promise.all(positions.map((position) => position.apply(item, write)));
    assert.deepEqual(applied.sort(), [false, true]);
    assert.equal(positions[0].lsn, positions[1].lsn);
  });

  test('a slot that moves on while nothing is published takes the position along', async (t) => {
    const source = await Source.open(t, server());
    const { client, table } = await openSink(t);
    const position = await AppliedPosition.open(client, { slot: source.name, table });
    let behind = 0;
    const stream = source.stream({
      feedbackIntervalMs: 10,
      beforeIdleAck: async (lsn) => {
        // The server is not told before it is kept.
        await sleep(30);
        if ((await source.confirmed()) >= lsn) behind++;
        await position.advance(lsn);
      },
    });
    const ended = drain(stream);
    await client.query('CREATE TABLE unpublished (id int)');
    const before = await source.lsn();
    await until(async () => (await source.confirmed()) >= before, 'the slot moves on');
    await stream.stop();
    await ended;
    await source.free();
    assert.equal(behind, 0);
    assert.ok(position.lsn >= (await source.confirmed()));
    await source.stream({ startLsn: position.lsn }).start();
  });

  test('what cannot be kept ends the stream', async (t) => {
    const source = await Source.open(t, server());
    const { client } = await openSink(t);
    const enough = new Error('enough');
    const confirmed = await source.confirmed();
    const stream = source.stream({
      feedbackIntervalMs: 10,
      beforeIdleAck: () => {
        throw enough;
      },
    });
    const failed = failure(drain(stream));
    await stream.start();
    await client.query('CREATE TABLE not_published (id int)');
    assert.equal(await failed, enough);
    await source.free();
    assert.equal(await source.confirmed(), confirmed);
  });

  test('a sink that is behind the slot is a gap', async (t) => {
    const source = await Source.open(t, server());
    const { client, table } = await openSink(t);
    await source.insert(1);
    const [item] = await itemsOf(source, 1);
    const position = await AppliedPosition.open(client, { slot: source.name, table });
    await position.apply(item, () => {});
    await source.insert(2);
    await source.free();
    await source.query(`SELECT pg_replication_slot_advance('${source.name}', pg_current_wal_insert_lsn())`);
    const error = await failure(source.stream({ startLsn: position.lsn }).start());
    assert.ok(error instanceof SlotError && error.reason === 'gap', String(error));
  });

  test('prepared transactions are refused', { skip: needsMajor(15, 'two_phase') }, async (t) => {
    const source = await Source.open(t, server());
    const { client, table } = await openSink(t);
    await source.query(`BEGIN; INSERT INTO ${source.name} VALUES (1, 'x')`);
    const stream = source.stream({ twoPhase: true, ack: 'manual' });
    const items = take(stream, 2);
    await stream.start();
    await source.query(`PREPARE TRANSACTION '${source.name}'`);
    await source.query(`COMMIT PREPARED '${source.name}'`);
    const position = await AppliedPosition.open(client, { slot: source.name, table });
    for (const item of await items) {
      await assert.rejects(
        position.apply(item, () => assert.fail()),
        ConfigurationError,
      );
    }
  });

  test('names, a pool, a position that is gone', async (t) => {
    const source = await Source.open(t, server());
    const { client } = await openSink(t);
    await assert.rejects(AppliedPosition.open(client, { slot: 'No Slot' }), ConfigurationError);
    await assert.rejects(AppliedPosition.open(client, { slot: 's', table: 'a..b' }), ConfigurationError);
    await assert.rejects(AppliedPosition.open(new pg.Pool(), { slot: 's' }), ConfigurationError);
    await assert.rejects(AppliedPosition.open(client, { slot: 's', table: 'missing.table' }), { code: '3F000' });
    await client.query('CREATE SCHEMA "odd ""schema"');
    const position = await AppliedPosition.open(client, { slot: 's', table: 'odd "schema.odd "table' });
    await client.query(`DELETE FROM "odd ""schema"."odd ""table"`);
    await assert.rejects(position.advance(1n), ConfigurationError);
    await source.insert(1);
    const [item] = await itemsOf(source, 1);
    await assert.rejects(
      position.apply(item, () => assert.fail()),
      ConfigurationError,
    );
    // Left as it was found.
    assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
  });
});
