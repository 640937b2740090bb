import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { temporaryFolder } from '../backup/copied-backup.js';
import { needsMajor, PG_MAJOR, sharedServer } from '../support/server.js';
import { runToEnd } from './command-line.js';

suite('basebackup, compressed or elsewhere', () => {
  const server = sharedServer({ settings: PG_MAJOR >= 17 ? { summarize_wal: 'on' } : {} });
  const run = (...args: readonly string[]) =>
    runToEnd(['basebackup', '-c', 'fast', '-N', ...args], { DATABASE_URL: server().connectionString() });

  test('-z: archives that are compressed here', async (t) => {
    const folder = await temporaryFolder(t);
    const { code, stderr } = await run('-D', folder, '-Ft', '-z', '-X', 'fetch', '-v');
    assert.equal(code, 0, stderr);
    assert.match(stderr, /\d files, .* all as the server's manifest says/);
    assert.deepEqual((await readdir(folder)).sort(), ['backup_manifest', 'base.tar.gz']);
    const verified = await runToEnd(['verifybackup', '-n', folder]);
    assert.deepEqual([verified.code, verified.stdout], [0, 'backup successfully verified\n']);
  });

  test('--no-manifest: one is made here', async (t) => {
    const folder = await temporaryFolder(t);
    const { code, stderr } = await run('-D', folder, '--no-manifest', '--manifest-checksums=SHA256', '-v');
    assert.equal(code, 0, stderr);
    assert.match(stderr, /not verified: the server was asked for no manifest/);
    assert.equal((await runToEnd(['verifybackup', folder])).code, 0);
  });

  test('-t blackhole', { skip: needsMajor(15, 'backup target') }, async () => {
    const { code, stdout, stderr } = await run('-t', 'blackhole', '-Z', 'gzip', '-v');
    assert.deepEqual([code, stdout], [0, ''], stderr);
    assert.match(stderr, /^[\d.]+ s, not verified: it went to the target blackhole.*\nneeds WAL from /);
  });

  test('-i builds on an earlier backup', { skip: needsMajor(17, 'incremental backups') }, async (t) => {
    const folder = await temporaryFolder(t);
    const [full, next] = [join(folder, 'full'), join(folder, 'next')];
    assert.equal((await run('-D', full)).code, 0);
    const { code, stderr } = await run('-D', next, '-i', join(full, 'backup_manifest'), '-Z', 'server-gzip');
    assert.equal(code, 0, stderr);
    assert.ok((await readdir(join(next, 'base', '1'))).some((name) => name.startsWith('INCREMENTAL.')));
    assert.equal((await runToEnd(['verifybackup', next])).code, 0);
  });

  test('what only the server can refuse is one line, exit code 1, and nothing is left', async (t) => {
    const folder = await temporaryFolder(t);
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [['-D', join(folder, 'new'), '-Ft', '-Z', 'server-lz4'], PG_MAJOR < 15 ? /needs PostgreSQL 15/ : /LZ4|lz4/],
      [['-D', join(folder, 'new'), '-i', join(folder, 'none')], /incrementalFrom: .* cannot be read: ENOENT/],
      [['-t', 'server:not/absolute'], PG_MAJOR < 15 ? /needs PostgreSQL 15/ : /relative path/],
      [['-t', 'elsewhere'], PG_MAJOR < 15 ? /needs PostgreSQL 15/ : /unrecognized target/],
    ];
    for (const [args, line] of cases) {
      const { code, stderr } = await run(...args);
      assert.equal(code, 1, stderr);
      assert.match(stderr, line);
      assert.match(stderr, /^pg-walstream: [^\n]+\n$/);
    }
    assert.deepEqual(await readdir(folder), []);
  });
});
