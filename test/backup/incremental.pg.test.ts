import assert from 'node:assert/strict';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { suite, test } from 'node:test';
import type { BaseBackupOptions } from '../../src/backup/backup-options.js';
import { BaseBackup } from '../../src/backup/base-backup.js';
import { parseManifest } from '../../src/backup/manifest.js';
import { verifyBackup } from '../../src/backup/verify-backup.js';
import { ConfigurationError, ServerError } from '../../src/errors.js';
import { Lsn } from '../../src/lsn.js';
import { needsMajor, PG_MAJOR, sharedServer, sql } from '../support/server.js';
import { combineBackups } from './combined-backup.js';
import { temporaryFolder } from './copied-backup.js';
import { RestoredServer } from './restored-server.js';

suite('incremental backups', { skip: needsMajor(17, 'incremental backups') }, () => {
  const server = sharedServer({ settings: { summarize_wal: 'on', full_page_writes: 'on', wal_keep_size: '256MB' } });
  const base = () => ({ connection: server().connectionString(), checkpoint: 'fast', sync: false }) as const;
  const take = (options: Partial<BaseBackupOptions>) => new BaseBackup({ ...base(), ...options }).run();

  test('one that builds on a full backup is good, and both together are the server', async (t) => {
    await sql(
      server(),
      "CREATE TABLE large AS SELECT n, repeat('x', 400) AS pad FROM generate_series(1, 40000) AS n;" +
        'CREATE TABLE short AS SELECT n FROM generate_series(1, 100000) AS n',
    );
    const restored = await RestoredServer.prepare(t);
    const full = await take({ directory: restored.beside('full') });
    await sql(
      server(),
      "UPDATE large SET pad = 'changed' WHERE n % 4000 = 0; CREATE TABLE new AS SELECT n FROM generate_series(1, 777) AS n;" +
        'DELETE FROM short WHERE n > 1000; INSERT INTO large SELECT n, repeat(n::text, 50) FROM generate_series(1, 3000) AS n',
    );
    await sql(server(), 'VACUUM short');
    const figures =
      'SELECT (SELECT md5(string_agg(large::text, chr(10) ORDER BY large::text)) FROM large) AS large,' +
      '(SELECT count(*)::int FROM short) AS short, (SELECT sum(n)::int FROM new) AS new';
    const expected = await sql(server(), figures);
    const directory = restored.beside('incremental');
    const incremental = await take({ directory, incrementalFrom: full.manifestPath ?? '', compression: 'server-gzip' });

    assert.equal(incremental.verified, true);
    assert.ok((incremental.byteCount ?? 0) < (full.byteCount ?? 0) / 2, `${incremental.byteCount} ${full.byteCount}`);
    const label = await readFile(join(directory, 'backup_label'), 'utf8');
    assert.equal(/^INCREMENTAL FROM LSN: (.+)$/m.exec(label)?.[1], Lsn.format(full.startLsn));
    const { files } = parseManifest([await readFile(incremental.manifestPath ?? '')]);
    const listed = [...files.keys()].filter((path) => basename(path).startsWith('INCREMENTAL.'));
    assert.ok(listed.length > 100, `${listed.length} incremental files`);
    assert.deepEqual(await verifyBackup(directory), { ok: true, problems: [] });
    t.diagnostic(`${full.byteCount} bytes, then ${incremental.byteCount}; ${listed.length} incremental files`);

    // pg_combinebackup is in no package that the tests have.
    await combineBackups(restored.beside('full'), directory, restored.dataDirectory);
    await restored.start();
    assert.deepEqual(await restored.sql(figures), expected);
  });

  test('a chain: one more on top, in tar format, and damage to it is found', async (t) => {
    const folder = await temporaryFolder(t);
    const [first, second, third] = ['1', '2', '3'].map((name) => join(folder, name));
    const full = await take({ directory: first ?? '', manifest: 'no' });
    const next = await take({ directory: second ?? '', incrementalFrom: full.manifestPath ?? '' });
    const last = await take({
      directory: third ?? '',
      incrementalFrom: next.manifestPath ?? '',
      format: 'tar',
      walMethod: 'fetch',
    });
    assert.deepEqual([full.verified, next.verified, last.verified], [false, true, true]);
    assert.deepEqual(await verifyBackup(third ?? ''), { ok: true, problems: [] });
    const label = await readFile(join(second ?? '', 'backup_label'), 'utf8');
    assert.ok(label.includes(`INCREMENTAL FROM LSN: ${Lsn.format(full.startLsn)}`));

    const names = await readdir(join(second ?? '', 'base', '1'));
    const victim = join(second ?? '', 'base', '1', names.find((name) => name.startsWith('INCREMENTAL.')) ?? '');
    const bytes = await readFile(victim);
    bytes[0] ^= 1;
    await writeFile(victim, bytes);
    const { problems } = await verifyBackup(second ?? '');
    assert.deepEqual(problems, [{ path: `base/1/${basename(victim)}`, problem: 'checksum mismatch' }]);
  });

  test('what cannot work is refused before anything is written', async (t) => {
    const folder = await temporaryFolder(t);
    const { manifestPath = '' } = await take({ directory: join(folder, 'full') });
    const manifest = await readFile(manifestPath, 'latin1');
    const attempt = async (name: string, content: string) => {
      const path = join(folder, name);
      await writeFile(path, content, 'latin1');
      return take({ directory: join(folder, 'new'), incrementalFrom: path });
    };
    const refused = (problem: RegExp) => (error: unknown) => {
      assert.ok(error instanceof ConfigurationError && error.option === 'incrementalFrom', String(error));
      assert.match(error.message, problem);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    };
    const other = manifest.replace(/"System-Identifier": \d+/, '"System-Identifier": 7500000000000000001');
    await assert.rejects(attempt('other', other), refused(/of the system 7500000000000000001, but the server is \d+$/));
    await assert.rejects(attempt('junk', 'junk'), refused(/is not a backup_manifest$/));
    const old = '{ "PostgreSQL-Backup-Manifest-Version": 1,\n"Files": [\n';
    await assert.rejects(attempt('old', old), refused(/of a server before 17/));
    const nowhere = { directory: join(folder, 'new'), incrementalFrom: join(folder, 'nowhere') };
    await assert.rejects(take(nowhere), refused(/cannot be read: ENOENT$/));
    // The server reads it all.
    const damaged = manifest.replace(/"Size": 3,/, '"Size": 4,');
    await assert.rejects(attempt('damaged', damaged), (error) => {
      return error instanceof ServerError && /manifest/.test(error.message);
    });
    await assert.rejects(attempt('cut', manifest.slice(0, 20_000)), ServerError);

    await sql(server(), 'ALTER SYSTEM SET summarize_wal = off');
    await sql(server(), 'SELECT pg_reload_conf()');
    while ((await sql(server(), 'SHOW summarize_wal'))[0]?.summarize_wal !== 'off') {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await assert.rejects(attempt('good', manifest), refused(/summarize_wal off/));
    await assert.rejects(stat(join(folder, 'new')), { code: 'ENOENT' });
  });
});

suite('servers without incremental backups', { skip: PG_MAJOR >= 17 && 'this one has them' }, () => {
  const server = sharedServer();

  test('say so in one line', async (t) => {
    const folder = await temporaryFolder(t);
    const incrementalFrom = join(folder, 'manifest');
    await writeFile(
      incrementalFrom,
      '{ "PostgreSQL-Backup-Manifest-Version": 2,\n"System-Identifier": 1,\n"Files": [\n',
    );
    const options = { connection: server().connectionString(), directory: join(folder, 'new'), incrementalFrom };
    await assert.rejects(new BaseBackup(options).run(), (error) => {
      assert.ok(error instanceof ConfigurationError && error.option === 'incrementalFrom');
      assert.match(error.message, /^an incremental backup needs PostgreSQL 17 or later; this server is 1[456]\.\d+$/);
      return true;
    });
    assert.deepEqual(await readdir(folder), ['manifest']);
  });
});
