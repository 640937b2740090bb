import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { indexArchive } from '../../src/backup/archive-index.js';
import type { BaseBackupOptions } from '../../src/backup/backup-options.js';
import { BaseBackup } from '../../src/backup/base-backup.js';
import { BackupError, ConfigurationError, ConnectionError, ProtocolError, ServerError } from '../../src/errors.js';
import { encodeXLogData } from '../../src/protocol/replication-message.js';
import {
  backendMessage,
  COPY_DONE,
  errorResponse,
  int16,
  READY_FOR_QUERY,
  resultSet,
} from '../connection/backend-bytes.js';
import { copyData } from '../support/pgoutput-bytes.js';
import { BASE, BASE_ENTRIES, SYSTEM_ID, wholeBackup } from './fake-backup.js';
import { COMPLETE, scriptedSource } from './scripted-source.js';

const COPY_BOTH_RESPONSE = backendMessage('W', [0], int16(0));
const SEGMENT_BYTES = 1024 * 1024;
/** Of the segment in which the backup begins, 0/200028, and ends, 0/200120. */
const START = 0x20_0000n;
const SEGMENT = '000000010000000000000002';
const tablespaces = [{ ...BASE, entries: BASE_ENTRIES.filter(({ name }) => !name.startsWith('pg_wal/0')) }];

function wal(walStart: bigint, byteCount: number): Buffer {
  const data = Buffer.alloc(byteCount, Number(walStart >> 8n) | 1);
  return copyData(encodeXLogData({ walStart, serverWalEnd: walStart, serverTimeUs: 0n }, data));
}

interface Attempt {
  readonly backup: BaseBackup;
  readonly root: string;
  readonly directory: string;
  /** What the server was told, in its order. */
  readonly commands: string[];
}

/** A backup from a server that answers to START_REPLICATION with these bytes, on one connection after the other. */
async function attempt(
  t: TestContext,
  streams: readonly Buffer[],
  options: Partial<BaseBackupOptions> = {},
  major = 18,
  systemIdOf?: (connection: number) => string,
): Promise<Attempt> {
  const root = await mkdtemp(join(tmpdir(), 'backup-'));
  t.after(() => rm(root, { recursive: true }));
  const directory = join(root, 'data');
  const commands: string[] = [];
  let streamed = 0;
  const connection = await scriptedSource(
    t,
    (client, command) => {
      commands.push(command);
      if (command.startsWith('BASE_BACKUP')) client.send(wholeBackup({ tablespaces, major }), READY_FOR_QUERY);
      else if (command.startsWith('START_REPLICATION')) client.send(streams[streamed++] ?? Buffer.alloc(0));
      else if (command.startsWith('TIMELINE_HISTORY')) {
        const row = ['00000002.history', '1\t0/200100\tno reason\n'];
        client.send(resultSet(['filename', 'content'], row), READY_FOR_QUERY);
      } else client.send(COMPLETE);
    },
    major === 14 ? '14.10' : '18.4',
    systemIdOf,
  );
  const given = { manifestChecksums: 'SHA256', sync: false, ...options } as const;
  return { backup: new BaseBackup({ connection, directory, ...given }), root, directory, commands };
}

async function assertFails({ backup, root }: Attempt, check: (error: Error) => boolean): Promise<void> {
  await assert.rejects(backup.run(), (error: Error) => {
    assert.ok(check(error), String(error));
    return true;
  });
  assert.deepEqual(await readdir(root), []);
}

const ENOUGH = Buffer.concat([COPY_BOTH_RESPONSE, wal(START, 0x100), wal(START + 0x100n, 0x20)]);

