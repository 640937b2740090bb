import assert from 'node:assert/strict';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { before, suite, test } from 'node:test';
import type { BaseBackupOptions } from '../../src/backup/backup-options.js';
import { BaseBackup } from '../../src/backup/base-backup.js';
import { WalReceiver } from '../../src/backup/wal-receiver.js';
import { BackupError } from '../../src/errors.js';
import { eventually } from '../support/eventually.js';
import { needsSmallDisk, smallDisk } from '../support/full-disk.js';
import { PG_MAJOR, sharedServer, sql } from '../support/server.js';
import { slotsBecome } from './server-slots.js';

const MIB = 1024 * 1024;

/** Which file there was no room for. */
const isFull = (path: RegExp) => (error: unknown) => {
  assert.ok(error instanceof BackupError, String(error));
  assert.match(error.message, /^cannot (create|write to|sync|close) \S+: ENOSPC$/);
  assert.match(error.path ?? '', path);
  assert.equal((error.cause as NodeJS.ErrnoException).code, 'ENOSPC');
  return true;
};

suite(`a disk that is full, and PostgreSQL ${PG_MAJOR}`, { skip: needsSmallDisk }, () => {
  const server = sharedServer({ settings: { wal_keep_size: '256MB', full_page_writes: 'on' } });
  before(() =>
    sql(server(), 'CREATE TABLE kept AS SELECT n, repeat(md5(n::text), 8) FROM generate_series(1, 20000) n'),
  );

  /** Nobody of ours is connected any more, and no slot is left. */
  const nobodyIsLeft = async () => {
    await eventually(
      'no walsender',
      async () => (await sql(server(), 'SELECT 1 FROM pg_stat_replication')).length === 0,
    );
    await slotsBecome(server(), []);
  };

  const dataBytes = async () => {
    const [row] = await sql(server(), 'SELECT sum(pg_tablespace_size(oid))::int AS bytes FROM pg_tablespace');
    return row?.bytes as number;
  };

  const slot = { name: 'for_a_backup', create: 'always' } as const;
  const backups: readonly (readonly [string, number | 'data', RegExp, Partial<BaseBackupOptions>])[] = [
    ['a file', 14 * MIB, /^(?!.*pg_wal)/, { walMethod: 'fetch' }],
    // Its segments have their whole size at once.
    ['the WAL', 4 * MIB, /\/pg_wal\/[0-9A-F]{24}$/, { slot, maxRateKb: 64 }],
    ['an archive', 14 * MIB, /\/base\.tar$/, { format: 'tar', walMethod: 'fetch' }],
    // Filled up when the last segment is made whole, while the rest of the data or the manifest may still be written:
    // whichever finds no room is named.
    ['an archive and its WAL', 'data', /\/((pg_wal|base)\.tar|backup_manifest\.tmp)$/, { format: 'tar', slot }],
    [
      'a compressed archive',
      MIB,
      /\/base\.tar\.gz$/,
      { format: 'tar', walMethod: 'fetch', compression: 'client-gzip:1' },
    ],
    [
      'one that the server compressed',
      MIB,
      /\/base\.tar\.gz$/,
      { format: 'tar', walMethod: 'fetch', compression: 'server-gzip:1' },
    ],
  ];
  for (const [what, byteCount, path, options] of backups) {
    const isOld = PG_MAJOR < 15 && what.includes('server') && 'PostgreSQL 14 compresses nothing';
    test(`there is no room for ${what}: an error that names it, and nothing is left`, { skip: isOld }, async (t) => {
      const disk = await smallDisk(t, byteCount === 'data' ? (await dataBytes()) + 6 * MIB : byteCount);
      const directory = join(disk, 'backup');
      const connection = server().connectionString();
      const backup = new BaseBackup({ connection, directory, checkpoint: 'fast', ...options });
      await assert.rejects(backup.run(), isFull(path));
      assert.deepEqual(await readdir(disk), []);
      await nobodyIsLeft();
    });
  }

  test('there is no room for compressed WAL: an error that names it, and nothing is left', async (t) => {
    const disk = await smallDisk(t, MIB);
    const connection = server().connectionString();
    const options = { format: 'tar', compression: 'client-gzip:1', slot, maxRateKb: 32 } as const;
    const directory = join(disk, 'backup');
    const running = new BaseBackup({ connection, directory, checkpoint: 'fast', ...options }).run();
    running.catch(() => {});
    await eventually(
      'WAL that is streamed',
      async () => (await sql(server(), "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")).length > 0,
    );
    // The data alone would take minutes to fill the disk; this is 2 MiB when it is compressed.
    await sql(
      server(),
      `SELECT pg_logical_emit_message(false, 'random', string_agg(md5(random()::text), ''))
       FROM generate_series(1, 131072); SELECT pg_switch_wal()`,
    );
    await assert.rejects(running, isFull(/\/(pg_wal|base)\.tar\.gz$/));
    assert.deepEqual(await readdir(disk), []);
    await nobodyIsLeft();
  });

  test('what is kept of a backup has no manifest', async (t) => {
    const directory = join(await smallDisk(t, 14 * MIB), 'backup');
    const connection = server().connectionString();
    const options = { connection, directory, checkpoint: 'fast', keepOnError: true, walMethod: 'fetch' } as const;
    await assert.rejects(new BaseBackup(options).run(), isFull(/./));
    const names = await readdir(directory);
    assert.ok(names.length > 0 && !names.includes('backup_manifest'), String(names));
    // What no server starts without comes last.
    await assert.rejects(stat(join(directory, 'global/pg_control')), { code: 'ENOENT' });
    await nobodyIsLeft();
  });

  for (const synchronous of [false, true]) {
    test(`WAL that is received${synchronous ? ' and made safe as it comes' : ''}`, async (t) => {
      const disk = await smallDisk(t, 24 * MIB);
      const directory = join(disk, 'archive');
      await mkdir(directory);
      const name = `receiver_${synchronous}`;
      const options = { connection: server().connectionString(), directory, synchronous } as const;
      const receiver = new WalReceiver({ ...options, slot: { name, create: 'if-missing' } });
      const running = receiver.run();
      running.catch(() => {});
      await eventually('the first segment', async () => (await readdir(directory)).length > 0);
      for (let segment = 0; segment < 2; segment++)
        await sql(server(), 'CREATE TABLE x(); DROP TABLE x; SELECT pg_switch_wal()');
      await assert.rejects(running, isFull(/\/[0-9A-F]{24}\.partial$/));
      // The one that was complete, and the one that there was no room for.
      const [whole = '', ...others] = (await readdir(directory)).sort();
      assert.match(whole, /^[0-9A-F]{24}$/);
      assert.ok(others.length === 1 && others[0]?.endsWith('.partial'), String(others));
      await slotsBecome(server(), [{ name, temporary: false, active: false }]);
      await sql(server(), `SELECT pg_drop_replication_slot('${name}')`);
    });
  }
});
