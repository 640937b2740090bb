import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, open, readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { BaseBackup } from '../../src/backup/base-backup.js';
import { BackupError, ConfigurationError, ServerError } from '../../src/errors.js';
import { PG_MAJOR, sql, withServer } from '../support/server.js';
import { RestoredServer } from './restored-server.js';

const execute = promisify(execFile);

test('tablespaces go where they are mapped, and their tables are there', async (t) => {
  const server = await withServer(t);
  const restored = await RestoredServer.prepare(t);
  const location = join(server.socketDirectory, 'one');
  await mkdir(location);
  const { uid, gid } = await stat(server.dataDirectory);
  await chown(location, uid, gid);
  await sql(server, `CREATE TABLESPACE one LOCATION '${location}'`);
  await sql(server, 'CREATE TABLE spaced TABLESPACE one AS SELECT generate_series(1, 5000) AS n');
  const options = {
    connection: server.connectionString(),
    directory: restored.dataDirectory,
    checkpoint: 'fast',
  } as const;
  await assert.rejects(new BaseBackup(options).run(), ConfigurationError);

  const directory = restored.beside('one');
  const { tablespaces, verified } = await new BaseBackup({
    ...options,
    tablespaceMapping: { [location]: directory },
  }).run();
  assert.equal(verified, true);
  const [tablespace] = tablespaces;
  assert.deepEqual([tablespaces.length, tablespace?.location, tablespace?.directory], [1, location, directory]);
  assert.equal(await readlink(join(restored.dataDirectory, 'pg_tblspc', String(tablespace?.oid))), directory);
  const archives = restored.beside('archives');
  const archived = await new BaseBackup({ ...options, directory: archives, format: 'tar' }).run();
  assert.equal(archived.verified, true);
  const names = ['backup_manifest', 'base.tar', 'pg_wal.tar', `${tablespace?.oid}.tar`];
  assert.deepEqual((await readdir(archives)).sort(), names.sort());
  const { stdout } = await execute('tar', ['-xOf', join(archives, 'base.tar'), 'tablespace_map']);
  assert.equal(stdout, `${tablespace?.oid} ${location}\n`);
  // The copy must not lean on the original.
  await server.stop();
  await restored.start();
  assert.deepEqual(await restored.sql('SELECT sum(n)::int AS sum FROM spaced'), [{ sum: 12502500 }]);
});

test('the server killed in the middle: an error in time, and nothing left', async (t) => {
  const server = await withServer(t);
  const restored = await RestoredServer.prepare(t);
  const directory = restored.dataDirectory;
  const connection = server.connectionString();
  const backup = new BaseBackup({ connection, directory, checkpoint: 'fast', maxRateKb: 1024 });
  let killed: Promise<void> | undefined;
  backup.on('progress', ({ receivedBytes }) => {
    if (receivedBytes > 1_000_000) killed ??= server.kill();
  });
  await assert.rejects(backup.run(), { code: 'ERR_CONNECTION', retryable: true });
  await killed;
  await assert.rejects(stat(directory), { code: 'ENOENT' });
});

test('a server whose group may read: so may that of the copy', async (t) => {
  const server = await withServer(t);
  await server.stop();
  await chmod(server.dataDirectory, 0o750);
  await server.restart();
  const restored = await RestoredServer.prepare(t);
  await new BaseBackup({
    connection: server.connectionString(),
    directory: restored.dataDirectory,
    checkpoint: 'fast',
    sync: false,
  }).run();
  const modes = await Promise.all(
    ['', 'base', 'PG_VERSION', 'backup_manifest'].map((name) => stat(join(restored.dataDirectory, name))),
  );
  assert.deepEqual(
    modes.map(({ mode }) => mode & 0o7777),
    [0o750, 0o750, 0o640, 0o640],
  );
  await restored.start();
});

test('an archiver that is slow is waited for', async (t) => {
  // 14 keeps the end of the COPY to itself until it says, after 5 s, that it waits.
  const [idleTimeoutMs, archiveSeconds] = PG_MAJOR < 15 ? [7000, 10] : [1000, 3];
  const settings = { archive_mode: 'on', archive_command: `sleep ${archiveSeconds}` };
  const server = await withServer(t, { settings });
  const restored = await RestoredServer.prepare(t);
  const connection = server.connectionString();
  const options = { connection, checkpoint: 'fast', walMethod: 'none', idleTimeoutMs } as const;
  const { verified, durationMs } = await new BaseBackup({ ...options, directory: restored.dataDirectory }).run();
  // Or its end would wait, too.
  await sql(server, "ALTER SYSTEM SET archive_command = 'true'");
  await sql(server, 'SELECT pg_reload_conf()');
  assert.equal(verified, true);
  assert.ok(durationMs > archiveSeconds * 700, `${durationMs} ms: nothing was waited for`);
});

test('damaged pages: the server says so at the very end, and the files stay', async (t) => {
  const server = await withServer(t, { dataChecksums: true });
  await sql(server, 'CREATE TABLE damaged AS SELECT generate_series(1, 5000) AS n');
  const path = String((await sql(server, "SELECT pg_relation_filepath('damaged') AS path"))[0]?.path);
  await server.stop();
  const file = await open(join(server.dataDirectory, path), 'r+');
  await file.write(Buffer.from('damage'), 0, 6, 8192 + 4000);
  await file.close();
  await server.restart();
  const restored = await RestoredServer.prepare(t);
  const backup = new BaseBackup({
    connection: server.connectionString(),
    directory: restored.dataDirectory,
    checkpoint: 'fast',
    slot: { name: 'for_nobody', create: 'always' },
  });
  const notices: string[] = [];
  backup.on('notice', ({ message }) => notices.push(message));
  await assert.rejects(backup.run(), (error) => {
    assert.ok(error instanceof BackupError && error.cause instanceof ServerError && error.cause.sqlState === 'XX001');
    return true;
  });
  assert.ok(notices.some((message) => message.includes('checksum verification failed')));
  const names = await readdir(restored.dataDirectory);
  assert.ok(names.includes('backup_manifest.tmp') && !names.includes('backup_manifest'));
  assert.ok((await stat(join(restored.dataDirectory, path))).size > 8192);
  assert.deepEqual(await sql(server, 'SELECT slot_name FROM pg_replication_slots'), []);
});
