import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type pg from 'pg';
import type { Run } from '../cli/command-line.js';
import { until } from '../stream/source.js';
import { SEED } from '../support/seed.js';
import { connect, sharedServer, sql } from '../support/server.js';
import { Random } from '../support/workload.js';
import { runExample, slotIsActive, slotIsFree } from './example.js';

const KILLS = 4;
const SLOT = 'safe_consumer_slot';

suite(`the safe transaction consumer, seed ${SEED}`, () => {
  const server = sharedServer();
  const start = (env: NodeJS.ProcessEnv = {}) =>
    runExample('safe-transaction-consumer', server(), { env: { STATS_INTERVAL_MS: '100', ...env } });

  async function openSink(t: TestContext): Promise<pg.Client> {
    const client = await connect(server(), 'safe_consumer_sink');
    t.after(() => client.end());
    return client;
  }

  const sourceRows = async () =>
    (await sql(server(), 'SELECT to_jsonb(items) AS row FROM items ORDER BY id')).map(({ row }) => row);
  const sinkRows = async (sink: pg.Client) =>
    (await sink.query(`SELECT contents FROM mirror ORDER BY (contents->>'id')::int`)).rows.map(
      ({ contents }) => contents,
    );
  test('killed again and again, it applies every change once', async (t) => {
    await sql(
      server(),
      `CREATE TABLE items (id int PRIMARY KEY, counter int, note text);
       ALTER TABLE items ALTER note SET STORAGE EXTERNAL;
       CREATE TABLE written (changes int);
       CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN INSERT INTO written VALUES (1); RETURN NULL; END $$;
       CREATE TRIGGER count_changes AFTER INSERT OR UPDATE OR DELETE ON items
         FOR EACH ROW EXECUTE FUNCTION count_change();
       CREATE PUBLICATION my_publication FOR TABLE items`,
    );
    {
      await using first = start();
      await first.shows(/^applying my_publication from 0\/0 on/m);
      await slotIsActive(server(), SLOT);
    }
    const sink = await openSink(t);
    // A change that is applied twice leaves the same rows: it is counted where it is written.
    await sink.query(
      `CREATE TABLE applied (changes int);
       CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN INSERT INTO applied VALUES (1); RETURN NULL; END $$;
       CREATE TRIGGER count_changes AFTER INSERT OR UPDATE OR DELETE ON mirror
         FOR EACH ROW EXECUTE FUNCTION count_change()`,
    );
    const appliedChanges = async () => Number((await sink.query('SELECT count(*) FROM applied')).rows[0]?.count);

    const random = new Random(SEED);
    const writer = await connect(server());
    t.after(() => writer.end());
    let nextId = 1;
    const writeSome = async () => {
      for (let turn = random.integer(5, 40); turn > 0; turn--) {
        const some = `id BETWEEN ${random.integer(1, nextId)} AND ${nextId}`;
        const to = nextId + random.integer(0, 8);
        await writer.query(
          `BEGIN;
           INSERT INTO items SELECT n, 0, repeat('note ', 1000) FROM generate_series(${nextId}, ${to}) n;
           UPDATE items SET counter = counter + 1 WHERE ${some};
           SAVEPOINT s; DELETE FROM items WHERE ${some}; ${random.chance(0.8) ? 'ROLLBACK TO s;' : ''}
           UPDATE items SET id = -id WHERE id = ${to};
           ${random.chance(0.1) ? 'ROLLBACK' : 'COMMIT'}`,
        );
        nextId = to + 1;
      }
    };
    for (let kill = 0; kill < KILLS; kill++) {
      const before = await appliedChanges();
      await using run = start();
      const writing = writeSome();
      await until(async () => {
        assert.equal(run.child.exitCode, null, run.stderr);
        return (await appliedChanges()) > before;
      }, 'something is applied');
      run.child.kill('SIGKILL');
      await run.ended;
      await writing;
    }

    await using last = start();
    const [{ count: written } = {}] = await sql(server(), 'SELECT count(*)::int AS count FROM written');
    await until(async () => (await appliedChanges()) >= Number(written), 'everything is applied');
    last.child.kill('SIGINT');
    const { code, stdout, stderr } = await last.ended;
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^stopped; applied up to [\dA-F]+\/[\dA-F]+$/m);
    assert.equal(await appliedChanges(), written);
    const rows = await sourceRows();
    assert.ok(rows.length > 0);
    assert.deepEqual(await sinkRows(sink), rows);
  });

  for (const [env, most] of [
    [{ MAX_BUFFERED_TRANSACTIONS: '3' }, 3],
    [{ MAX_BUFFERED_BYTES: '100000' }, 5],
  ] as const) {
    test(`a sink that does not come along is waited for: ${Object.keys(env)[0]}`, async (t) => {
      const sink = await openSink(t);
      await sink.query('BEGIN; LOCK TABLE mirror IN SHARE MODE');
      await slotIsFree(server(), SLOT);
      await using run = start(env);
      await run.shows(/^applying/m);
      await slotIsActive(server(), SLOT);
      await sql(server(), 'TRUNCATE items');
      const [{ lsn: truncated } = {}] = await sql(server(), 'SELECT pg_current_wal_insert_lsn() AS lsn');
      for (let id = most * 100; id < most * 100 + 20; id++) {
        await sql(server(), `INSERT INTO items VALUES ($1, 0, repeat('x', 40000))`, [id]);
      }
      await run.shows(new RegExp(`^stats: .*; [1-${most}] transactions and [1-9]\\d* bytes of WAL wait, [1-9]`, 'm'));
      const [slot] = await sql(server(), 'SELECT confirmed_flush_lsn <= $1 AS waits FROM pg_replication_slots', [
        truncated,
      ]);
      assert.equal(slot?.waits, true, 'nothing is confirmed that is not applied');
      await sink.query('COMMIT');
      await until(async () => isDeepStrictEqual(await sinkRows(sink), await sourceRows()), 'everything is applied');
      run.child.kill('SIGTERM');
      const { code, stdout, stderr } = await run.ended;
      assert.deepEqual([code, stderr], [0, '']);
      const waiting = Array.from(stdout.matchAll(/; (\d+) transactions and/g), ([, count]) => Number(count));
      assert.ok(Math.max(...waiting) <= most, `${Math.max(...waiting)} transactions waited`);
    });
  }

  test('Ctrl+C while nothing happens ends it at once, also a second time', async () => {
    for (let turn = 0; turn < 2; turn++) {
      await slotIsFree(server(), SLOT);
      await using run = start();
      await run.shows(/^applying/m);
      run.child.kill('SIGINT');
      const { code, stderr } = await run.ended;
      assert.deepEqual([code, stderr], [0, '']);
    }
  });

  for (const [what, alter] of [
    ['REPLICA IDENTITY FULL', 'ALTER TABLE other REPLICA IDENTITY FULL'],
    ['REPLICA IDENTITY NOTHING', 'ALTER TABLE other REPLICA IDENTITY NOTHING'],
    ['no primary key', 'ALTER TABLE other DROP CONSTRAINT other_pkey'],
  ] as const) {
    test(`a table with ${what} is refused, when it starts and when it is altered later`, async (t) => {
      await sql(server(), 'CREATE TABLE other (id int PRIMARY KEY, note text)');
      await sql(server(), 'ALTER PUBLICATION my_publication ADD TABLE other');
      // What it could not get past goes with its slot and its position.
      t.after(async () => {
        await slotIsFree(server(), SLOT);
        const sink = await openSink(t);
        await sink.query('DELETE FROM walstream_position; DELETE FROM mirror');
        await sql(server(), `DROP TABLE other; SELECT pg_drop_replication_slot('${SLOT}')`);
      });
      const isRefused = async (run: Run) => {
        const { code, stderr } = await run.ended;
        assert.match(stderr, /^no key tells the rows of public\.other apart: give each a primary key [^\n]+\n$/);
        assert.equal(code, 1);
      };
      {
        await using run = start();
        await run.shows(/^applying/m);
        await slotIsActive(server(), SLOT);
        await sql(server(), `${alter}; INSERT INTO other VALUES (1)`);
        await isRefused(run);
      }
      await slotIsFree(server(), SLOT);
      await using run = start();
      await isRefused(run);
      assert.doesNotMatch(run.stdout, /^applying/m);
    });
  }

  test('REPLICA IDENTITY USING INDEX is a key', async (t) => {
    await sql(
      server(),
      `CREATE TABLE other (id int, code text NOT NULL UNIQUE);
       ALTER TABLE other REPLICA IDENTITY USING INDEX other_code_key;
       ALTER PUBLICATION my_publication SET TABLE other`,
    );
    await using run = start();
    await run.shows(/^applying/m);
    await slotIsActive(server(), SLOT);
    await sql(
      server(),
      `INSERT INTO other VALUES (1, 'a'), (1, 'b'); UPDATE other SET id = 2, code = 'c' WHERE code = 'a'`,
    );
    const sink = await openSink(t);
    const rows = async () =>
      (await sink.query(`SELECT contents FROM mirror WHERE table_name = 'other' ORDER BY identity`)).rows.map(
        ({ contents }) => contents,
      );
    const expected = [
      { id: 1, code: 'b' },
      { id: 2, code: 'c' },
    ];
    await until(async () => isDeepStrictEqual(await rows(), expected), 'its rows are there');
    run.child.kill('SIGINT');
    assert.equal((await run.ended).code, 0);
  });

  test('a number that is none is one line that names the variable', async () => {
    await using run = start({ MAX_BUFFERED_TRANSACTIONS: 'many' });
    const { code, stderr } = await run.ended;
    assert.equal(code, 1);
    assert.equal(stderr, "MAX_BUFFERED_TRANSACTIONS is 'many': it has to be a whole number from 1, such as 100\n");
  });
});
