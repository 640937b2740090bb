import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { verifyWalRange } from '../../src/backup/verify-wal.js';
import { WalReceiver } from '../../src/backup/wal-receiver.js';
import { WalDirectory } from '../../src/backup/wal-source.js';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { BackupError, ConfigurationError, ConnectionError, SlotError, TimeoutError } from '../../src/errors.js';
import { Lsn } from '../../src/lsn.js';
import { TcpProxy } from '../stream/tcp-proxy.js';
import { findClientTool, toolMajor } from '../support/client-tools.js';
import { eventually } from '../support/eventually.js';
import { PG_MAJOR, sharedServer, sql, withServer } from '../support/server.js';
import { temporaryFolder } from './copied-backup.js';

async function walEnd(server: EmbeddedServer): Promise<bigint> {
  const [row] = await sql(server, 'SELECT pg_current_wal_flush_lsn()::text AS lsn');
  return Lsn.parse(String(row?.lsn));
}

async function write(server: EmbeddedServer, rows: number): Promise<void> {
  await sql(server, 'CREATE TABLE IF NOT EXISTS written (n int, t text)');
  await sql(server, `INSERT INTO written SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, ${rows}) n`);
}

/** Three segments and a part of a fourth. */
async function writeSegments(server: EmbeddedServer): Promise<bigint> {
  for (let segment = 0; segment < 3; segment++) {
    await write(server, 3000);
    await sql(server, 'SELECT pg_switch_wal()');
  }
  await write(server, 2000);
  await sql(server, 'CHECKPOINT');
  return walEnd(server);
}

/** Every complete segment is the server's; gives their names. */
async function compareSegments(server: EmbeddedServer, directory: string, end: bigint): Promise<string[]> {
  const names = (await readdir(directory)).sort();
  for (const name of names.filter((one) => !one.endsWith('.history'))) {
    const ours = await readFile(join(directory, name));
    const theirs = await readFile(join(server.dataDirectory, 'pg_wal', name.replace('.partial', '')));
    assert.equal(ours.length, theirs.length, name);
    if (name.endsWith('.partial')) {
      const known = Number(end % BigInt(ours.length));
      assert.ok(ours.subarray(0, known).equals(theirs.subarray(0, known)), `${name} is not the server's`);
    } else {
      assert.ok(ours.equals(theirs), `${name} is not the server's`);
    }
  }
  return names;
}

/** Of the first timeline. */
function segmentFileName(lsn: bigint): string {
  const hex = (part: bigint) => part.toString(16).toUpperCase().padStart(8, '0');
  return `00000001${hex(lsn >> 32n)}${hex((lsn & 0xffff_ffffn) >> 24n)}`;
}

