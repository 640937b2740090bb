import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { sharedServer } from '../support/server.js';
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

  test('interrupted, it is a failure, and leaves nothing', async (t) => {
    const folder = await emptyFolder(t);
    const args = ['basebackup', '-D', join(folder, 'new'), '-c', 'fast', '-P', '-r', '1M'];
    await using run = new Run(args, environment());
    await run.shows(/MB of /);
    run.child.kill('SIGINT');
    const { code, stderr } = await run.ended;
    assert.equal(code, 1);
    assert.match(stderr, /pg-walstream: interrupted: there is no backup\n$/);
    assert.deepEqual(await readdir(folder), []);
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
