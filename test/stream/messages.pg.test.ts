import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { type MessageEvent, Transaction, type WalEvent } from '../../src/index.js';
import { PG_MAJOR, sharedServer, sql } from '../support/server.js';
import { FILLER, only, SCENARIO_SETTINGS, type Scenario, Scenarios } from './scenario.js';
import { Source, until } from './source.js';

const server = sharedServer({ settings: SCENARIO_SETTINGS });
const scenarios = new Scenarios(server);
const streamed = (scenario: Scenario) => scenarios.streamed(scenario);

const emit = (transactional: boolean, prefix: string, content: string) =>
  `SELECT pg_logical_emit_message(${transactional}, '${prefix}', '${content}')`;
const shown = ({ prefix, content, transactional }: MessageEvent) => [prefix, content.toString(), transactional];

describe(`PostgreSQL ${PG_MAJOR}: logical messages`, () => {
  const setup = 'CREATE TABLE t (id int PRIMARY KEY)';
  const prefixes = ['', ' ', 'größe 表 😀', 'with "quotes", \\ and \n', '__proto__', 'p'.repeat(2000)];

  for (const transactional of [true, false]) {
    test(`of every prefix and length, ${transactional ? 'transactional' : 'not transactional'}`, async () => {
      const events = await streamed({
        setup,
        changes: prefixes.flatMap((prefix) => [
          emit(transactional, prefix, ''),
          `BEGIN; ${emit(transactional, prefix, 'x')}; INSERT INTO t VALUES (1); DELETE FROM t; COMMIT`,
        ]),
        options: { messages: true },
      });
      assert.deepEqual(
        only(events, 'message').map(shown),
        prefixes.flatMap((prefix) => [
          [prefix, '', transactional],
          [prefix, 'x', transactional],
        ]),
      );
    });
  }

  test('content is bytes: every one of them', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, at) => at));
    const sql = (transactional: boolean) =>
      `SELECT pg_logical_emit_message(${transactional}, 'p', decode('${bytes.toString('hex')}', 'hex'))`;
    const events = await streamed({
      setup,
      changes: [sql(true), sql(false)],
      options: { messages: true },
      // Its text of them is not UTF-8.
      unparsable: true,
    });
    for (const { content } of only(events, 'message')) assert.deepEqual(content, bytes);
    assert.equal(only(events, 'message').length, 2);
  });

  test('none without the option, and transactions of nothing else are not there', async () => {
    const changes = [emit(true, 'p', 'a'), emit(false, 'p', 'b'), 'INSERT INTO t VALUES (1)'];
    const events = await streamed({ setup, changes, options: { messages: false } });
    assert.deepEqual(only(events, 'message'), []);
    assert.equal(only(events, 'insert').length, 1);
    // PostgreSQL 14 sends the begin and commit of what it leaves out.
    assert.equal(only(events, 'begin').length, PG_MAJOR === 14 ? 2 : 1);
  });

  test('rolled back: transactional ones go, with their savepoint too; others stay', async () => {
    const events = await streamed({
      setup,
      changes: [
        `BEGIN; ${emit(true, 'a', '')}; SAVEPOINT s; ${emit(true, 'b', '')}; ${emit(false, 'c', '')}; ROLLBACK TO s;
         ${emit(true, 'd', '')}; SAVEPOINT s; ${emit(true, 'e', '')}; RELEASE s; INSERT INTO t VALUES (1); COMMIT`,
        `BEGIN; ${emit(true, 'f', '')}; ${emit(false, 'g', '')}; INSERT INTO t VALUES (2); ROLLBACK`,
      ],
      options: { messages: true },
      // See below.
      once: true,
    });
    assert.deepEqual(
      only(events, 'message').map(({ prefix }) => prefix),
      ['c', 'a', 'd', 'e', 'g'],
    );
  });

  async function live(t: TestContext, take: (source: Source) => AsyncIterable<void>): Promise<void> {
    const source = await Source.open(t, server());
    const { client, name } = source;
    const taken = take(source)[Symbol.asyncIterator]();
    const streamed = taken.next();
    await until(async () => (await source.activePid()) !== null, 'it is streamed');
    await client.query(`BEGIN; INSERT INTO ${name} VALUES (1); SAVEPOINT s`);
    await client.query(`INSERT INTO ${name} VALUES (2); ${emit(true, 'rolled back', '')}; ${FILLER}`);
    // What has not committed is flushed when something else commits.
    await sql(server(), `CREATE TABLE flush_${name} ()`);
    // It is streamed before the savepoint is rolled back, or the server would leave it out.
    await streamed;
    await client.query(`ROLLBACK TO s; ${emit(true, 'kept', '')}; COMMIT`);
    await taken.next();
  }

  test('a streamed message does not say its subtransaction: one of a rolled back savepoint stays', async (t) => {
    const prefixes: string[] = [];
    await live(t, async function* (source) {
      for await (const event of source.stream({ streaming: 'on', messages: true })) {
        if (event.kind === 'message') {
          // The server names the top-level transaction.
          assert.equal(event.subxid, event.xid);
          prefixes.push(event.prefix);
        }
        if (event.kind === 'streamStop' && prefixes.includes('filler')) yield;
        if (event.kind === 'streamCommit') break;
      }
    });
    assert.deepEqual(prefixes, ['rolled back', 'filler', 'kept']);
  });

  test('nor can transactions() tell it from one that was kept', async (t) => {
    const changes: unknown[] = [];
    await live(t, async function* (source) {
      const stream = source.stream({ streaming: 'on', messages: true });
      const whole = (async () => {
        for await (const item of stream.transactions()) {
          assert.ok(item instanceof Transaction);
          for await (const change of item.changes) {
            changes.push(change.kind === 'message' ? change.prefix : change.kind === 'insert' && change.new.id);
          }
          // PostgreSQL 14 sends transactions of which nothing is published.
          if (changes.length > 0) break;
        }
      })();
      await until(() => stream.stats().changesReceived >= 2, 'the changes were streamed');
      yield;
      await whole;
    });
    assert.deepEqual(changes, [1, 'rolled back', 'filler', 'kept']);
  });

  test('standing alone is a unit: acknowledged by itself', async (t) => {
    const source = await Source.open(t, server());
    await source.query(emit(false, 'a', ''));
    await source.query(emit(false, 'b', ''));
    await source.query(emit(false, 'c', ''));
    const seen: WalEvent[] = [];
    const stream = source.stream({ messages: true, ack: 'manual' });
    for await (const event of stream) {
      seen.push(event);
      if (event.kind === 'message' && event.prefix === 'b') stream.ack(event);
      if (seen.length === 3) break;
    }
    const [, b] = only(seen, 'message');
    assert.ok((await source.confirmed()) < (b?.lsn ?? 0n), 'the one before was not');
    await source.free();
    const again: string[] = [];
    const second = source.stream({ messages: true, ack: 'manual' });
    for await (const event of second) {
      assert.ok(event.kind === 'message');
      again.push(event.prefix);
      second.ack(event);
      if (again.length === 3) break;
    }
    assert.deepEqual(again, ['a', 'b', 'c']);
  });
});

