import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { whyNoCodec } from '../../src/backup/archive-codec.js';
import { BaseBackup } from '../../src/backup/base-backup.js';
import { verifyBackup } from '../../src/backup/verify-backup.js';
import { AuthenticationError, ConfigurationError, ServerError } from '../../src/errors.js';
import { findClientTool, needsClientTool, runTool } from '../support/client-tools.js';
import { needsInstalledServer, sharedInstalledServer } from '../support/installed-server.js';
import { needsMajor, PG_MAJOR, sharedServer, sql } from '../support/server.js';
import { temporaryFolder } from './copied-backup.js';
import { RestoredServer } from './restored-server.js';

const execute = promisify(execFile);
const ROWS = 30_000;
const TABLE = `CREATE TABLE kept AS SELECT n, md5(n::text) AS note FROM generate_series(1, ${ROWS}) AS n`;

suite('compressed backups of a real server', () => {
  const server = sharedServer();
  before(() => sql(server(), TABLE));
  const base = { checkpoint: 'fast', sync: false } as const;

  const assertKept = async (restored: RestoredServer) => {
    await restored.start();
    assert.deepEqual(await restored.sql('SELECT count(*)::int AS n, max(note) AS note FROM kept'), await kept());
  };
  const kept = () => sql(server(), 'SELECT count(*)::int AS n, max(note) AS note FROM kept');

  test('the server compresses, plain format: it starts', { skip: needsMajor(15, 'compression') }, async (t) => {
    const restored = await RestoredServer.prepare(t);
    const options = { ...base, connection: server().connectionString(), directory: restored.dataDirectory };
    const backup = new BaseBackup({ ...options, compression: 'server-gzip:1' });
    let shares: number[] = [];
    backup.on('progress', ({ receivedBytes, expectedBytes = 0 }) => shares.push(receivedBytes / expectedBytes));
    const { verified, fileCount } = await backup.run();
    assert.ok(verified && (fileCount ?? 0) > 500);
    shares = shares.filter(Number.isFinite);
    assert.ok(shares.every((share) => share <= 1) && (shares.at(-1) ?? 0) > 0.9, String(shares));
    assert.deepEqual(await verifyBackup(restored.dataDirectory), { ok: true, problems: [] });
    await assertKept(restored);
  });

  for (const [compression, walMethod] of [
    ['server-gzip', 'fetch'],
    ['server-gzip', 'stream'],
    ['client-gzip:2', 'fetch'],
    ['client-gzip:9', 'stream'],
  ] as const) {
    const isServer = compression.startsWith('server');
    const skip = isServer && needsMajor(15, 'compression by the server');
    test(`${compression}, tar format, -X ${walMethod}: what GNU tar extracts starts`, { skip }, async (t) => {
      const restored = await RestoredServer.prepare(t);
      const directory = restored.beside('archives');
      const options = { ...base, connection: server().connectionString(), directory, format: 'tar' } as const;
      const { verified } = await new BaseBackup({ ...options, compression, walMethod }).run();
      assert.equal(verified, true);
      const names = (await readdir(directory)).sort();
      const wal = names.find((name) => name.startsWith('pg_wal'));
      assert.deepEqual(names, ['backup_manifest', 'base.tar.gz', ...(wal === undefined ? [] : [wal])]);
      assert.equal(wal, walMethod === 'fetch' ? undefined : isServer ? 'pg_wal.tar' : 'pg_wal.tar.gz');
      await mkdir(restored.dataDirectory, { mode: 0o700 });
      await execute('tar', ['-xzf', join(directory, 'base.tar.gz'), '-C', restored.dataDirectory]);
      if (wal !== undefined) {
        const unpack = wal.endsWith('.gz') ? '-xzf' : '-xf';
        await execute('tar', [unpack, join(directory, wal), '-C', join(restored.dataDirectory, 'pg_wal')]);
      }
      assert.deepEqual(await verifyBackup(directory), { ok: true, problems: [] });
      await assertKept(restored);
    });
  }

  test('-R goes into an archive that is compressed here', async (t) => {
    const restored = await RestoredServer.prepare(t);
    const directory = restored.beside('archives');
    const options = { ...base, connection: server().connectionString(), directory, format: 'tar' } as const;
    const backup = new BaseBackup({ ...options, compression: 'gzip', walMethod: 'fetch', writeRecoveryConf: true });
    assert.equal((await backup.run()).verified, true);
    await mkdir(restored.dataDirectory, { mode: 0o700 });
    await execute('tar', ['-xzf', join(directory, 'base.tar.gz'), '-C', restored.dataDirectory]);
    await writeFile(
      join(restored.dataDirectory, 'backup_manifest'),
      await readFile(join(directory, 'backup_manifest')),
    );
    assert.deepEqual(await verifyBackup(restored.dataDirectory), { ok: true, problems: [] });
    await restored.start();
    assert.deepEqual(await restored.sql('SELECT pg_is_in_recovery() AS standby'), [{ standby: true }]);
  });

  test('a method that the server was built without', { skip: needsMajor(15, 'compression') }, async (t) => {
    const folder = await temporaryFolder(t);
    const options = { ...base, connection: server().connectionString(), directory: join(folder, 'new') };
    const backup = new BaseBackup({ ...options, format: 'tar', compression: 'server-lz4' });
    await assert.rejects(
      backup.run(),
      (error) => error instanceof ServerError && /does not support|not supported/.test(error.message),
    );
    assert.deepEqual(await readdir(folder), []);
  });

  test('14 compresses nothing itself', { skip: PG_MAJOR > 14 && 'later servers do' }, async (t) => {
    const folder = await temporaryFolder(t);
    const options = { ...base, connection: server().connectionString(), directory: join(folder, 'new') };
    const backup = new BaseBackup({ ...options, compression: 'server-gzip' });
    await assert.rejects(backup.run(), (error) => {
      return error instanceof ConfigurationError && error.option === 'compression' && !error.message.includes('\n');
    });
    assert.deepEqual(await readdir(folder), []);
  });

  suite('other targets', { skip: needsMajor(15, 'backup target') }, () => {
    test('blackhole', async () => {
      const backup = new BaseBackup({
        checkpoint: 'fast',
        connection: server().connectionString(),
        target: 'blackhole',
      });
      let received = 0;
      backup.on('progress', ({ receivedBytes }) => {
        received = receivedBytes;
      });
      const result = await backup.run();
      assert.deepEqual([result.directory, result.verified, result.manifestPath], [undefined, false, undefined]);
      assert.ok(result.endLsn > result.startLsn && received > 10_000_000, String(received));
    });

    for (const compression of ['none', 'gzip'] as const) {
      test(`a folder on the server, ${compression}: what lies there is good`, async () => {
        const there = join(server().socketDirectory, `there-${compression}`);
        const options = { ...base, connection: server().connectionString(), target: `server:${there}` };
        await new BaseBackup({ ...options, compression, walMethod: 'fetch' }).run();
        const archive = compression === 'none' ? 'base.tar' : 'base.tar.gz';
        assert.deepEqual((await readdir(there)).sort(), ['backup_manifest', archive]);
        assert.deepEqual(await verifyBackup(there), { ok: true, problems: [] });
        await assert.rejects(new BaseBackup(options).run(), (error) => {
          return error instanceof ServerError && /not empty/.test(error.message);
        });
      });
    }

    test('a user who may not write files of the server', async () => {
      await sql(server(), 'CREATE ROLE copier LOGIN REPLICATION');
      const connection = { host: server().host, port: server().port, user: 'copier' };
      const target = `server:${join(server().socketDirectory, 'refused')}`;
      await assert.rejects(new BaseBackup({ connection, target }).run(), AuthenticationError);
      await sql(server(), 'GRANT pg_write_server_files TO copier');
      assert.equal((await new BaseBackup({ connection, target, checkpoint: 'fast' }).run()).verified, false);
    });
  });
});

