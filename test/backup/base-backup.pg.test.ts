import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { BaseBackup } from '../../src/backup/base-backup.js';
import { parseManifest } from '../../src/backup/manifest.js';
import { connect, sharedServer, sql } from '../support/server.js';
import { RestoredServer } from './restored-server.js';

suite('base backup', () => {
  const server = sharedServer({ settings: { full_page_writes: 'on', wal_keep_size: '256MB' } });

  test('taken under writes, it starts and has everything that was committed before', async (t) => {
    await sql(server(), 'CREATE TABLE kept (id bigserial PRIMARY KEY, note text)');
    await sql(server(), "INSERT INTO kept (note) SELECT repeat('x', 500) FROM generate_series(1, 20000)");
    const writer = await connect(server());
    let writing = true;
    const writes = (async () => {
      while (writing) await writer.query("INSERT INTO kept (note) SELECT 'during' FROM generate_series(1, 50)");
    })();
    const restored = await RestoredServer.prepare(t);
    const backup = new BaseBackup({
      connection: server().connectionString(),
      directory: restored.dataDirectory,
      checkpoint: 'fast',
      sync: false,
    });
    const progress: number[] = [];
    backup.on('progress', ({ receivedBytes }) => progress.push(receivedBytes));
    const result = await backup.run();
    writing = false;
    await writes;
    await writer.end();

    assert.equal(result.verified, true);
    assert.ok(result.endLsn >= result.startLsn);
    assert.ok((progress.at(-1) ?? 0) > (result.byteCount ?? 0));
    assert.equal((await stat(restored.dataDirectory)).mode & 0o777, 0o700);
    assert.equal((await stat(join(restored.dataDirectory, 'PG_VERSION'))).mode & 0o777, 0o600);
    const manifest = parseManifest([await readFile(result.manifestPath ?? '')]);
    assert.ok(manifest.files.size > 500 && manifest.files.size <= (result.fileCount ?? 0));
    assert.ok(!(await readdir(restored.dataDirectory)).some((name) => name.endsWith('.tmp')));

    await restored.start();
    const [row] = await restored.sql(
      "SELECT count(*)::int AS n, count(*) FILTER (WHERE note <> 'during')::int AS old FROM kept",
    );
    assert.equal(row?.old, 20000);
    t.diagnostic(`${row?.n} rows, ${result.byteCount} bytes in ${result.durationMs.toFixed(0)} ms`);
  });

  for (const manifestChecksums of ['NONE', 'SHA224', 'SHA256', 'SHA384', 'SHA512'] as const) {
    test(`every file has the checksum that the server gives it, by ${manifestChecksums}`, async (t) => {
      const restored = await RestoredServer.prepare(t);
      const backup = new BaseBackup({
        connection: server().connectionString(),
        directory: restored.dataDirectory,
        checkpoint: 'fast',
        sync: false,
        manifest: 'force-encode',
        manifestChecksums,
      });
      assert.equal((await backup.run()).verified, true);
    });
  }

  test('without WAL', async (t) => {
    const restored = await RestoredServer.prepare(t);
    const options = { directory: restored.dataDirectory, checkpoint: 'fast', sync: false } as const;
    const connection = server().connectionString();
    const { verified } = await new BaseBackup({ ...options, connection, walMethod: 'none' }).run();
    assert.equal(verified, true);
    const wal = await readdir(join(restored.dataDirectory, 'pg_wal'));
    assert.deepEqual(
      wal.filter((name) => /^[0-9A-F]{24}$/.test(name)),
      [],
    );
  });

  test('tar format: what tar extracts starts too', async (t) => {
    await sql(server(), 'CREATE TABLE archived AS SELECT generate_series(1, 1000) AS n');
    const restored = await RestoredServer.prepare(t);
    const directory = restored.beside('archives');
    const connection = server().connectionString();
    const result = await new BaseBackup({ connection, directory, format: 'tar', checkpoint: 'fast' }).run();
    assert.equal(result.verified, true);
    assert.deepEqual((await readdir(directory)).sort(), ['backup_manifest', 'base.tar', 'pg_wal.tar']);
    await restored.extract(directory);
    await restored.start();
    assert.deepEqual(await restored.sql('SELECT sum(n)::int AS sum FROM archived'), [{ sum: 500500 }]);
  });

  test('a standby follows the server that it was copied from', async (t) => {
    const restored = await RestoredServer.prepare(t);
    const connection = server().connectionString();
    const directory = restored.dataDirectory;
    await new BaseBackup({ connection, directory, checkpoint: 'fast', writeRecoveryConf: true }).run();
    await restored.start();
    await sql(server(), 'CREATE TABLE followed AS SELECT 42 AS answer');
    const [lsn] = await sql(server(), 'SELECT pg_current_wal_flush_lsn() AS lsn');
    for (;;) {
      const [row] = await restored.sql(`SELECT pg_last_wal_replay_lsn() >= '${lsn?.lsn}' AS done`);
      if (row?.done === true) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.deepEqual(await restored.sql('SELECT answer FROM followed'), [{ answer: 42 }]);
  });

  test('aborted, it leaves nothing', async (t) => {
    const restored = await RestoredServer.prepare(t);
    const abort = new AbortController();
    const backup = new BaseBackup({
      connection: server().connectionString(),
      directory: restored.dataDirectory,
      checkpoint: 'fast',
      maxRateKb: 1024,
      signal: abort.signal,
    });
    backup.on('progress', ({ receivedBytes }) => {
      if (receivedBytes > 0) abort.abort(new Error('enough'));
    });
    await assert.rejects(backup.run(), /enough/);
    await assert.rejects(stat(restored.dataDirectory), { code: 'ENOENT' });
  });

  test('a user without REPLICATION', async (t) => {
    await sql(server(), 'CREATE ROLE plain LOGIN');
    const restored = await RestoredServer.prepare(t);
    const connection = { host: server().host, port: server().port, user: 'plain' };
    const backup = new BaseBackup({ connection, directory: restored.dataDirectory });
    await assert.rejects(backup.run(), { code: 'ERR_AUTHENTICATION' });
    await assert.rejects(stat(restored.dataDirectory), { code: 'ENOENT' });
  });
});
