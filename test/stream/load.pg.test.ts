import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, suite, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { needsMajor, sharedServer, sql } from '../support/server.js';

/** The lead's figure is 10 million. */
const ROWS = Number(process.env.LOAD_ROWS ?? 1_000_000);
const MAX_RSS_MB = 200;
const MAX_END_MS = 5_000;
const SMALL_FILES = 'ulimit -f 20000; exec "$0" "$@"';

interface Report {
  readonly changes: number;
  readonly reconnects: number;
  readonly seconds: number;
  readonly endMs: number | undefined;
  readonly maxRssMb: number;
  readonly spilled: readonly string[];
  readonly open: readonly string[];
}

suite(`a transaction of ${ROWS} rows`, () => {
  const server = sharedServer({ settings: { wal_sender_timeout: '2s' } });
  const program = fileURLToPath(new URL('./loaded-consumer.js', import.meta.url));

  before(async () => {
    await sql(server(), 'CREATE TABLE load (id int PRIMARY KEY, note text); CREATE PUBLICATION load FOR TABLE load');
    await sql(server(), `SELECT pg_create_logical_replication_slot('load', 'pgoutput')`);
    await sql(server(), `INSERT INTO load SELECT g, repeat('x', 50) FROM generate_series(1, ${ROWS}) g`);
  });

  async function run(t: TestContext, how: string, more: readonly string[] = [], shell?: string) {
    const name = `load_${how.replaceAll('-', '_')}`;
    const spill = await mkdtemp(join(tmpdir(), 'pgw-load-'));
    t.after(() => rm(spill, { recursive: true, force: true }));
    await sql(server(), `SELECT pg_copy_logical_replication_slot('load', '${name}')`);
    const args = [
      program,
      ...['--how', how, '--rows', String(ROWS), '--connection', server().connectionString()],
      ...['--slot', name, '--publication', 'load', '--spill', spill, ...more],
    ];
    const child =
      shell === undefined
        ? spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
        : spawn('sh', ['-c', shell, process.execPath, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.on('data', (bytes) => {
      output += bytes;
    });
    child.stderr.on('data', (bytes) => {
      errors += bytes;
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), 120_000 + ROWS / 50);
    const [code] = await once(child, 'close');
    clearTimeout(timer);
    t.diagnostic(output.trim() || errors.slice(-300));
    return { code, errors, spill, name, report: output === '' ? undefined : (JSON.parse(output) as Report) };
  }

  function assertWell(report: Report | undefined): asserts report is Report {
    assert.ok(report !== undefined);
    assert.deepEqual([report.spilled, report.open], [[], []]);
    assert.ok(report.maxRssMb <= MAX_RSS_MB, `${report.maxRssMb} MB`);
  }

  for (const [how, more] of [
    ['events', []],
    ['transactions', []],
    ['transactions-streamed', ['--streaming', 'on']],
    // The server would close a connection on which nothing is said for 2 s.
    ['slow', []],
  ] as const) {
    test(`${how}: all of it, in bounded memory`, async (t) => {
      const { code, errors, report } = await run(t, how, more);
      assert.equal(code, 0, errors);
      assertWell(report);
      assert.equal(report.changes, ROWS);
      assert.equal(report.reconnects, 0);
    });
  }

  for (const how of ['stop-events', 'stop-transform', 'stop-transactions']) {
    test(`${how}: ends in time in the middle of it, and leaves nothing`, async (t) => {
      const { code, errors, report } = await run(t, how);
      assert.equal(code, 0, errors);
      assertWell(report);
      assert.ok(report.changes < ROWS);
      assert.ok(report.endMs !== undefined && report.endMs < MAX_END_MS, `${report.endMs} ms`);
    });
  }

  test('a disk that is full: SpillError, nothing left, nothing acknowledged', {
    skip: process.platform === 'win32' ? 'no limits of files' : needsMajor(14, 'streaming'),
  }, async (t) => {
    const [before] = await sql(
      server(),
      `SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'load'`,
    );
    const { code, errors, spill, name } = await run(t, 'disk-full-transactions', [], SMALL_FILES);
    assert.equal(code, 1);
    assert.match(errors, /SpillError: cannot write to .*: EFBIG/);
    assert.deepEqual(await readdir(spill), []);
    const [after] = await sql(
      server(),
      `SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '${name}'`,
    );
    assert.deepEqual(after, before);
  });
});
