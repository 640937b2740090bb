import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { BaseBackupOptions } from '../../src/backup/backup-options.js';
import { BaseBackup } from '../../src/backup/base-backup.js';
import { parseManifest } from '../../src/backup/manifest.js';
import { verifyBackup } from '../../src/backup/verify-backup.js';
import { WalReceiver } from '../../src/backup/wal-receiver.js';
import { ProtocolError, ServerError } from '../../src/errors.js';
import { findClientTool, runTool, toolMajor } from '../support/client-tools.js';
import { eventually } from '../support/eventually.js';
import { PG_MAJOR } from '../support/server.js';
import { Cascade, holdingProxy, rowsOf } from './cascade.js';
import { temporaryFolder } from './copied-backup.js';
import { RestoredServer } from './restored-server.js';

/** Far less than a backup has: it cannot have come to its end. */
const HOLD_AFTER_BYTES = 1_000_000;
const SECOND_HISTORY = '00000002.history';

test(`the timeline changes while a standby is copied, of PostgreSQL ${PG_MAJOR}`, async (t) => {
  const cascade = await Cascade.start(t);
  const { first, second } = cascade;
  const port = Number(new URL(second.connectionString()).port);
  const restored = await RestoredServer.prepare(t);

  /** A backup that waits in its middle until it is released. */
  const begin = async (directory: string, more: Partial<BaseBackupOptions> = {}) => {
    const proxy = await holdingProxy(t, port, HOLD_AFTER_BYTES);
    const connection = `postgresql://postgres@127.0.0.1:${proxy.port}/postgres?sslmode=disable`;
    const running = new BaseBackup({ connection, directory, checkpoint: 'fast', sync: false, ...more }).run();
    running.catch(() => {});
    await Promise.race([proxy.held, running]);
    return { ...proxy, running };
  };

  const received = await temporaryFolder(t);
  const receiver = new WalReceiver({ connection: second.connectionString(), directory: received });
  const receiving = receiver.run();
  receiving.catch(() => {});
  const backups = [
    await begin(restored.dataDirectory),
    await begin(restored.beside('streamed'), { format: 'tar', compression: 'client-gzip:1' }),
    await begin(restored.beside('fetched'), { format: 'tar', compression: 'client-gzip:1', walMethod: 'fetch' }),
    await begin(restored.beside('unlisted'), { manifest: 'no' }),
  ];
  const tool = findClientTool('pg_basebackup');
  const hasOracle = tool !== undefined && (await toolMajor(tool)) === PG_MAJOR;
  const theirs = await holdingProxy(t, port, HOLD_AFTER_BYTES);
  const flags = ['-h', '127.0.0.1', '-p', String(theirs.port), '-U', 'postgres', '-c', 'fast', '--no-sync'];
  const oracle = hasOracle ? runTool(tool, [...flags, '-D', restored.beside('theirs')]) : undefined;
  if (oracle !== undefined) await theirs.held;
  await cascade.promote();
  for (const { release } of [...backups, theirs]) release();
  const [plain, streamed, fetched, unlisted] = backups.map(({ running }) => running);

  await t.test('what comes is whole, with the WAL of both timelines', async () => {
    for (const [running, directory] of [
      [plain, restored.dataDirectory],
      [streamed, restored.beside('streamed')],
      [fetched, restored.beside('fetched')],
    ] as const) {
      const result = await running;
      assert.deepEqual([result?.verified, result?.timeline], [true, 2]);
      const { walRanges } = parseManifest([await readFile(join(directory, 'backup_manifest'))]);
      assert.deepEqual(walRanges.map(({ timeline }) => timeline).sort(), [1, 2]);
      assert.deepEqual(await verifyBackup(directory), { ok: true, problems: [] });
    }
    const walDirectory = join(restored.dataDirectory, 'pg_wal');
    const history = await readFile(join(walDirectory, SECOND_HISTORY));
    assert.deepEqual(history, await readFile(join(first.dataDirectory, 'pg_wal', SECOND_HISTORY)));
  });

  await t.test('no manifest can be made here of two timelines: an error that says so, and nothing left', async () => {
    await assert.rejects(unlisted ?? Promise.resolve(), /the timeline changed from 1 to 2/);
    await assert.rejects(stat(restored.beside('unlisted')), { code: 'ENOENT' });
  });

  await t.test('pg_basebackup makes the same of it', { skip: !hasOracle && 'it is not of this major' }, async () => {
    const result = await oracle;
    assert.equal(result?.exitCode, 0, result?.stderr);
    const walOf = async (directory: string) =>
      (await readdir(join(directory, 'pg_wal'))).filter((name) => /^[0-9A-F]{8}/.test(name)).sort();
    assert.deepEqual(await walOf(restored.dataDirectory), await walOf(restored.beside('theirs')));
    const verifier = findClientTool('pg_verifybackup') ?? '';
    const judged = await runTool(verifier, [restored.dataDirectory]);
    assert.equal(judged.exitCode, 0, judged.stderr);
  });

  await t.test('WalReceiver goes on to the next timeline', async () => {
    await eventually('WAL of the second timeline', async () => {
      return (await readdir(received)).some((name) => /^00000002[0-9A-F]{16}/.test(name));
    });
    await receiver.stop();
    assert.equal((await receiving).timeline, 2);
    const names = (await readdir(received)).sort();
    assert.ok(
      names.includes(SECOND_HISTORY) && names.some((name) => /^00000001[0-9A-F]{16}/.test(name)),
      String(names),
    );
    for (const name of names) {
      const ours = await readFile(join(received, name));
      const server = await readFile(join(second.dataDirectory, 'pg_wal', name.replace('.partial', '')));
      // What it has not sent is zeros here.
      const end = ours.findLastIndex((byte) => byte !== 0) + 1;
      assert.ok(end > 0 && ours.subarray(0, end).equals(server.subarray(0, end)), name);
    }
  });

  await t.test('the standby itself is promoted: an error of the server, and nothing left', async () => {
    const directory = restored.beside('promoted');
    const { running, release } = await begin(directory);
    await second.sql('SELECT pg_promote()');
    release();
    await assert.rejects(running, (error: Error) => {
      const { message } = error;
      if (error instanceof ServerError) return message.includes('the standby was promoted during online backup');
      // 14 may end its timeline before it knows which comes next; pg_receivewal refuses that too.
      return PG_MAJOR === 14 && error instanceof ProtocolError && message === 'timeline 2 is followed by 0 at 0/0';
    });
    await assert.rejects(stat(directory), { code: 'ENOENT' });
  });

  await t.test('it starts, without any other server', async () => {
    await first.stop();
    await second.stop();
    await restored.start();
    assert.equal(await rowsOf(restored), 2000);
  });
});
