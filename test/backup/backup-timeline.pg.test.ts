import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { BaseBackup } from '../../src/backup/base-backup.js';
import { verifyBackup } from '../../src/backup/verify-backup.js';
import { eventually } from '../support/eventually.js';
import { sql, withServer } from '../support/server.js';
import { RestoredServer } from './restored-server.js';

test('a server on its second timeline: its history comes too', async (t) => {
  const server = await withServer(t, { settings: { restore_command: 'false' } });
  await sql(server, 'CREATE TABLE kept AS SELECT generate_series(1, 100) AS n');
  await server.stop();
  await writeFile(join(server.dataDirectory, 'recovery.signal'), '', { mode: 0o666 });
  await server.restart();
  await eventually('the end of recovery', async () => {
    return (await sql(server, 'SELECT pg_is_in_recovery() AS recovering'))[0]?.recovering === false;
  });
  const restored = await RestoredServer.prepare(t);
  const connection = server.connectionString();
  for (const format of ['plain', 'tar'] as const) {
    const directory = restored.beside(format);
    const result = await new BaseBackup({ connection, directory, format, checkpoint: 'fast', sync: false }).run();
    assert.equal(result.timeline, 2);
    assert.deepEqual(await verifyBackup(directory), { ok: true, problems: [] });
  }
  await restored.extract(restored.beside('tar'));
  const theirs = await readFile(join(server.dataDirectory, 'pg_wal', '00000002.history'));
  for (const directory of [restored.beside('plain'), restored.dataDirectory]) {
    assert.deepEqual(await readFile(join(directory, 'pg_wal', '00000002.history')), theirs);
    await stat(join(directory, 'pg_wal/archive_status/00000002.history.done'));
  }
  await restored.start();
  assert.deepEqual(await restored.sql('SELECT count(*)::int AS n FROM kept'), [{ n: 100 }]);
});
