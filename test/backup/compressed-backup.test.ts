import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { BaseBackupOptions } from '../../src/backup/backup-options.js';
import { BaseBackup } from '../../src/backup/base-backup.js';
import { verifyBackup } from '../../src/backup/verify-backup.js';
import { BackupError, ConfigurationError, ManifestMismatchError, ProtocolError } from '../../src/errors.js';
import type { BackupSteps } from '../../src/testing/index.js';
import { type TarEntry, tarArchive } from '../../src/testing/tar-archive.js';
import fc from '../support/properties.js';
import {
  BASE,
  BASE_ENTRIES,
  type BackupMessagesOptions,
  backupServer,
  manifestOf,
  type TablespaceEntries,
  wholeBackup,
} from './fake-backup.js';

async function attempt(
  t: TestContext,
  answer: Buffer | (() => BackupSteps),
  options: Partial<BaseBackupOptions>,
  version?: string,
) {
  const root = await mkdtemp(join(tmpdir(), 'backup-'));
  t.after(() => rm(root, { recursive: true }));
  const directory = join(root, 'data');
  const sender = await backupServer(t, answer, version);
  const connection = sender.connectionString({ sslmode: 'disable' });
  const base = { connection, directory, walMethod: 'fetch', manifestChecksums: 'SHA256', sync: false } as const;
  const backup = new BaseBackup({ ...base, ...options });
  return { backup, sender, root, directory };
}

const GZIP = { suffix: '.gz', compress: (archive: Buffer) => gzipSync(archive) };
/** No lz4 of ours could make it, and nothing here looks at it. */
const LZ4 = { suffix: '.lz4', compress: (archive: Buffer) => archive.subarray(0, 777) };

const ONE: TablespaceEntries = {
  oid: 16385,
  location: '/srv/one',
  entries: [
    { name: 'PG_18_1/', type: '5' },
    { name: 'PG_18_1/5', content: 'table' },
  ],
};
const withEntries = (...entries: readonly TarEntry[]) => [{ ...BASE, entries: [...BASE_ENTRIES, ...entries] }];

