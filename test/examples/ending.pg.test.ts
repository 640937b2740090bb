import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Run } from '../cli/command-line.js';
import { until } from '../stream/source.js';
import { connect, sharedServer, sql } from '../support/server.js';
import { runExample } from './example.js';

/** Examples that stream from the beginning to the end, and what each shows when it has come to something. */
const STREAMING: Readonly<Record<string, RegExp>> = {
  'basic-streaming': /^commit \d+ at/m,
  'outbox-relay': /^[\dA-F]+\/[\dA-F]+ said/m,
  'polling-example': /^insert public\.t/m,
  'rate-limited-streaming': /^stats: now [\d.]+\/s/m,
  'raw-messages': /public\.t \d+ \(\d+ bytes\)/,
  'server-sent-events': /^listening/m,
  'worker-transform': /^\{"kind":"insert"/m,
};
/** Those that do other things before. */
const OTHERS: Readonly<Record<string, RegExp>> = {
  'cache-mirror': /^\d+ rows at/m,
  'safe-transaction-consumer': /^stats: [1-9]/m,
};
const UNREACHABLE = 'postgresql://nobody@127.0.0.1:1/nothing';

suite('how examples end', () => {
  const writing = new AbortController();
  let writer: Promise<void> | undefined;
  // Before the server goes.
  after(async () => {
    writing.abort();
    await writer;
  });
  const server = sharedServer();
  const env = { PORT: '0', TABLE: 'public.t', STATS_INTERVAL_MS: '100' };

  before(async () => {
    await sql(server(), 'CREATE TABLE t (id bigint PRIMARY KEY, n int); CREATE PUBLICATION my_publication FOR TABLE t');
    const client: pg.Client = await connect(server());
    writer = (async () => {
      for (let id = 1; !writing.signal.aborted; id++) {
        await client.query(`BEGIN; INSERT INTO t VALUES (${id}, 0); UPDATE t SET n = 1 WHERE id = ${id};
          SELECT pg_logical_emit_message(true, 'outbox', 'said'); COMMIT`);
        await sleep(20);
      }
      await client.end();
    })();
  });

  const slots = async () =>
    (await sql(server(), 'SELECT slot_name FROM pg_replication_slots')).map((row) => row.slot_name);
  /** Its exit code, and that it came to it by itself. */
  const endedWell = async (run: Run) => {
    const { code, signal, stdout, stderr } = await run.ended;
    assert.deepEqual([code, signal], [0, null], stderr);
    assert.doesNotMatch(stderr, /EPIPE|^ {4}at /m);
    return { stdout, stderr };
  };

  for (const [name, shown] of Object.entries({ ...STREAMING, ...OTHERS })) {
    test(`${name} ends well when nobody reads its output, as with \`| head\``, async () => {
      await using run = runExample(name, server(), { env });
      run.child.stdout.destroy();
      await endedWell(run);
    });

    test(`${name} ends well at SIGTERM`, async () => {
      await using run = runExample(name, server(), { env });
      await run.shows(shown);
      run.child.kill('SIGTERM');
      const { stdout, stderr } = await endedWell(run);
      assert.match(stdout + stderr, /^stopped/m);
    });
  }

  for (const name of Object.keys(STREAMING)) {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      test(`${name} says that the server cannot be reached, and ends at ${signal}`, async () => {
        await using run = runExample(name, undefined, { env: { ...env, DATABASE_URL: UNREACHABLE } });
        await run.shows(/^cannot connect to 127\.0\.0\.1:1: .*; attempt 2 in \d+ ms$/m);
        run.child.kill(signal);
        const { stderr } = await endedWell(run);
        assert.doesNotMatch(stderr, /attempt 10/, 'it did not wait for the last attempt');
      });
    }
  }

  for (const name of Object.keys(OTHERS)) {
    test(`${name}: a server that cannot be reached is one line, and exit code 1`, async () => {
      await using run = runExample(name, undefined, { env: { ...env, DATABASE_URL: UNREACHABLE } });
      const { code, stderr } = await run.ended;
      assert.equal(code, 1);
      assert.match(stderr, /^cannot connect to 127\.0\.0\.1:1: [^\n]+\n$/);
    });
  }

  test('cache-mirror leaves no slot behind, however it ends', async (t) => {
    assert.ok(!(await slots()).includes('cache_mirror_slot'));
    await using wrong = runExample('cache-mirror', server(), { env: { ...env, TABLE: 'public.nope' } });
    const { code, stderr } = await wrong.ended;
    assert.deepEqual([code, stderr], [1, 'relation "public.nope" does not exist\n']);
    assert.ok(!(await slots()).includes('cache_mirror_slot'));

    // A slot waits for every transaction that has written something.
    const client = await connect(server());
    t.after(() => client.end());
    await client.query('BEGIN; INSERT INTO t VALUES (-1)');
    await using run = runExample('cache-mirror', server(), { env });
    await until(async () => (await slots()).includes('cache_mirror_slot'), 'the slot is being made');
    run.child.kill('SIGINT');
    const { stdout } = await endedWell(run);
    assert.equal(stdout, 'stopped before the table was read\n');
    assert.ok(!(await slots()).includes('cache_mirror_slot'));
    await client.query('ROLLBACK');
  });

  suite('pg-basebackup removes half a backup', () => {
    const folder = async (t: TestContext) => {
      const directory = await mkdtemp(join(tmpdir(), 'example-ending-'));
      t.after(() => rm(directory, { recursive: true }));
      return join(directory, 'backup');
    };
    const start = (directory: string) =>
      runExample('pg-basebackup', server(), { env: { BACKUP_DIRECTORY: directory, BACKUP_MAX_RATE_KB: '4096' } });
    const endedBroken = async (run: Run, directory: string) => {
      const { code, stderr } = await run.ended;
      assert.deepEqual([code, stderr], [1, 'interrupted: what was written is removed\n']);
      assert.equal(existsSync(directory), false);
    };

    test('when nobody reads its output', async (t) => {
      const directory = await folder(t);
      await using run = start(directory);
      run.child.stdout.destroy();
      await endedBroken(run, directory);
    });

    test('at SIGTERM', async (t) => {
      const directory = await folder(t);
      await using run = start(directory);
      await until(async () => existsSync(directory) && (await readdir(directory)).length > 0, 'it writes');
      run.child.kill('SIGTERM');
      await endedBroken(run, directory);
    });
  });
});
