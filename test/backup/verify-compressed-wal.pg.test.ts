import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { verifyBackup } from '../../src/backup/verify-backup.js';
import { PG_MAJOR, sharedServer } from '../support/server.js';
import { type CopiedBackup, copyBackup, firstSegment, flip } from './copied-backup.js';

const SEGMENT_BYTES = 16 * 1024 * 1024;

suite(`WAL in compressed archives of PostgreSQL ${PG_MAJOR}`, () => {
  const server = sharedServer();
  let folder = '';
  let backup: CopiedBackup;
  /** A backup in tar format. */
  let archives = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'walstream-verify-'));
    backup = await copyBackup(server(), join(folder, 'backup'));
    archives = join(folder, 'archives');
    await mkdir(archives);
    await cp(join(backup.directory, 'backup_manifest'), join(archives, 'backup_manifest'));
    pack('base.tar.gz', backup.directory, 'backup_manifest', 'pg_wal');
    pack('pg_wal.tar.gz', join(backup.directory, 'pg_wal'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** What GNU tar packs, quickly. */
  function pack(archive: string, content: string, ...leftOut: readonly string[]): void {
    const flags = ['--format=ustar', '-I', 'gzip -1', ...leftOut.map((one) => `--exclude=./${one}`)];
    execFileSync('tar', [...flags, '-cf', join(archives, archive), '-C', content, '.']);
  }

  test('a good one is good', async () => {
    assert.deepEqual(await verifyBackup(archives), { ok: true, problems: [] });
  });

  const harms: readonly (readonly [string, (path: string, offset: number) => Promise<void>])[] = [
    ['a segment less', (path) => rm(path)],
    ['a segment that is too short', (path) => truncate(path, 8192 * 100)],
    ['a record with another bit', (path, offset) => flip(path, offset + 26)],
    ['a page header with another bit', (path, offset) => flip(path, offset - (offset % 8192) + 8192 + 12)],
    ['junk', (path) => writeFile(path, Buffer.alloc(SEGMENT_BYTES, 'junk'))],
  ];
  for (const [name, harm] of harms) {
    test(`${name}: found, as in a plain backup`, async () => {
      const harmed = join(folder, 'harmed');
      await rm(harmed, { recursive: true, force: true });
      await cp(join(backup.directory, 'pg_wal'), harmed, { recursive: true });
      const { path, offset } = await firstSegment(harmed, backup);
      await harm(path, offset);
      pack('pg_wal.tar.gz', harmed);
      const { problems } = await verifyBackup(archives);
      const plain = await verifyBackup(backup.directory, { walDirectory: harmed });
      assert.deepEqual([problems.length, plain.problems.length], [1, 1]);
      // Where segments differ in what they say of their size, it matters which comes first.
      if (name === 'junk') assert.match(problems[0]?.problem ?? '', /invalid magic number/);
      else assert.deepEqual(problems, plain.problems);
      assert.deepEqual(await verifyBackup(archives, { parseWal: false }), { ok: true, problems: [] });
      const elsewhere = { walDirectory: join(backup.directory, 'pg_wal') };
      assert.deepEqual(await verifyBackup(archives, elsewhere), { ok: true, problems: [] });
    });
  }

  test('in base.tar.gz, as with fetch', async (t) => {
    const [base, wal] = [join(archives, 'base.tar.gz'), join(archives, 'pg_wal.tar.gz')];
    const withoutWal = await readFile(base);
    t.after(() => writeFile(base, withoutWal));
    await rm(wal);
    assert.deepEqual(
      (await verifyBackup(archives)).problems.map(({ path, problem }) => [
        path,
        /there is no WAL segment$/.test(problem),
      ]),
      [['pg_wal', true]],
    );
    pack('base.tar.gz', backup.directory, 'backup_manifest');
    assert.deepEqual(await verifyBackup(archives), { ok: true, problems: [] });
    const { path, offset } = await firstSegment(join(backup.directory, 'pg_wal'), backup);
    await flip(path, offset + 26);
    t.after(() => flip(path, offset + 26));
    pack('base.tar.gz', backup.directory, 'backup_manifest');
    const { problems } = await verifyBackup(archives);
    assert.ok(problems.length === 1);
    assert.deepEqual(problems, (await verifyBackup(backup.directory)).problems);
  });

  test('an archive that is cut off, has another bit, or cannot be read here', async () => {
    const wal = join(archives, 'pg_wal.tar.gz');
    pack('pg_wal.tar.gz', join(backup.directory, 'pg_wal'));
    const whole = await readFile(wal);
    const another = Buffer.from(whole);
    another[another.length - 6] ^= 0x10;
    for (const bytes of [whole.subarray(0, whole.length - 20), another, whole.subarray(0, 30_000)]) {
      await writeFile(wal, bytes);
      const { problems } = await verifyBackup(archives);
      assert.equal(problems[0]?.path, 'pg_wal.tar.gz');
      assert.match(problems[0]?.problem ?? '', /^pg_wal\.tar\.gz is malformed: /);
      // What was lost of the WAL itself is said too.
      assert.equal(problems.length, bytes.length > 30_000 ? 1 : 2);
      assert.match(problems[1]?.path ?? 'pg_wal', /^pg_wal/);
    }
    const unreadable = join(archives, 'pg_wal.tar.lz4');
    await rename(wal, unreadable);
    const { problems } = await verifyBackup(archives);
    assert.deepEqual(
      problems.map(({ path }) => path),
      ['pg_wal.tar.lz4', 'pg_wal'],
    );
    assert.match(problems[0]?.problem ?? '', /^cannot be read: Node\.js has no lz4$/);
    await rm(unreadable);
  });
});
