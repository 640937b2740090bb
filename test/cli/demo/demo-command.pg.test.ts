import assert from 'node:assert/strict';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PG_MAJOR, sql, withServer } from '../../support/server.js';
import { processesNaming, Run, runToEnd } from '../command-line.js';

const VANISH_TIMEOUT_MS = 15_000;

describe('on an embedded server', { skip: PG_MAJOR !== 18 && 'the demo has a PostgreSQL 18 of its own' }, () => {
  /** A temporary folder of these tests' own, so that they see what is left. */
  let directory = '';
  const run = (...args: string[]) => new Run(['demo', ...args], { TMPDIR: directory });

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'demo-'));
    await chmod(directory, 0o1777);
  });

  after(() => rm(directory, { recursive: true, force: true }));

  afterEach(async () => {
    const deadline = Date.now() + VANISH_TIMEOUT_MS;
    const left = async () => ({
      // Copies of the server's programs are kept for the next time.
      files: (await readdir(directory)).filter((name) => !name.startsWith('pg-walstream-')),
      processes: await processesNaming(directory),
    });
    let now = await left();
    while (now.files.length + now.processes.length > 0 && Date.now() < deadline) {
      await sleep(50);
      now = await left();
    }
    assert.deepEqual(now, { files: [], processes: [] });
  });

  test('it shows samples, a line a second and the order, and ends with 0', async () => {
    await using demo = run('--seconds', '3', '--writers', '3', '--workers', '2');
    const { code, stdout, stderr } = await demo.ended;
    assert.equal(stderr, '');
    assert.equal(code, 0, stdout);
    for (const sample of [
      'begin xid',
      'insert public.',
      'update public.',
      'delete public.',
      'truncate public.',
      'message demo',
      'commit xid',
    ]) {
      assert.ok(stdout.includes(sample), sample);
    }
    const lines =
      stdout.match(/^ +\d+ s {2}[\d,]+ changes\/s {2}\S+ \wB\/s {2}lag .* main thread \d+ % {2}workers \d+ %$/gm) ?? [];
    assert.ok(lines.length >= 3, stdout);
    const [, changes = ''] = /^([\d,]+) changes in [\d,]+ transactions/m.exec(stdout) ?? [];
    assert.ok(Number(changes.replaceAll(',', '')) > 1_000, stdout);
    assert.match(stdout, /^in exact order: yes \([\d,]+ rows of 3 writers, none missing\)$/m);
    assert.ok(!stdout.includes('\u001b'));
  });

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    test(`${signal} ends it with the summary and 0`, async () => {
      await using demo = run('--seconds', '60');
      await demo.shows(/ changes\/s/);
      demo.child.kill(signal);
      const { code, stdout, stderr } = await demo.ended;
      assert.equal(stderr, '');
      assert.equal(code, 0);
      assert.match(stdout, /^in exact order: yes/m);
    });
  }

  test('Ctrl+C while the server starts', async () => {
    await using demo = run();
    await demo.shows(/starting PostgreSQL/);
    demo.child.kill('SIGINT');
    const { code, stderr } = await demo.ended;
    assert.equal(stderr, '');
    assert.equal(code, 0);
  });

  test('a second Ctrl+C', async () => {
    await using demo = run('--seconds', '60');
    await demo.shows(/ changes\/s/);
    demo.child.kill('SIGINT');
    await sleep(350);
    demo.child.kill('SIGINT');
    const { code, stderr } = await demo.ended;
    assert.equal(stderr, '');
    assert.equal(code, 0);
  });

  test('a reader that goes away', async () => {
    await using demo = run('--seconds', '60');
    await demo.shows(/begin xid/);
    demo.child.stdout.destroy();
    const { code, stderr } = await demo.ended;
    assert.equal(stderr, '');
    assert.equal(code, 0);
  });

  test('SIGKILL', async () => {
    await using demo = run('--seconds', '60');
    await demo.shows(/begin xid/);
    demo.child.kill('SIGKILL');
    assert.equal((await demo.ended).signal, 'SIGKILL');
  });

  test("the user's PG* variables are about another server", async () => {
    const env = {
      TMPDIR: directory,
      PGHOST: 'nowhere.invalid',
      PGSSLMODE: 'verify-full',
      PGUSER: 'x',
      PGOPTIONS: '-c nonsense=1',
    };
    const { code, stderr } = await runToEnd(['demo', '--seconds', '1'], env);
    assert.equal(stderr, '');
    assert.equal(code, 0);
  });
});

describe('on DATABASE_URL', () => {
  test('it streams what others write, writes nothing and leaves no slot', async (t) => {
    const server = await withServer(t, { password: 'secret' });
    const env = { DATABASE_URL: server.connectionString() };

    const missing = await runToEnd(['demo', '--seconds', '1'], env);
    assert.equal(missing.code, 1);
    assert.match(
      missing.stderr,
      /^pg-walstream: publication "pg_walstream_demo" does not exist[^\n]*CREATE PUBLICATION[^\n]*\n$/,
    );

    await sql(server, 'CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION pg_walstream_demo FOR TABLE t');
    await using demo = new Run(['demo', '--seconds', '60'], env);
    await demo.shows(/streaming DATABASE_URL/);
    await sql(server, 'INSERT INTO t SELECT generate_series(1, 1000)');
    await demo.shows(/insert public\.t#0 id=1\n/);
    demo.child.kill('SIGINT');
    const { code, stdout, stderr } = await demo.ended;
    assert.equal(stderr, '');
    assert.equal(code, 0);
    assert.match(stdout, /^1,000 changes in 1 transactions/m);
    assert.match(stdout, /^in exact order: yes \(1 commits\)$/m);
    assert.ok(!stdout.includes('secret'));
    assert.deepEqual(
      await sql(server, 'SELECT count(*)::int AS tables FROM pg_tables WHERE schemaname = $1', ['public']),
      [{ tables: 1 }],
    );

    await sql(server, 'CREATE PUBLICATION mine FOR TABLE t');
    await using lost = new Run(['demo', '--publication', 'mine', '--seconds', '60'], env);
    await lost.shows(/ changes\/s/);
    const slots = await sql(server, 'SELECT slot_name, temporary FROM pg_replication_slots');
    assert.deepEqual(slots, [{ slot_name: `pg_walstream_demo_${lost.pid}`, temporary: true }]);
    await server.kill();
    const ended = await lost.ended;
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /^pg-walstream: [^\n]+\n$/);
  });

  test('a server that is not there', async () => {
    const { code, stderr } = await runToEnd(['demo'], { DATABASE_URL: 'postgresql://u:s3cret@127.0.0.1:1/db' });
    assert.equal(code, 1);
    assert.match(stderr, /^pg-walstream: cannot connect to 127\.0\.0\.1:1[^\n]*\n$/);
    assert.doesNotMatch(stderr, /s3cret/);
  });
});