describe(`WAL of PostgreSQL ${PG_MAJOR}`, () => {
  const server = sharedServer({ settings: { wal_keep_size: '512MB' } });
  const connection = () => server().connectionString();

  test('is received as it is on the server, and can be read', async (t) => {
    const directory = await temporaryFolder(t);
    const startLsn = await walEnd(server());
    const endLsn = await writeSegments(server());
    const receiver = new WalReceiver({ connection: connection(), directory, startLsn, endLsn });
    const result = await receiver.run();
    assert.equal(result.timeline, 1);
    assert.ok(result.endLsn >= endLsn);
    const names = await compareSegments(server(), directory, endLsn);
    assert.ok(names.length >= 4);
    assert.deepEqual(
      names.filter((name) => name.endsWith('.partial')),
      names.slice(-1),
    );
    // What was received up to a position is whole, up to where a record ends.
    const source = new WalDirectory(directory);
    const [first = ''] = names;
    const from = BigInt(`0x${first.slice(8, 16)}`) * 0x1_0000_0000n + BigInt(`0x${first.slice(16)}`) * 0x100_0000n;
    const upTo = from + 0x100_0000n;
    const range = {
      timeline: 1,
      startLsn: startLsn > from ? startLsn : from,
      endLsn: upTo,
      systemIdentifier: undefined,
    };
    assert.equal(await verifyWalRange(source, range), undefined);
  });

  test('goes on where it was cut off', async (t) => {
    const directory = await temporaryFolder(t);
    const startLsn = await walEnd(server());
    const endLsn = await writeSegments(server());
    const proxy = await TcpProxy.open(t, server().port);
    let cuts = 0;
    for (;;) {
      proxy.reopen();
      proxy.cutAfterBytes = proxy.bytesForwarded + 20_000_000 + cuts * 3_333_333;
      const receiver = new WalReceiver({ connection: proxy.connectionString(), directory, startLsn, endLsn });
      const error = await receiver.run().then(
        () => undefined,
        (failure: unknown) => failure,
      );
      if (error === undefined) break;
      assert.ok(error instanceof ConnectionError && error.retryable, String(error));
      cuts++;
      assert.ok(cuts < 20, 'it does not get on');
    }
    assert.ok(cuts > 0, 'it was never cut off');
    await compareSegments(server(), directory, endLsn);
  });

  test('is made safe and confirmed as it comes, in synchronous mode', async (t) => {
    const directory = await temporaryFolder(t);
    const slot = { name: 'sync_slot', create: 'if-missing' } as const;
    const receiver = new WalReceiver({ connection: connection(), directory, slot, synchronous: true });
    const running = receiver.run();
    running.catch(() => {});
    await eventually('the stream', async () => (await sql(server(), 'SELECT 1 FROM pg_stat_replication')).length > 0);
    await write(server(), 100);
    const end = await walEnd(server());
    await eventually('the confirmation', async () => {
      const [row] = await sql(
        server(),
        "SELECT flush_lsn >= $1::pg_lsn AS safe FROM pg_stat_replication WHERE state = 'streaming'",
        [Lsn.format(end)],
      );
      return row?.safe === true;
    });
    await receiver.stop();
    assert.ok((await running).endLsn >= end);
    const [row] = await sql(
      server(),
      "SELECT restart_lsn >= $1::pg_lsn AS kept, active FROM pg_replication_slots WHERE slot_name = 'sync_slot'",
      [Lsn.format(end)],
    );
    assert.deepEqual(row, { kept: true, active: false });
    await sql(server(), "SELECT pg_drop_replication_slot('sync_slot')");
  });

  test('a slot: missing, temporary, and where it keeps WAL from', async (t) => {
    const directory = await temporaryFolder(t);
    const missing = new WalReceiver({ connection: connection(), directory, slot: 'nowhere' });
    await assert.rejects(missing.run(), (error) => error instanceof SlotError && error.reason === 'missing');

    const slot = { name: 'passing', create: 'if-missing', temporary: true } as const;
    const receiver = new WalReceiver({ connection: connection(), directory, slot });
    const running = receiver.run();
    running.catch(() => {});
    await eventually('the slot', async () => {
      return (
        (await sql(server(), "SELECT 1 FROM pg_replication_slots WHERE slot_name = 'passing' AND active")).length > 0
      );
    });
    await receiver.stop();
    await running;
    await eventually('its end', async () => {
      return (await sql(server(), "SELECT 1 FROM pg_replication_slots WHERE slot_name = 'passing'")).length === 0;
    });

    await sql(server(), "SELECT pg_create_physical_replication_slot('kept', true)");
    const [kept] = await sql(
      server(),
      "SELECT restart_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = 'kept'",
    );
    await writeSegments(server());
    const other = await temporaryFolder(t);
    const end = await walEnd(server());
    const fromSlot = new WalReceiver({ connection: connection(), directory: other, slot: 'kept', endLsn: end });
    await fromSlot.run();
    const names = await compareSegments(server(), other, end);
    const restart = Lsn.parse(String(kept?.lsn));
    // 14 cannot say where a slot keeps WAL from.
    if (PG_MAJOR >= 15)
      assert.ok(
        names[0]?.startsWith(`00000001${Lsn.format(restart).split('/')[0]?.padStart(8, '0')}`) && names.length >= 4,
      );
    await sql(server(), "SELECT pg_drop_replication_slot('kept')");
  });

  test('a folder that is not there, or has no place for a segment', async (t) => {
    const directory = await temporaryFolder(t);
    const endLsn = await walEnd(server());
    await mkdir(join(directory, `${segmentFileName(endLsn)}.partial`));
    const receiver = new WalReceiver({ connection: connection(), directory, startLsn: endLsn, endLsn });
    await assert.rejects(receiver.run(), (error) => {
      assert.ok(error instanceof ConfigurationError && error.option === 'directory', String(error));
      assert.match(error.message, /\.partial in .* is a folder, but has the name of a WAL segment$/);
      return true;
    });
    const nowhere = new WalReceiver({ connection: connection(), directory: join(directory, 'nowhere') });
    await assert.rejects(nowhere.run(), ConfigurationError);
  });

  test('a folder that holds WAL of another system is refused, and stays as it is', async (t) => {
    const directory = await temporaryFolder(t);
    const startLsn = await walEnd(server());
    await write(server(), 10);
    const options = { connection: connection(), directory, startLsn, endLsn: startLsn + 1n };
    await new WalReceiver(options).run();
    const [name = ''] = await readdir(directory);
    const segment = await readFile(join(directory, name));
    const systemId = segment.readBigUInt64LE(24);
    segment.writeBigUInt64LE(systemId + 1n, 24);
    await writeFile(join(directory, name), segment);
    await assert.rejects(new WalReceiver(options).run(), (error) => {
      assert.ok(error instanceof ConfigurationError && error.option === 'directory', String(error));
      const systems = `${systemId + 1n}, and the server is ${systemId}`;
      assert.ok(error.message.endsWith(`${name} in ${directory} is WAL of another system: ${systems}`), error.message);
      return true;
    });
    assert.deepEqual(await readdir(directory), [name]);
    assert.deepEqual(await readFile(join(directory, name)), segment);
  });

  test('segments that pg_receivewal compressed are gone on behind, and links to nothing are none', async (t) => {
    const directory = await temporaryFolder(t);
    const startLsn = await walEnd(server());
    const endLsn = await writeSegments(server());
    const options = { connection: connection(), directory, startLsn, endLsn };
    await new WalReceiver(options).run();
    const complete = (await readdir(directory)).filter((name) => !name.endsWith('.partial')).sort();
    assert.ok(complete.length >= 3);
    for (const name of complete) {
      const bytes = await readFile(join(directory, name));
      await writeFile(join(directory, `${name}.gz`), gzipSync(bytes, { level: 1 }));
      await rm(join(directory, name));
    }
    await rm(join(directory, `${segmentFileName(endLsn)}.partial`));
    await symlink(join(directory, 'nothing'), join(directory, '0000000100000000000000FF'));
    const more = await writeSegments(server());
    await new WalReceiver({ connection: connection(), directory, endLsn: more }).run();
    const received = (await readdir(directory)).filter((name) => /^[0-9A-F]{24}$/.test(name)).sort();
    assert.equal(received[0], segmentFileName(endLsn));
    const last = `${complete.at(-1)}.gz`;
    const other = gunzipSync(await readFile(join(directory, last)));
    other.writeBigUInt64LE(other.readBigUInt64LE(24) + 1n, 24);
    await writeFile(join(directory, last), gzipSync(other, { level: 1 }));
    for (const name of await readdir(directory)) if (name !== last) await rm(join(directory, name));
    await assert.rejects(new WalReceiver(options).run(), /is WAL of another system/);
  });

  test('a server that says nothing is lost in time', async (t) => {
    const directory = await temporaryFolder(t);
    const proxy = await TcpProxy.open(t, server().port);
    const receiver = new WalReceiver({ connection: proxy.connectionString(), directory, livenessTimeoutMs: 400 });
    const running = receiver.run();
    running.catch(() => {});
    await eventually('a segment', async () => (await readdir(directory)).length > 0);
    proxy.silence();
    await assert.rejects(running, (error) => error instanceof TimeoutError && error.retryable);
  });

  test('a full disk is an error that says so, and nothing is taken for received', async (t) => {
    const directory = await temporaryFolder(t);
    const startLsn = await walEnd(server());
    const endLsn = await writeSegments(server());
    const partial = join(directory, `${segmentFileName(startLsn)}.partial`);
    await symlink('/dev/full', partial);
    const receiver = new WalReceiver({ connection: connection(), directory, startLsn, endLsn });
    await assert.rejects(receiver.run(), (error) => {
      assert.ok(error instanceof BackupError, String(error));
      assert.equal(error.path, partial);
      assert.match(error.message, /ENOSPC/);
      return true;
    });
    assert.deepEqual(await readdir(directory), [`${segmentFileName(startLsn)}.partial`]);
  });

  test('an abort rejects with its reason, and what was received stays', async (t) => {
    const directory = await temporaryFolder(t);
    const abort = new AbortController();
    const startLsn = await walEnd(server());
    const receiver = new WalReceiver({ connection: connection(), directory, startLsn, signal: abort.signal });
    const running = receiver.run();
    running.catch(() => {});
    await eventually('a segment', async () => (await readdir(directory)).length > 0);
    const reason = new Error('enough');
    abort.abort(reason);
    await assert.rejects(running, reason);
    assert.match((await readdir(directory)).join(), /\.partial$/);
  });

  test('the same as what pg_receivewal writes', async (t) => {
    const tool = findClientTool('pg_receivewal');
    if (tool === undefined) return t.skip('pg_receivewal is not installed');
    if ((await toolMajor(tool)) < PG_MAJOR) return t.skip('pg_receivewal is older than the server');
    const [ours, theirs] = [await temporaryFolder(t), await temporaryFolder(t)];
    const child = spawn(tool, ['-D', theirs, '-d', connection(), '--no-loop']);
    t.after(() => child.kill('SIGKILL'));
    await eventually(
      'pg_receivewal',
      async () => (await sql(server(), 'SELECT 1 FROM pg_stat_replication')).length > 0,
    );
    await sql(server(), 'SELECT pg_switch_wal()');
    const startLsn = await walEnd(server());
    const endLsn = await writeSegments(server());
    await new WalReceiver({ connection: connection(), directory: ours, startLsn, endLsn }).run();
    const complete = (await readdir(ours)).filter((name) => !name.endsWith('.partial'));
    assert.ok(complete.length >= 3);
    await eventually('its segments', async () => {
      const names = new Set(await readdir(theirs));
      return complete.every((name) => names.has(name));
    });
    for (const name of complete) {
      assert.ok((await readFile(join(ours, name))).equals(await readFile(join(theirs, name))), name);
    }
  });
});

