import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { verifyBackup } from '../../src/index.js';
import { sharedServer } from '../support/server.js';
import { runExample } from './example.js';

async function folder(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'example-backup-'));
  t.after(() => rm(directory, { recursive: true }));
  return join(directory, 'backup');
}

suite('the base backup example', () => {
  const server = sharedServer();

  test('takes a backup, shows how far it is, and verifies it', async (t) => {
    const directory = await folder(t);
    await using run = runExample('pg-basebackup', server(), {
      env: { BACKUP_DIRECTORY: directory, BACKUP_LABEL: 'monday', BACKUP_SYNC: 'no' },
    });
    const { code, stdout, stderr } = await run.ended;
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^\d+ % of [\d.]+ MB, in base\.tar$/m);
    assert.match(stdout, /^\d+ files of [\d.]+ MB in [\d.]+ s; WAL from \S+ to \S+ on timeline 1$/m);
    assert.match(stdout, /^verified against the manifest while it arrived\ndone: .* is good\n$/m);
    assert.deepEqual(await verifyBackup(directory), { ok: true, problems: [] });
  });

  for (const [what, env, line] of [
    ['a format', { BACKUP_FORMAT: 'zip' }, /^format must be [^\n]+\n$/],
    ['yes or no', { BACKUP_SYNC: 'maybe' }, /^sync is 'maybe': it has to be yes or no\n$/],
    ['a rate', { BACKUP_MAX_RATE_KB: 'fast' }, /^maxRateKb must be [^\n]+\n$/],
  ] as const) {
    test(`${what} that is none is one line, exit code 1, and nothing is written`, async (t) => {
      const directory = await folder(t);
      await using run = runExample('pg-basebackup', server(), { env: { BACKUP_DIRECTORY: directory, ...env } });
      const { code, stderr } = await run.ended;
      assert.equal(code, 1);
      assert.match(stderr, line);
      assert.equal(existsSync(directory), false);
    });
  }

  test('Ctrl+C removes what was written', async (t) => {
    const directory = await folder(t);
    await using run = runExample('pg-basebackup', server(), {
      env: { BACKUP_DIRECTORY: directory, BACKUP_MAX_RATE_KB: '2048' },
    });
    while (!existsSync(directory) || (await readdir(directory)).length === 0) {
      assert.equal(run.child.exitCode, null, 'it is still running');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    run.child.kill('SIGINT');
    const { code, stderr } = await run.ended;
    assert.equal(code, 1);
    assert.match(stderr, /^interrupted: what was written is removed\n$/);
    assert.equal(existsSync(directory), false);
  });
});
