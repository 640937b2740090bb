import assert from 'node:assert/strict';
import { chmod, chown, mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { BaseBackup } from '../../src/backup/base-backup.js';
import { verifyBackup } from '../../src/backup/verify-backup.js';
import { WalReceiver } from '../../src/backup/wal-receiver.js';
import { BackupError } from '../../src/errors.js';
import { Run, runToEnd, runWithLargestFile } from '../cli/command-line.js';
import { PG_MAJOR, sharedServer, sql } from '../support/server.js';
import { temporaryFolder } from './copied-backup.js';
import { RestoredServer } from './restored-server.js';

/** Somebody who may do nothing here. */
const NOBODY = 65_534;

/** Root may write everywhere: it acts as somebody else meanwhile. */
async function withoutPrivileges<T>(work: () => Promise<T>): Promise<T> {
  if (process.getuid?.() !== 0) return work();
  process.seteuid?.(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

/** A folder that whoever runs {@link withoutPrivileges} may enter and list, and not write to. */
async function closedFolder(path: string): Promise<string> {
  await mkdir(path);
  if (process.getuid?.() === 0) await chown(path, NOBODY, NOBODY);
  await chmod(path, 0o500);
  return path;
}

suite(`backups that fail, of PostgreSQL ${PG_MAJOR}`, { skip: process.platform === 'win32' && 'POSIX only' }, () => {
  const server = sharedServer({ settings: { full_page_writes: 'on' } });
  const environment = () => ({ DATABASE_URL: server().connectionString() });

  // Files that may not grow: what a full disk does, and needs no disk. Its errno is EFBIG instead of ENOSPC.
  const LIMIT_BYTES = 4 * 1024 * 1024;
  for (const [what, flags, failed] of [
    ['the WAL', ['-X', 's'], /\/pg_wal\/[0-9A-F]{24}: EFBIG/],
    ['a file', ['-X', 'n'], /\/base\/\d+\/\d+: EFBIG/],
    ['an archive', ['-X', 'n', '-F', 't'], /\/base\.tar: EFBIG/],
    ['the WAL of an archive', ['-X', 's', '-F', 't'], /\/(base|pg_wal)\.tar: EFBIG/],
  ] as const) {
    test(`${what} fits no more: one line that says so, and nothing left`, async (t) => {
      if (what === 'a file') {
        await sql(
          server(),
          'CREATE TABLE large AS SELECT n, repeat(md5(n::text), 8) t FROM generate_series(1, 30000) n',
        );
        t.after(() => sql(server(), 'DROP TABLE large'));
      }
      const folder = await temporaryFolder(t);
      const args = ['basebackup', '-D', join(folder, 'new'), '-c', 'fast', ...flags];
      const { code, stderr } = await runWithLargestFile(LIMIT_BYTES, args, environment());
      assert.equal(code, 1, stderr);
      assert.match(stderr, /^pg-walstream: cannot write to [^\n]+\n$/);
      assert.match(stderr, failed);
      assert.deepEqual(await readdir(folder), []);
    });
  }

  test('a folder that may not be written to', async (t) => {
    const folder = await temporaryFolder(t);
    await chmod(folder, 0o755);
    const closed = await closedFolder(join(folder, 'closed'));
    const connection = server().connectionString();
    const isRefused = (path: RegExp) => (error: unknown) => {
      assert.ok(error instanceof BackupError, String(error));
      assert.equal((error.cause as NodeJS.ErrnoException).code, 'EACCES');
      assert.match(error.path ?? '', path);
      assert.match(error.message, /^cannot [a-z ]+ \S+: EACCES$/);
      return true;
    };
    const directory = join(closed, 'data');
    const backup = new BaseBackup({ connection, directory, checkpoint: 'fast' });
    await withoutPrivileges(() => assert.rejects(backup.run(), isRefused(/closed.data$/)));
    const receiver = new WalReceiver({ connection, directory: closed, livenessTimeoutMs: 20_000 });
    await withoutPrivileges(() => assert.rejects(receiver.run(), isRefused(/closed.[0-9A-F]{24}\.partial$/)));
    assert.deepEqual(await readdir(closed), []);
  });

  test('killed at any moment, it leaves no manifest, or a backup that is good', async (t) => {
    await sql(server(), 'CREATE TABLE kept AS SELECT n FROM generate_series(1, 50000) n');
    const restored = await RestoredServer.prepare(t);
    const startedAt = performance.now();
    const whole = await runToEnd(['basebackup', '-D', restored.beside('whole'), '-c', 'fast'], environment());
    assert.equal(whole.code, 0, whole.stderr);
    const wholeMs = performance.now() - startedAt;
    const KILLS = 7;
    const left: string[] = [];
    const complete = [restored.beside('whole')];
    for (let run = 0; run < KILLS; run++) {
      const directory = restored.beside(`run-${run}`);
      await using child = new Run(['basebackup', '-D', directory, '-c', 'fast'], environment());
      // The last most likely comes to its end.
      await delay((wholeMs * (run + Math.random())) / (KILLS - 1));
      child.child.kill('SIGKILL');
      await child.ended;
      const names: readonly string[] = await readdir(directory).catch(() => []);
      left.push(`${names.length} names`);
      if (!names.includes('backup_manifest')) continue;
      assert.deepEqual(await verifyBackup(directory), { ok: true, problems: [] }, left.at(-1));
      complete.push(directory);
    }
    t.diagnostic(`${complete.length - 1} of ${KILLS} complete: ${left.join(', ')}`);
    await rename(complete.at(-1) ?? '', restored.dataDirectory);
    await restored.start();
    assert.deepEqual(await restored.sql('SELECT count(*)::int AS n FROM kept'), [{ n: 50_000 }]);
  });
});
