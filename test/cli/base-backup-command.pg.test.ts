import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { sharedServer, sql } from '../support/server.js';
import { Run, runToEnd } from './command-line.js';

async function emptyFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'backup-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

suite('basebackup', () => {
  const server = sharedServer();
  const environment = () => ({ DATABASE_URL: server().connectionString() });

  test('a backup, and what it says', async (t) => {
    const folder = await emptyFolder(t);
    const args = ['basebackup', '-D', folder, '-c', 'fast', '-Pv', '-N', '-l', 'mine'];
    const { code, stdout, stderr } = await runToEnd(args, environment());
    assert.equal(code, 0, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, /^\[#{24}\] 100 % {2}[\d.]+ MB of [\d.]+ MB {2}[\d.]+ \w+\/s .*backup_manifest$/m);
    assert.match(
      stderr,
      /\d files, [\d.]+ MB, [\d.]+ s, all as the server's manifest says\nneeds WAL from \w+\/\w+ to/,
    );
    assert.ok((await readdir(folder)).includes('backup_manifest'));
  });

  test('progress as JSON: a line per second, that never goes back, and the last says 100', async (t) => {
    const folder = await emptyFolder(t);
    // Some 30 MB: a few seconds.
    const args = ['basebackup', '-D', folder, '-c', 'fast', '-N', '-r', '8M', '--progress=json'];
    const { code, stderr } = await runToEnd(args, environment());
    assert.equal(code, 0, stderr);
    const lines = stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.ok(lines.length >= 3, stderr);
    let last = -1;
    for (const { percent, receivedBytes, expectedBytes, tablespaces, bytesPerSecond } of lines) {
      assert.ok(percent >= last && percent <= 100 && receivedBytes <= expectedBytes && bytesPerSecond >= 0, stderr);
      assert.equal(tablespaces.length, 1);
      last = percent;
    }
    assert.equal(last, 100);
    assert.equal(lines.at(-1)?.archive, 'backup_manifest');
  });

  test('progress in a log: a line now and then', async (t) => {
    const folder = await emptyFolder(t);
    const args = ['basebackup', '-D', folder, '-c', 'fast', '-N', '-r', '4M', '-P'];
    const { code, stderr } = await runToEnd(args, environment());
    assert.equal(code, 0, stderr);
    const steps = Array.from(stderr.matchAll(/\] (\d+) %/g), ([, percent]) => Math.floor(Number(percent) / 10));
    assert.ok(steps.length >= 2, stderr);
    // The first may come before the first tenth, the last is said in any case.
    const between = steps.slice(1, -1);
    assert.equal(new Set(between).size, between.length, stderr);
  });

  test('progress that nobody reads any more: the backup goes on', async (t) => {
    const folder = await emptyFolder(t);
    const args = ['basebackup', '-D', folder, '-c', 'fast', '-N', '-r', '8M', '--progress=json'];
    await using run = new Run(args, environment());
    await run.shows(/percent/);
    run.child.stderr.destroy();
    assert.equal((await run.ended).code, 0);
    assert.ok((await readdir(folder)).includes('backup_manifest'));
  });

  test('short forms; a standby by a slot of its own, in tar format', async (t) => {
    const folder = await emptyFolder(t);
    const args = ['basebackup', '-D', folder, '-Ft', '-Xs', '-c', 'fast', '-N', '-R', '-C', '-S', 'made'];
    const { code, stderr } = await runToEnd(args, environment());
    assert.equal(code, 0, stderr);
    assert.deepEqual((await readdir(folder)).sort(), ['backup_manifest', 'base.tar', 'pg_wal.tar']);
    const again = await runToEnd(
      ['basebackup', '-D', join(folder, 'x'), '-c', 'fast', '-C', '-S', 'made'],
      environment(),
    );
    assert.equal(again.code, 1);
    assert.equal(again.stderr, 'pg-walstream: slot made exists already\n');
    const dropped = await sql(server(), "SELECT pg_drop_replication_slot('made')");
    assert.equal(dropped.length, 1, 'somebody else may have made it: it stays');
  });

  test('interrupted, it is a failure, and leaves nothing', async (t) => {
    const folder = await emptyFolder(t);
    const args = ['basebackup', '-D', join(folder, 'new', 'one'), '-c', 'fast', '-P', '-r', '1M'];
    await using run = new Run(args, environment());
    await run.shows(/MB of /);
    run.child.kill('SIGINT');
    const { code, stderr } = await run.ended;
    assert.equal(code, 1);
    assert.match(stderr, /pg-walstream: interrupted: there is no backup\n$/);
    assert.deepEqual(await readdir(folder), []);
  });

  test('a folder whose parents are missing: they are made', async (t) => {
    const folder = await emptyFolder(t);
    const args = ['basebackup', '-D', join(folder, 'a', 'b'), '-c', 'fast', '-N'];
    assert.equal((await runToEnd(args, environment())).code, 0);
    assert.ok((await readdir(join(folder, 'a', 'b'))).includes('backup_manifest'));
  });

  const noProc = process.platform !== 'linux' && 'there is no /proc';
  test('a folder where none can be made is a failure of one line', { skip: noProc }, async () => {
    for (const directory of ['/proc/x', '/proc/x/y']) {
      const { code, stderr } = await runToEnd(['basebackup', '-D', directory, '-c', 'fast'], environment());
      assert.equal(code, 1);
      assert.match(stderr, /^pg-walstream: cannot create \/proc\/x[^\n]*: ENOENT\n$/);
    }
  });

  test('a folder that is not empty is a failure of one line', async (t) => {
    const folder = await emptyFolder(t);
    await writeFile(join(folder, 'precious'), 'mine');
    const { code, stderr } = await runToEnd(['basebackup', '-D', folder], environment());
    assert.equal(code, 1);
    assert.match(stderr, /^pg-walstream: directory: [^\n]+ is not empty\n$/);
    assert.deepEqual(await readdir(folder), ['precious']);
  });
});