suite('compression with lz4 and zstd', { skip: needsInstalledServer }, () => {
  const server = sharedInstalledServer();
  before(() => server().sql(TABLE));
  const base = { checkpoint: 'fast', sync: false, walMethod: 'fetch' } as const;
  const whyNoZstd = whyNoCodec('zstd');
  const tool = findClientTool('pg_basebackup') ?? '';
  const whyNoTool = needsClientTool('pg_basebackup');

  test('zstd in plain format, where this Node.js has it', async (t) => {
    const directory = join(await temporaryFolder(t), 'backup');
    const options = { ...base, connection: server().connectionString(), directory } as const;
    const take = () => new BaseBackup({ ...options, compression: 'server-zstd:level=3' });
    if (whyNoZstd !== undefined) {
      assert.throws(take, (error) => error instanceof ConfigurationError && error.option === 'compression');
      return t.diagnostic(whyNoZstd);
    }
    assert.equal((await take().run()).verified, true);
    const tool = findClientTool('pg_verifybackup');
    if (tool === undefined) return t.diagnostic('pg_verifybackup is not installed');
    const theirs = await runTool(tool, [directory]);
    assert.equal(theirs.exitCode, 0, theirs.stderr);
  });

  for (const [method, program, compression] of [
    ['lz4', 'lz4', 'server-lz4:1'],
    ['zstd', 'zstd', 'server-zstd:workers=2'],
    ['zstd', 'zstd', 'client-zstd:level=5'],
  ] as const) {
    const isClient = compression.startsWith('client');
    const skip = isClient && whyNoZstd !== undefined && whyNoZstd;
    test(`${compression}, tar format: what ${program} and tar extract is good`, { skip }, async (t) => {
      const folder = await temporaryFolder(t);
      const directory = join(folder, 'archives');
      const options = { ...base, connection: server().connectionString(), directory } as const;
      const result = await new BaseBackup({ ...options, format: 'tar', compression }).run();
      const reason = whyNoCodec(method);
      assert.equal(result.verified, reason === undefined);
      assert.ok(reason === undefined || (result.unverifiedReason ?? '').includes(reason));
      const archive = method === 'lz4' ? 'base.tar.lz4' : 'base.tar.zst';
      assert.deepEqual((await readdir(directory)).sort(), ['backup_manifest', archive]);
      const { ok, problems } = await verifyBackup(directory);
      assert.equal(ok, reason === undefined);
      if (reason !== undefined) {
        assert.deepEqual(
          problems.filter(({ path }) => path === archive).map(({ problem }) => problem.includes(reason)),
          [true],
        );
      }
      if (findClientTool(program) === undefined) return t.diagnostic(`${program} is not installed`);
      const extracted = join(folder, 'extracted');
      await mkdir(extracted);
      await execute('sh', ['-c', `${program} -dc "$1" | tar -xf - -C "$2"`, 'sh', join(directory, archive), extracted]);
      await writeFile(join(extracted, 'backup_manifest'), await readFile(join(directory, 'backup_manifest')));
      assert.deepEqual(await verifyBackup(extracted), { ok: true, problems: [] });
    });
  }

  test('the archives have the names that pg_basebackup gives them, and its own are good too', {
    skip: whyNoTool,
  }, async (t) => {
    const folder = await temporaryFolder(t);
    const connection = server().connectionString();
    for (const [compression, walMethod] of [
      ['client-gzip', 'stream'],
      ['client-gzip:9', 'fetch'],
      ['client-zstd', 'stream'],
      ['server-gzip', 'stream'],
      ['server-lz4', 'stream'],
    ] as const) {
      if (compression === 'client-zstd' && whyNoZstd !== undefined) continue;
      const [theirs, ours] = [join(folder, `theirs-${compression}`), join(folder, `ours-${compression}`)];
      const flags = ['-Ft', '-cfast', '--no-sync', '-X', walMethod, '-Z', compression];
      const { exitCode, stderr } = await runTool(tool, ['-d', connection, '-D', theirs, ...flags]);
      assert.equal(exitCode, 0, stderr);
      const options = { ...base, connection, directory: ours, compression, walMethod } as const;
      await new BaseBackup({ ...options, format: 'tar' }).run();
      assert.deepEqual((await readdir(ours)).sort(), (await readdir(theirs)).sort(), compression);
      if (compression === 'server-lz4') continue;
      // Theirs are of several compressed streams, one behind the other.
      for (const directory of [theirs, ours])
        assert.deepEqual(await verifyBackup(directory), { ok: true, problems: [] });
    }
  });

  test('long distances came with 16', async (t) => {
    const directory = join(await temporaryFolder(t), 'backup');
    const options = { ...base, connection: server().connectionString(), directory, format: 'tar' } as const;
    const backup = new BaseBackup({ ...options, compression: 'server-zstd:long' });
    const tool = findClientTool('postgres') ?? '';
    if (!/ 15\./.test((await runTool(tool, ['--version'])).stdout)) return t.skip('this server has them');
    await assert.rejects(backup.run(), ConfigurationError);
  });

  test('lz4 and zstd into the blackhole', async () => {
    for (const compression of ['lz4:9', 'zstd:2']) {
      const options = { connection: server().connectionString(), target: 'blackhole', checkpoint: 'fast' } as const;
      assert.equal((await new BaseBackup({ ...options, compression }).run()).verified, false);
    }
  });
});
