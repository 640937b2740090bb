import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { test } from 'node:test';
import type { BaseBackupOptions } from '../../src/backup/backup-options.js';
import { BaseBackup } from '../../src/backup/base-backup.js';
import { ConfigurationError, ServerError, SlotError } from '../../src/errors.js';
import { eventually } from '../support/eventually.js';
import { sql, withServer } from '../support/server.js';
import { RestoredServer } from './restored-server.js';
import { slotsBecome, slotsOf } from './server-slots.js';

test('slots: missing, there already, none, and one that a failure leaves to nobody', async (t) => {
  // Without a slot, or with one that reserves nothing yet, it is this that keeps WAL.
  const server = await withServer(t, { settings: { wal_keep_size: '256MB' } });
  const options = (directory: string, more: Partial<BaseBackupOptions>): BaseBackupOptions => {
    return { connection: server.connectionString(), directory, checkpoint: 'fast', sync: false, ...more };
  };
  const restored = await RestoredServer.prepare(t);
  const directory = restored.dataDirectory;
  await assert.rejects(new BaseBackup(options(directory, { slot: 'nowhere' })).run(), (error) => {
    return error instanceof SlotError && error.reason === 'missing' && error.slotName === 'nowhere';
  });
  await sql(server, "SELECT pg_create_physical_replication_slot('taken')");
  await assert.rejects(
    new BaseBackup(options(directory, { slot: { name: 'taken', create: 'always' } })).run(),
    (error) => error instanceof ConfigurationError && error.option === 'slot.name',
  );
  const taken = { name: 'taken', temporary: false, active: false };
  assert.deepEqual(await slotsOf(server), [taken], 'that of somebody else stays');

  const abort = new AbortController();
  const slot = { name: 'mine', create: 'always' } as const;
  const aborted = new BaseBackup(options(directory, { slot, maxRateKb: 1024, signal: abort.signal }));
  aborted.on('progress', () => abort.abort(new Error('enough')));
  await assert.rejects(aborted.run(), /enough/);
  await slotsBecome(server, [taken]);
  await assert.rejects(stat(directory), { code: 'ENOENT' });

  for (const [given, active] of [
    [false, false],
    ['taken', true],
  ] as const) {
    const backup = new BaseBackup(options(restored.beside(String(given)), { slot: given, maxRateKb: 8 * 1024 }));
    const running = backup.run();
    running.catch(() => {});
    await eventually('its WAL', async () => {
      return (await sql(server, "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")).length > 0;
    });
    await slotsBecome(server, [{ ...taken, active }]);
    await running;
  }
  await slotsBecome(server, [taken]);
  await sql(server, "SELECT pg_drop_replication_slot('taken')");
});

test('max_wal_senders is too low for a second connection: one clear error, and nothing left', async (t) => {
  const server = await withServer(t, { settings: { max_wal_senders: '1' } });
  const restored = await RestoredServer.prepare(t);
  const directory = restored.dataDirectory;
  const options = { connection: server.connectionString(), directory, checkpoint: 'fast', sync: false } as const;
  await assert.rejects(new BaseBackup(options).run(), (error) => {
    assert.ok(error instanceof ServerError && error.sqlState === '53300', String(error));
    assert.match(error.message, /max_wal_senders/);
    return true;
  });
  await assert.rejects(stat(directory), { code: 'ENOENT' });
  await new BaseBackup({ ...options, walMethod: 'fetch' }).run();
});

test('wal_level = minimal: one clear error, and nothing left', async (t) => {
  const server = await withServer(t, { settings: { wal_level: 'minimal', max_wal_senders: '0' } });
  const restored = await RestoredServer.prepare(t);
  const directory = restored.dataDirectory;
  const backup = new BaseBackup({ connection: server.connectionString(), directory, checkpoint: 'fast' });
  await assert.rejects(backup.run(), (error) => {
    assert.ok(error instanceof ConfigurationError, String(error));
    assert.match(error.message, /max_wal_senders is 0\. What mends it: ALTER SYSTEM SET wal_level/);
    return true;
  });
  await assert.rejects(stat(directory), { code: 'ENOENT' });
});
