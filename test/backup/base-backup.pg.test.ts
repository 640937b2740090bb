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
    assert.ok((progress.at(-1) ?? 0) > result.byteCount);
    assert.equal((await stat(restored.dataDirectory)).mode & 0o777, 0o700);
    assert.equal((await stat(join(restored.dataDirectory, 'PG_VERSION'))).mode & 0o777, 0o600);
    const manifest = parseManifest(await readFile(result.manifestPath ?? ''));
    assert.ok(manifest.files.size > 500 && manifest.files.size <= result.fileCount);
    assert.ok(!(await readdir(restored.dataDirectory)).some((name) => name.endsWith('.tmp')));

    await restored.start();
    const [row] = await restored.sql(
      "SELECT count(*)::int AS n, count(*) FILTER (WHERE note <> 'during')::int AS old FROM kept",
    );
    assert.equal(row?.old, 20000);
    t.diagnostic(`${row?.n} rows, ${result.byteCount} bytes in ${result.durationMs.toFixed(0)} ms`);
  });
});