suite('WAL over a connection of its own', () => {
  for (const [major, reserve] of [
    [14, 'RESERVE_WAL'],
    [18, '(RESERVE_WAL)'],
  ] as const) {
    test(`the segment is filled up with zeros, and has no mark, from ${major}`, async (t) => {
      const { backup, directory, commands } = await attempt(t, [ENOUGH], { sync: true }, major);
      assert.equal((await backup.run()).verified, true);
      const folder = join(directory, 'pg_wal');
      assert.deepEqual((await readdir(folder)).sort(), [SEGMENT, 'archive_status']);
      assert.deepEqual(await readdir(join(folder, 'archive_status')), []);
      const bytes = await readFile(join(folder, SEGMENT));
      assert.equal(bytes.length, SEGMENT_BYTES);
      assert.ok(bytes.subarray(0, 0x120).every((byte) => byte !== 0));
      assert.ok(bytes.subarray(0x120).every((byte) => byte === 0));
      const { mode } = await stat(join(folder, SEGMENT));
      assert.equal(mode & 0o7777, 0o600);
      const [base, slot, start] = commands;
      assert.match(base ?? '', major === 14 ? /NOWAIT/ : /WAL false, WAIT false/);
      const name = /^CREATE_REPLICATION_SLOT "(pg_walstream_\d+)" TEMPORARY PHYSICAL (.*)$/.exec(slot ?? '');
      assert.equal(name?.[2], reserve);
      assert.equal(start, `START_REPLICATION SLOT "${name?.[1]}" PHYSICAL 0/200000 TIMELINE 1`);
    });
  }

  test('more than a segment: those that are complete are marked; in an archive it is the same', async (t) => {
    const stream = Buffer.concat([COPY_BOTH_RESPONSE, wal(START, SEGMENT_BYTES)]);
    for (const how of [{ format: 'plain' }, { format: 'tar' }, { format: 'tar', compression: 'gzip:1' }] as const) {
      const { backup, directory, root } = await attempt(t, [stream], { ...how, slot: false });
      await backup.run();
      const extracted = how.format === 'plain' ? join(directory, 'pg_wal') : root;
      if ('compression' in how) {
        const archive = join(directory, 'pg_wal.tar.gz');
        assert.equal((await stat(archive)).mode & 0o7777, 0o600);
        execFileSync('gzip', ['-t', archive]);
        execFileSync('tar', ['-xzf', archive, '-C', root]);
      } else if (how.format === 'tar') {
        const { members } = await indexArchive(join(directory, 'pg_wal.tar'));
        assert.deepEqual(
          members.map(({ path, size }) => [path, size]),
          [
            [SEGMENT, SEGMENT_BYTES],
            [`archive_status/${SEGMENT}.done`, 0],
          ],
        );
        execFileSync('tar', ['-xf', join(directory, 'pg_wal.tar'), '-C', root]);
      }
      const bytes = await readFile(join(extracted, SEGMENT));
      assert.ok(bytes.length === SEGMENT_BYTES && bytes.every((byte) => byte === bytes[0] && byte !== 0));
      assert.deepEqual(await readdir(join(extracted, 'archive_status')), [`${SEGMENT}.done`]);
    }
  });

  test('from one timeline to the next', async (t) => {
    const end = resultSet(['next_tli', 'next_tli_startpos'], ['2', '0/200100']);
    const first = Buffer.concat([COPY_BOTH_RESPONSE, wal(START, 0x100), COPY_DONE, end, READY_FOR_QUERY]);
    for (const format of ['plain', 'tar'] as const) {
      const { backup, directory, root, commands } = await attempt(t, [first, ENOUGH], { format });
      await backup.run();
      if (format === 'tar') execFileSync('tar', ['-xf', join(directory, 'pg_wal.tar'), '-C', root]);
      const folder = format === 'plain' ? join(directory, 'pg_wal') : root;
      const second = SEGMENT.replace('00000001', '00000002');
      for (const name of [SEGMENT, second]) assert.equal((await stat(join(folder, name))).size, SEGMENT_BYTES, name);
      assert.equal(await readFile(join(folder, '00000002.history'), 'utf8'), '1\t0/200100\tno reason\n');
      assert.deepEqual(await readdir(join(folder, 'archive_status')), ['00000002.history.done']);
      assert.ok(commands.at(-1)?.endsWith('PHYSICAL 0/200000 TIMELINE 2'));
    }
  });
});

