import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { BaseBackupOptions } from '../../src/backup/backup-options.js';
import { BaseBackup } from '../../src/backup/base-backup.js';
import { verifyBackup } from '../../src/backup/verify-backup.js';
import { ConnectionError, ServerError } from '../../src/errors.js';
import { findClientTool, runTool, toolMajor } from '../support/client-tools.js';
import { eventually } from '../support/eventually.js';
import { PG_MAJOR, sharedServer, sql } from '../support/server.js';
import { RestoredServer } from './restored-server.js';
import { slotsBecome } from './server-slots.js';
import { WriteLoad } from './write-load.js';

/** Segments of a `pg_wal`, and those of them that are marked as archived. */
async function segmentsIn(walDirectory: string): Promise<{ names: string[]; done: string[] }> {
  const isSegment = (name: string) => /^[0-9A-F]{24}$/.test(name);
  const names = (await readdir(walDirectory)).filter(isSegment).sort();
  const marks = await readdir(join(walDirectory, 'archive_status'));
  return {
    names,
    done: marks
      .map((name) => name.replace(/\.done$/, ''))
      .filter(isSegment)
      .sort(),
  };
}

suite(`WAL beside the backup, of PostgreSQL ${PG_MAJOR}`, () => {
  // Little is kept, so that it is the slot that keeps it.
  const settings = { full_page_writes: 'on', min_wal_size: '32MB', max_wal_size: '32MB', wal_keep_size: '0' };
  const server = sharedServer({ settings });
  const options = (directory: string, more: Partial<BaseBackupOptions> = {}): BaseBackupOptions => {
    return { connection: server().connectionString(), directory, checkpoint: 'fast', sync: false, ...more };
  };

  for (const format of ['plain', 'tar'] as const) {
    test(`${format}: under writes, whole, restored and consistent`, async (t) => {
      const restored = await RestoredServer.prepare(t);
      const directory = format === 'plain' ? restored.dataDirectory : restored.beside('archives');
      await using load = await WriteLoad.start(server());
      const running = new BaseBackup(options(directory, { format, maxRateKb: 6 * 1024 })).run();
      running.catch(() => {});
      await eventually('its WAL', async () => {
        return (await sql(server(), "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")).length > 0;
      });
      // WAL that no slot holds back would be gone after this.
      for (let segment = 0; segment < 4; segment++) await sql(server(), 'SELECT pg_switch_wal()');
      await sql(server(), 'CHECKPOINT');
      const result = await running;
      await load[Symbol.asyncDispose]();
      assert.equal(result.verified, true);
      await slotsBecome(server(), []);

      assert.deepEqual(await verifyBackup(directory), { ok: true, problems: [] });
      const tool = findClientTool('pg_verifybackup');
      if (format === 'plain' && tool !== undefined && (await toolMajor(tool)) === PG_MAJOR) {
        const { exitCode, stderr } = await runTool(tool, [directory]);
        assert.equal(exitCode, 0, stderr);
      }
      if (format === 'tar') await restored.extract(directory);
      const { names, done } = await segmentsIn(join(restored.dataDirectory, 'pg_wal'));
      assert.ok(names.length > 4, 'several segments');
      const complete = names.length - done.length;
      assert.ok(complete <= 1, 'all but the last are marked');
      assert.deepEqual(done, names.slice(0, done.length));
      await restored.start();
      const [row] = await restored.sql(
        "SELECT count(*) FILTER (WHERE kind = 'before')::int AS before, count(*)::int AS all FROM load",
      );
      const before = Number(row?.before);
      assert.ok(before > 0 && before % WriteLoad.ROWS_BEFORE === 0);
      t.diagnostic(`${names.length} segments, ${row?.all} rows, ${result.byteCount} bytes`);
    });

    test(`${format}: a standby follows by the slot that was made for it`, async (t) => {
      const restored = await RestoredServer.prepare(t);
      const directory = format === 'plain' ? restored.dataDirectory : restored.beside('archives');
      const slot = { name: `standby_${format}`, create: 'always' } as const;
      await new BaseBackup(options(directory, { format, slot, writeRecoveryConf: true })).run();
      await slotsBecome(server(), [{ name: slot.name, temporary: false, active: false }]);
      assert.deepEqual(await verifyBackup(directory), { ok: true, problems: [] });
      if (format === 'tar') await restored.extract(directory);
      assert.equal((await stat(join(restored.dataDirectory, 'standby.signal'))).size, 0);
      await restored.start();
      const table = `followed_${format}`;
      await sql(server(), `CREATE TABLE ${table} AS SELECT 42 AS answer`);
      await eventually('the table', async () => {
        const [row] = await restored.sql(`SELECT to_regclass('${table}') IS NOT NULL AS there`);
        return row?.there === true;
      });
      assert.deepEqual(await restored.sql(`SELECT answer FROM ${table}`), [{ answer: 42 }]);
      await slotsBecome(server(), [{ name: slot.name, temporary: false, active: true }]);
      if (format === 'plain') {
        // A standby can be copied too, while nothing is written.
        const connection = restored.connectionString();
        const copied = restored.beside('of-the-standby');
        await new BaseBackup(options(copied, { connection })).run();
        assert.deepEqual(await verifyBackup(copied), { ok: true, problems: [] });
      }
      await restored.stop();
      await slotsBecome(server(), [{ name: slot.name, temporary: false, active: false }]);
      await sql(server(), `SELECT pg_drop_replication_slot('${slot.name}')`);
    });
  }

  test('the connection of the WAL is killed: the backup ends at once, and leaves nothing', async (t) => {
    const restored = await RestoredServer.prepare(t);
    const backup = new BaseBackup(options(restored.dataDirectory, { maxRateKb: 1024 }));
    const killed = eventually('a victim', async () => {
      const victims = await sql(
        server(),
        "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE state = 'streaming'",
      );
      return victims.length > 0;
    });
    const running = backup.run();
    running.catch(() => {});
    await killed;
    await assert.rejects(running, (error) => {
      assert.ok(error instanceof ConnectionError && error.retryable, String(error));
      assert.match(error.message, /the connection to \S+ for the WAL of the backup was lost/);
      assert.ok(error.cause instanceof ServerError && error.cause.sqlState === '57P01', String(error.cause));
      return true;
    });
    await assert.rejects(stat(restored.dataDirectory), { code: 'ENOENT' });
  });
});