test('a timeline that ends is followed by the next', async (t) => {
  const server = await withServer(t, { settings: { wal_keep_size: '512MB', restore_command: 'false' } });
  const directory = await temporaryFolder(t);
  await write(server, 1000);
  const first = await walEnd(server);
  const before = new WalReceiver({ connection: server.connectionString(), directory, startLsn: first, endLsn: first });
  await before.run();
  await write(server, 1000);
  await server.stop();
  await writeFile(join(server.dataDirectory, 'recovery.signal'), '', { mode: 0o666 });
  await server.restart();
  await eventually('the end of recovery', async () => {
    return (await sql(server, 'SELECT pg_is_in_recovery() AS recovering'))[0]?.recovering === false;
  });
  await write(server, 1000);
  await sql(server, 'SELECT pg_switch_wal()');
  await write(server, 10);
  const endLsn = await walEnd(server);
  const slot = { name: 'switched', create: 'if-missing' } as const;
  const result = await new WalReceiver({ connection: server.connectionString(), directory, slot, endLsn }).run();
  assert.equal(result.timeline, 2);
  const names = await compareSegments(server, directory, endLsn);
  assert.ok(names.includes('00000002.history'));
  const history = await readFile(join(directory, '00000002.history'));
  assert.ok(history.equals(await readFile(join(server.dataDirectory, 'pg_wal', '00000002.history'))));
  assert.ok(names.some((name) => name.startsWith('00000001')) && names.some((name) => name.startsWith('00000002')));
});