suite('archives that the server compresses, in plain format', () => {
  const PLAIN = { compression: 'server-gzip' } as const;

  test('become files', async (t) => {
    const options = { compression: 'server-gzip:7' };
    const { backup, sender, directory } = await attempt(t, wholeBackup({ compressed: GZIP }), options);
    const received: number[] = [];
    backup.on('progress', ({ receivedBytes }) => received.push(receivedBytes));
    const result = await backup.run();
    assert.deepEqual([result.verified, result.unverifiedReason, result.fileCount], [true, undefined, 5]);
    assert.match(sender.statements.join(), /COMPRESSION 'gzip', COMPRESSION_DETAIL 'level=7'/);
    for (const { name, type = '0', content = '' } of BASE_ENTRIES) {
      if (type === '0') assert.equal(await readFile(join(directory, name), 'utf8'), content);
    }
    // As the server counts: before it compresses.
    assert.equal(received.at(-1), tarArchive(...BASE_ENTRIES).length);
  });

  test('wherever the bytes are cut', async (t) => {
    const property = fc.asyncProperty(fc.integer({ min: 1, max: 3000 }), async (pieceBytes) => {
      const { backup } = await attempt(t, wholeBackup({ compressed: GZIP, pieceBytes }), PLAIN);
      assert.equal((await backup.run()).verified, true);
    });
    await fc.assert(property, { numRuns: 8 });
  });

  const damaged = (damage: (bytes: Buffer) => Buffer): BackupMessagesOptions => ({
    compressed: { suffix: '.gz', compress: (archive) => damage(gzipSync(archive)) },
  });
  const half = (bytes: Buffer) => bytes.subarray(0, bytes.length >> 1);
  const cases: Readonly<Record<string, readonly [BackupMessagesOptions, new (...args: never[]) => Error]>> = {
    'cut off': [damaged(half), BackupError],
    'cut off in its last bytes': [damaged((bytes) => bytes.subarray(0, -3)), BackupError],
    'cut off at a member boundary': [
      { compressed: { suffix: '.gz', compress: (archive) => gzipSync(archive.subarray(0, 1024)) } },
      BackupError,
    ],
    'nothing at all': [damaged(() => Buffer.alloc(0)), BackupError],
    'not compressed': [{ compressed: { suffix: '.gz', compress: (archive) => archive } }, BackupError],
    'something behind it': [damaged((bytes) => Buffer.concat([bytes, Buffer.alloc(512)])), BackupError],
    'another archive behind it': [damaged((bytes) => Buffer.concat([bytes, bytes])), BackupError],
    'a flipped bit': [
      damaged((bytes) => {
        bytes[bytes.length >> 1] ^= 4;
        return bytes;
      }),
      BackupError,
    ],
    'a name that is not compressed': [{}, ProtocolError],
    'another compression': [{ compressed: { ...GZIP, suffix: '.zst' } }, ProtocolError],
    'a name that climbs': [
      { compressed: GZIP, tablespaces: withEntries({ name: '../../evil', content: 'x' }) },
      BackupError,
    ],
    'another checksum': [
      { compressed: GZIP, manifest: manifestOf([BASE], (path, size, sum) => [[path, size, sum.replace(/^../, '00')]]) },
      ManifestMismatchError,
    ],
    'zeros without end': [
      { compressed: { suffix: '.gz', compress: (archive) => gzipSync(Buffer.concat([archive, Buffer.alloc(1e8)])) } },
      BackupError,
    ],
  };
  for (const [what, [options, Failure]] of Object.entries(cases)) {
    for (const format of ['plain', 'tar'] as const) {
      test(`${what}: refused, ${format}, and nothing is left`, async (t) => {
        const { backup, root } = await attempt(t, wholeBackup(options), { ...PLAIN, format });
        await assert.rejects(backup.run(), Failure);
        assert.deepEqual(await readdir(root), []);
      });
    }
  }

  test('a server before 15 is not asked', async (t) => {
    const { backup, root } = await attempt(t, () => assert.fail('asked'), PLAIN, '14.10');
    await assert.rejects(backup.run(), (error) => {
      assert.ok(error instanceof ConfigurationError && error.option === 'compression');
      assert.match(error.message, /needs PostgreSQL 15 or later; this server is 14\.10/);
      return true;
    });
    assert.deepEqual(await readdir(root), []);
  });
});

suite('archives that the server compresses, in tar format', () => {
  const tablespaces = [ONE, BASE];

  test('are kept byte for byte, and verified', async (t) => {
    const answer = wholeBackup({ tablespaces, compressed: GZIP });
    const { backup, directory } = await attempt(t, answer, { format: 'tar', compression: 'server-gzip' });
    const { verified, fileCount } = await backup.run();
    assert.deepEqual([verified, fileCount], [true, 6]);
    assert.deepEqual((await readdir(directory)).sort(), ['16385.tar.gz', 'backup_manifest', 'base.tar.gz']);
    assert.deepEqual(await readFile(join(directory, '16385.tar.gz')), gzipSync(tarArchive(...ONE.entries)));
    assert.deepEqual(await readFile(join(directory, 'base.tar.gz')), gzipSync(tarArchive(...BASE_ENTRIES)));
  });

  test('are kept unread where this Node.js cannot read them, and that is said', async (t) => {
    const answer = wholeBackup({ tablespaces, compressed: LZ4 });
    const { backup, directory } = await attempt(t, answer, { format: 'tar', compression: 'server-lz4' });
    const { verified, unverifiedReason, fileCount, byteCount } = await backup.run();
    assert.deepEqual([verified, fileCount, byteCount], [false, undefined, undefined]);
    assert.match(unverifiedReason ?? '', /compressed with lz4 and could not be read: Node\.js has no lz4/);
    assert.equal((await readFile(join(directory, 'base.tar.lz4'))).length, 777);
    assert.ok(existsSync(join(directory, 'backup_manifest')));
    const { ok, problems } = await verifyBackup(directory, { parseWal: false });
    assert.equal(ok, false);
    assert.ok(problems.some(({ path, problem }) => path === 'base.tar.lz4' && /lz4/.test(problem)));
  });

  test('unread ones come with the manifest of this backup all the same', async (t) => {
    const manifest = Buffer.from(manifestOf(tablespaces).toString('latin1').replace('"Size": 5', '"Size": 6'));
    const answer = wholeBackup({ tablespaces, compressed: LZ4, manifest });
    const { backup, root } = await attempt(t, answer, { format: 'tar', compression: 'server-lz4' });
    await assert.rejects(backup.run(), BackupError);
    assert.deepEqual(await readdir(root), []);
  });
});