describe(`PostgreSQL ${PG_MAJOR}: truncates`, () => {
  test('of several tables, not all of them published', async () => {
    const events = await streamed({
      setup: `CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a);
        CREATE TABLE c (id int); CREATE TABLE "d.d" (id int)`,
      publication: 'FOR TABLE b, "d.d"',
      changes: [
        'TRUNCATE a, b, c, "d.d"',
        'TRUNCATE a, c CASCADE',
        'TRUNCATE c RESTART IDENTITY',
        'BEGIN; TRUNCATE "d.d" RESTART IDENTITY CASCADE; INSERT INTO b VALUES (1); SAVEPOINT s; TRUNCATE b; ROLLBACK TO s; TRUNCATE c, b; COMMIT',
      ],
    });
    assert.deepEqual(
      only(events, 'truncate').map(({ relations, cascade, restartIdentity, ordinal }) => [
        relations.map(({ table }) => table).sort(),
        { cascade, restartIdentity },
        ordinal,
      ]),
      [
        [['b', 'd.d'], { cascade: false, restartIdentity: false }, 0],
        // Emptied with the one that it refers to.
        [['b'], { cascade: true, restartIdentity: false }, 0],
        [['d.d'], { cascade: true, restartIdentity: true }, 0],
        [['b'], { cascade: false, restartIdentity: false }, 2],
      ],
    );
    assert.deepEqual(
      only(events, 'truncate').map(({ relations }) => relations.every(({ schema }) => schema === scenarios.name)),
      [true, true, true, true],
    );
  });

  test('are not published', async () => {
    const events = await streamed({
      setup: 'CREATE TABLE a (id int); CREATE TABLE b (id int)',
      publication: "FOR TABLE a WITH (publish = 'insert')",
      changes: ['TRUNCATE a, b', 'INSERT INTO a VALUES (1)', 'TRUNCATE a'],
    });
    assert.deepEqual(only(events, 'truncate'), []);
  });

  test('of a table that was altered before, in the same transaction', async () => {
    const events = await streamed({
      setup: 'CREATE TABLE a (id int); CREATE TABLE b (id int)',
      changes: [
        'INSERT INTO a VALUES (1)',
        'BEGIN; ALTER TABLE a RENAME TO renamed; TRUNCATE renamed, b; ALTER TABLE renamed RENAME TO a; INSERT INTO a VALUES (2); COMMIT',
      ],
    });
    assert.deepEqual(
      only(events, 'truncate')[0]
        ?.relations.map(({ table }) => table)
        .sort(),
      ['b', 'renamed'],
    );
    assert.deepEqual(
      only(events, 'insert').map(({ table }) => table),
      ['a', 'a'],
    );
  });
});
