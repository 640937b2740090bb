import assert from 'node:assert/strict';
import { chown, mkdir, open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { verifyBackup } from '../../src/backup/verify-backup.js';
import { findClientTool, needsClientTool, runTool, toolMajor } from '../support/client-tools.js';
import { PG_MAJOR, sharedServer, sql } from '../support/server.js';
import { temporaryFolder } from './copied-backup.js';

describe('backups that pg_basebackup took', { skip: needsClientTool('pg_basebackup') }, () => {
  const server = sharedServer();
  const tool = findClientTool('pg_basebackup') ?? '';

  for (const [name, flags] of [
    ['plain', ['-Fp', '-X', 'stream']],
    ['plain, SHA512', ['-Fp', '-X', 'fetch', '--manifest-checksums=SHA512']],
    ['plain, encoded paths', ['-Fp', '-X', 'stream', '--manifest-force-encode', '--manifest-checksums=NONE']],
    ['tar', ['-Ft', '-X', 'stream']],
    ['tar, WAL in base.tar', ['-Ft', '-X', 'fetch', '--manifest-checksums=SHA224']],
    ['tar, compressed', ['-Ft', '-X', 'stream', '-z']],
  ] as const) {
    test(`${name}: is good, with a name that is not UTF-8, and damage is found`, async (t) => {
      if ((await toolMajor(tool)) < PG_MAJOR) return t.skip('pg_basebackup is older than the server');
      const folder = await temporaryFolder(t);
      const directory = join(folder, 'backup');
      // Bytes that are no UTF-8: the manifest has to encode them.
      const odd = Buffer.concat([Buffer.from(join(server().dataDirectory, 'odd-')), Buffer.from([0xff, 0xfe])]);
      await writeFile(odd, 'odd');
      t.after(() => rm(odd, { force: true }));
      await sql(
        server(),
        'CREATE TABLE IF NOT EXISTS written (n int); INSERT INTO written SELECT generate_series(1, 50000)',
      );

      const taken = await runTool(tool, ['-D', directory, '-d', server().connectionString(), '-c', 'fast', ...flags]);
      assert.equal(taken.exitCode, 0, taken.stderr);
      const compressed = name.includes('compressed');
      const wal = compressed ? { parseWal: false } : {};
      assert.deepEqual(await verifyBackup(directory, wal), { ok: true, problems: [] });
      if (flags.some((flag) => flag.endsWith('=NONE'))) return;

      const target = name.startsWith('plain') ? 'PG_VERSION' : compressed ? 'base.tar.gz' : 'base.tar';
      const offset = name.startsWith('plain') ? 0 : 100_000;
      assert.ok((await stat(join(directory, target))).size > offset);
      {
        await using file = await open(join(directory, target), 'r+');
        const byte = Buffer.alloc(1);
        await file.read(byte, 0, 1, offset);
        byte[0] ^= 1;
        await file.write(byte, 0, 1, offset);
      }
      assert.equal((await verifyBackup(directory, wal)).ok, false);
      assert.ok((await readdir(directory)).includes('backup_manifest'));
    });
  }

  test('tablespaces are followed where their links lead', async (t) => {
    if ((await toolMajor(tool)) < PG_MAJOR) return t.skip('pg_basebackup is older than the server');
    const folder = await temporaryFolder(t);
    const location = join(server().socketDirectory, 'space');
    await mkdir(location);
    const { uid, gid } = await stat(server().dataDirectory);
    await chown(location, uid, gid);
    await sql(server(), `CREATE TABLESPACE space LOCATION '${location}'`);
    await sql(server(), 'CREATE TABLE far (n int) TABLESPACE space');
    await sql(server(), 'INSERT INTO far SELECT generate_series(1, 1000)');
    for (const format of ['plain', 'tar'] as const) {
      const directory = join(folder, format);
      const mapping = ['-T', `${location}=${join(folder, 'mapped')}`];
      const args = ['-D', directory, '-d', server().connectionString(), '-c', 'fast', '-F', format, ...mapping];
      const taken = await runTool(tool, format === 'plain' ? args : args.slice(0, -2));
      assert.equal(taken.exitCode, 0, taken.stderr);
      assert.deepEqual(await verifyBackup(directory), { ok: true, problems: [] });
    }
    const archive = (await readdir(join(folder, 'tar'))).find((name) => /^\d+\.tar$/.test(name)) ?? '';
    await rm(join(folder, 'tar', archive));
    const { problems } = await verifyBackup(join(folder, 'tar'));
    assert.ok(problems.length > 0 && problems.every(({ path }) => path.startsWith('pg_tblspc/')));
  });
});