suite('archives that are compressed here', () => {
  for (const [major, version] of [
    [14, '14.10'],
    [18, '18.4'],
  ] as const) {
    test(`from ${major}`, async (t) => {
      const answer = wholeBackup({ tablespaces: [ONE, BASE], major });
      const options = { format: 'tar', compression: { method: 'gzip', level: 2 } } as const;
      const { backup, directory } = await attempt(t, answer, options, version);
      assert.equal((await backup.run()).verified, true);
      assert.deepEqual((await readdir(directory)).sort(), ['16385.tar.gz', 'backup_manifest', 'base.tar.gz']);
      const archive = async (name: string) => gunzipSync(await readFile(join(directory, name)));
      assert.deepEqual(await archive('16385.tar.gz'), tarArchive(...ONE.entries));
      assert.deepEqual(await archive('base.tar.gz'), tarArchive(...BASE_ENTRIES));
    });
  }

  test('what is refused is refused', async (t) => {
    const answer = wholeBackup({ tablespaces: withEntries({ name: '../evil', content: 'x' }) });
    const { backup, root } = await attempt(t, answer, { format: 'tar', compression: 'gzip' });
    await assert.rejects(backup.run(), BackupError);
    assert.deepEqual(await readdir(root), []);
  });
});

suite('a backup that goes to another target', () => {
  const target = { target: 'server:/there' } as const;

  async function elsewhere(t: TestContext, options: BackupMessagesOptions, change: Partial<BaseBackupOptions> = {}) {
    const sender = await backupServer(t, wholeBackup({ tablespaces: [ONE, BASE], elsewhere: true, ...options }));
    const connection = sender.connectionString({ sslmode: 'disable' });
    return { backup: new BaseBackup({ connection, ...target, ...change }), sender };
  }

  test('says what can be said of it', async (t) => {
    const { backup, sender } = await elsewhere(t, { compressed: GZIP }, { compression: 'gzip:3' });
    const received: number[] = [];
    backup.on('progress', ({ receivedBytes }) => received.push(receivedBytes));
    const { systemId, durationMs, unverifiedReason, serverVersion, ...result } = await backup.run();
    assert.ok(systemId !== '' && durationMs >= 0 && serverVersion === 180_004);
    assert.match(unverifiedReason ?? '', /the target server/);
    assert.deepEqual(result, {
      directory: undefined,
      startLsn: 0x200028n,
      endLsn: 0x200120n,
      timeline: 1,
      tablespaces: [{ oid: 16385, location: '/srv/one', directory: undefined }],
      fileCount: undefined,
      byteCount: undefined,
      verified: false,
      manifestPath: undefined,
    });
    assert.match(
      sender.statements.join(),
      /TABLESPACE_MAP true.*TARGET 'server', TARGET_DETAIL '\/there'|TARGET 'server', TARGET_DETAIL '\/there'.*TABLESPACE_MAP true/,
    );
    assert.match(sender.statements.join(), /COMPRESSION 'gzip', COMPRESSION_DETAIL 'level=3'/);
    assert.equal(received.at(-1), tarArchive(...ONE.entries).length + tarArchive(...BASE_ENTRIES).length);
  });

  test('must not come here all the same', async (t) => {
    const { backup } = await elsewhere(t, { elsewhere: false });
    await assert.rejects(backup.run(), ProtocolError);
  });

  test('needs a server of 15', async (t) => {
    const sender = await backupServer(t, () => assert.fail('asked'), '14.10');
    const connection = sender.connectionString({ sslmode: 'disable' });
    await assert.rejects(new BaseBackup({ connection, ...target }).run(), (error) => {
      return error instanceof ConfigurationError && error.option === 'target';
    });
  });
});