test('an archive of WAL that is kept after a failure is cut off, and there is no manifest', async (t) => {
  const data = randomBytes(SEGMENT_BYTES - 0x100);
  const piece = copyData(encodeXLogData({ walStart: START, serverWalEnd: START, serverTimeUs: 0n }, data));
  const lost = Buffer.concat([errorResponse('57P01', 'terminating connection', 'FATAL'), READY_FOR_QUERY]);
  for (const compression of ['none', 'gzip']) {
    const options = { format: 'tar', compression, keepOnError: true, slot: false } as const;
    const { backup, directory } = await attempt(t, [Buffer.concat([COPY_BOTH_RESPONSE, piece, lost])], options);
    await assert.rejects(backup.run(), ConnectionError);
    const names = await readdir(directory);
    const archive = compression === 'gzip' ? 'pg_wal.tar.gz' : 'pg_wal.tar';
    assert.ok(names.includes(archive) && !names.includes('backup_manifest'), String(names));
    const { status, stderr } = spawnSync('tar', ['-tf', join(directory, archive)], { encoding: 'utf8' });
    assert.ok(status !== 0, stderr);
  }
});

suite('WAL that does not come: the backup ends at once, and leaves nothing', () => {
  test('the connection is lost, or the stream ended', async (t) => {
    for (const end of [
      errorResponse('57P01', 'terminating connection', 'FATAL'),
      Buffer.concat([COPY_DONE, COMPLETE]),
    ]) {
      const one = await attempt(t, [Buffer.concat([COPY_BOTH_RESPONSE, wal(START, 0x100), end, READY_FOR_QUERY])]);
      await assertFails(one, (error) => error instanceof ConnectionError && error.retryable);
    }
  });

  test('a gap', async (t) => {
    const stream = Buffer.concat([COPY_BOTH_RESPONSE, wal(START, 0x100), wal(START + 0x108n, 0x20)]);
    await assertFails(await attempt(t, [stream]), (error) => error instanceof ProtocolError);
  });

  test('the server has it no more', async (t) => {
    const gone = errorResponse('58P01', 'requested WAL segment has already been removed', 'ERROR');
    const one = await attempt(t, [Buffer.concat([gone, READY_FOR_QUERY])], { slot: false });
    await assertFails(one, (error) => error instanceof ServerError && error.sqlState === '58P01');
  });

  test('its connection leads to another system', async (t) => {
    const one = await attempt(t, [ENOUGH], {}, 18, (number) => (number === 0 ? SYSTEM_ID : '7500000000000000002'));
    await assertFails(one, (error) => error instanceof BackupError && error.message.includes('7500000000000000002'));
  });

  test('nothing more comes', async (t) => {
    const stream = Buffer.concat([COPY_BOTH_RESPONSE, wal(START, 0x100)]);
    const one = await attempt(t, [stream], { idleTimeoutMs: 1500 });
    await assertFails(one, (error) => error instanceof ConnectionError && error.retryable);
  });
});

test('slots that make no sense are named', () => {
  for (const [given, option] of [
    [{ slot: 'Not A Slot' }, 'slot.name'],
    [{ slot: { name: 's', create: 'if-missing' } }, 'slot.create'],
    [{ slot: { name: 's', temporary: true } }, 'slot.temporary'],
    [{ slot: 's', walMethod: 'fetch' }, 'slot'],
    [{ slot: 5 }, 'slot'],
    [{ walMethod: 'both' }, 'walMethod'],
  ] as const) {
    const options = { connection: 'postgresql://nobody@nowhere', directory: 'x', ...given };
    assert.throws(
      () => new BaseBackup(options as unknown as BaseBackupOptions),
      (error) => error instanceof ConfigurationError && error.option === option,
      option,
    );
  }
});
