import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { BaseBackupOptions } from '../../src/backup/backup-options.js';
import { BaseBackup } from '../../src/backup/base-backup.js';
import { verifyBackup } from '../../src/backup/verify-backup.js';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { ConfigurationError, ConnectionError, ServerError, SlotError } from '../../src/errors.js';
import { findClientTool, runTool, toolMajor } from '../support/client-tools.js';
import { PG_MAJOR, sharedServer, sql, withServer } from '../support/server.js';
import { RestoredServer } from './restored-server.js';
import { WriteLoad } from './write-load.js';

const execute = promisify(execFile);

/** What GNU tar makes of a backup in tar format. */
async function extract(archives: string, directory: string): Promise<void> {
  await mkdir(directory, { mode: 0o700 });
  await execute('tar', ['-xf', join(archives, 'base.tar'), '-C', directory]);
  await execute('tar', ['-xf', join(archives, 'pg_wal.tar'), '-C', join(directory, 'pg_wal')]);
}

async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await holds())) {
    assert.ok(Date.now() < deadline, `${what} did not come about`);
    await delay(20);
  }
}

async function slotsOf(server: EmbeddedServer): Promise<unknown[]> {
  const rows = await sql(server, 'SELECT slot_name, temporary, active FROM pg_replication_slots ORDER BY 1');
  return rows.map(({ slot_name: name, temporary, active }) => ({ name, temporary, active }));
}

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
      const load = await WriteLoad.start(server());
      let checkpoints: Promise<unknown> = Promise.resolve();
      const backup = new BaseBackup(options(directory, { format, maxRateKb: 32 * 1024 }));
      // WAL that no slot holds is removed by these.
      backup.on('progress', () => {
        checkpoints = checkpoints.then(() => sql(server(), 'CHECKPOINT'));
      });
      const result = await backup.run();
      await checkpoints;
      await load[Symbol.asyncDispose]();
      assert.equal(result.verified, true);
      assert.deepEqual(await slotsOf(server()), [], 'the temporary slot is gone');

      assert.deepEqual(await verifyBackup(directory), { ok: true, problems: [] });
      const tool = findClientTool('pg_verifybackup');
      if (format === 'plain' && tool !== undefined && (await toolMajor(tool)) === PG_MAJOR) {
        const { exitCode, stderr } = await runTool(tool, [directory]);
        assert.equal(exitCode, 0, stderr);
      }
      if (format === 'tar') await extract(directory, restored.dataDirectory);
      const { names, done } = await segmentsIn(join(restored.dataDirectory, 'pg_wal'));
      assert.ok(names.length > 1, 'several segments');
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
      assert.deepEqual(await slotsOf(server()), [{ name: slot.name, temporary: false, active: false }]);
      assert.deepEqual(await verifyBackup(directory), { ok: true, problems: [] });
      if (format === 'tar') await extract(directory, restored.dataDirectory);
      assert.equal((await stat(join(restored.dataDirectory, 'standby.signal'))).size, 0);
      await restored.start();
      const table = `followed_${format}`;
      await sql(server(), `CREATE TABLE ${table} AS SELECT 42 AS answer`);
      await eventually('the table', async () => {
        const [row] = await restored.sql(`SELECT to_regclass('${table}') IS NOT NULL AS there`);
        return row?.there === true;
      });
      assert.deepEqual(await restored.sql(`SELECT answer FROM ${table}`), [{ answer: 42 }]);
      assert.deepEqual(await slotsOf(server()), [{ name: slot.name, temporary: false, active: true }]);
      await restored.stop();
      await eventually('its end', async () => JSON.stringify(await slotsOf(server())).includes('"active":false'));
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
  assert.deepEqual(await slotsOf(server), [taken]);
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
    assert.deepEqual(await slotsOf(server), [{ ...taken, active }]);
    await running;
  }
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
    assert.ok(error instanceof ServerError, String(error));
    assert.match(error.message, /max_wal_senders/);
    return true;
  });
  await assert.rejects(stat(directory), { code: 'ENOENT' });
});

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
  await extract(restored.beside('tar'), restored.dataDirectory);
  const theirs = await readFile(join(server.dataDirectory, 'pg_wal', '00000002.history'));
  for (const directory of [restored.beside('plain'), restored.dataDirectory]) {
    assert.deepEqual(await readFile(join(directory, 'pg_wal', '00000002.history')), theirs);
    await stat(join(directory, 'pg_wal/archive_status/00000002.history.done'));
  }
  await restored.start();
  assert.deepEqual(await restored.sql('SELECT count(*)::int AS n FROM kept'), [{ n: 100 }]);
});
