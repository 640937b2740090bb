import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { resolveConnectionConfig } from '../../src/connection/connection-config.js';
import {
  BackupError,
  BaseBackup,
  type BaseBackupOptions,
  ConfigurationError,
  ConnectionError,
  ManifestMismatchError,
  ProtocolError,
  ReplicationConnection,
  ServerError,
  TimeoutError,
} from '../../src/index.js';
import {
  FakeBackup,
  type FakeBackupOptions,
  FakeWalSender,
  type FakeWalSenderOptions,
} from '../../src/testing/index.js';
import { findClientTool, needsClientTool, runTool } from '../support/client-tools.js';

const FILES = {
  PG_VERSION: '18\n',
  'base/1/1259': Buffer.alloc(70_000, 7),
  'global/pg_control': Buffer.alloc(8192, 1),
  'postgresql.auto.conf': '',
};
const PLAIN: FakeBackupOptions = { base: { files: FILES } };

interface Taken {
  readonly directory: string;
  readonly sender: FakeWalSender;
  readonly run: () => ReturnType<BaseBackup['run']>;
}

async function backUp(
  t: TestContext,
  backup: FakeWalSenderOptions['backup'],
  sending: Partial<FakeWalSenderOptions> = {},
  options: Partial<BaseBackupOptions> = {},
): Promise<Taken> {
  const settings = { wal_segment_size: '1MB' };
  const sender = await FakeWalSender.listen({ settings, ...(backup !== undefined && { backup }), ...sending });
  t.after(() => sender.close());
  const root = await mkdtemp(join(tmpdir(), 'pgw-fake-backup-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const directory = join(root, 'data');
  const connection = sender.connectionString({ sslmode: 'disable' });
  const one = new BaseBackup({ connection, directory, walMethod: 'fetch', sync: false, ...options });
  return { directory, sender, run: () => one.run() };
}

suite('a backup that a test makes', () => {
  for (const serverVersion of ['14.10', '15.4', '17.0', '18.4']) {
    for (const manifestChecksums of ['NONE', 'CRC32C', 'SHA224', 'SHA512'] as const) {
      test(`${serverVersion}, checksums ${manifestChecksums}`, async (t) => {
        const { directory, run } = await backUp(t, new FakeBackup(PLAIN), { serverVersion }, { manifestChecksums });
        const result = await run();
        assert.equal(result.verified, true);
        assert.deepEqual([result.startLsn, result.endLsn], [0x2000028n, 0x2000120n]);
        for (const [path, content] of Object.entries(FILES)) {
          assert.deepEqual(await readFile(join(directory, path)), Buffer.from(content), path);
        }
        assert.match(await readFile(join(directory, 'backup_label'), 'utf8'), /^START WAL LOCATION: 0\/2000028\n/);
        const [segment = '', ...more] = (await readdir(join(directory, 'pg_wal'))).filter((name) => name.length === 24);
        assert.deepEqual([segment, more], ['000000010000000000000020', []]);
        const manifest = await readFile(join(directory, 'backup_manifest'), 'utf8');
        assert.equal(manifest.includes(manifestChecksums), manifestChecksums !== 'NONE');
      });
    }
  }

  for (const format of ['plain', 'tar'] as const) {
    test(`with tablespaces, ${format}`, async (t) => {
      const tablespaces = [{ oid: 16_400, location: '/srv/fast', files: { 'PG_18_1/5/100': 'table' } }];
      const elsewhere = await mkdtemp(join(tmpdir(), 'pgw-tablespace-'));
      t.after(() => rm(elsewhere, { recursive: true, force: true }));
      const backup = new FakeBackup({ ...PLAIN, tablespaces });
      const mapping = format === 'plain' ? { tablespaceMapping: { '/srv/fast': elsewhere } } : {};
      const { directory, run } = await backUp(t, backup, {}, { format, ...mapping });
      assert.equal((await run()).verified, true);
      if (format === 'plain') {
        assert.equal(await readFile(join(directory, 'pg_tblspc/16400/PG_18_1/5/100'), 'utf8'), 'table');
      } else {
        assert.deepEqual((await readdir(directory)).sort(), ['16400.tar', 'backup_manifest', 'base.tar']);
      }
    });
  }

  test('recorded archives, with their manifest, in either form of the protocol', async (t) => {
    const recorded = await backUp(t, new FakeBackup(PLAIN), {}, { format: 'tar' });
    await recorded.run();
    const archive = await readFile(join(recorded.directory, 'base.tar'));
    const manifest = await readFile(join(recorded.directory, 'backup_manifest'));
    for (const serverVersion of ['17.1', '18.4']) {
      const again = await backUp(t, new FakeBackup({ base: { archive }, manifest }), { serverVersion });
      assert.equal((await again.run()).verified, true);
      assert.deepEqual(await readFile(join(again.directory, 'backup_manifest')), manifest);
    }
    assert.throws(() => new FakeBackup({ base: { archive } }), ConfigurationError);
  });

  test('a file that is not what the manifest says', async (t) => {
    const { run } = await backUp(t, {
      steps: (request) => {
        const manifest = new FakeBackup(PLAIN).manifest(request);
        return new FakeBackup({ base: { files: { ...FILES, PG_VERSION: '19\n' } }, manifest }).steps(request);
      },
    });
    await assert.rejects(run(), ManifestMismatchError);
  });

  test('what it cannot do is refused, and so is a backup where there is none', async (t) => {
    const is0A000 = (error: unknown) => error instanceof ServerError && error.sqlState === '0A000';
    const { sender } = await backUp(t, new FakeBackup(PLAIN));
    const config = resolveConnectionConfig(sender.connectionString(), {});
    await using connection = await ReplicationConnection.connect(config, { mode: 'physical' });
    for (const option of ["COMPRESSION 'gzip'", 'INCREMENTAL', "LABEL 'a, b', TARGET 'blackhole'"]) {
      await assert.rejects(connection.query(`BASE_BACKUP (${option})`), is0A000, option);
    }
    await assert.rejects((await backUp(t, undefined)).run(), is0A000);
    for (const options of [{}, { base: {} }, { base: { files: {}, entries: [] } }, { ...PLAIN, pieceBytes: 0 }]) {
      assert.throws(() => new FakeBackup(options as FakeBackupOptions), ConfigurationError);
    }
    await assert.rejects(FakeWalSender.listen({ backup: 'none' } as never), ConfigurationError);
  });
});

suite("PostgreSQL's own client takes it, and its own verifier finds nothing", () => {
  const tools = ['pg_basebackup', 'pg_verifybackup'] as const;
  const skip = tools.map(needsClientTool).find((reason) => reason !== false) ?? false;
  for (const serverVersion of ['14.10', '15.4']) {
    test(serverVersion, { skip }, async (t) => {
      const { directory, sender } = await backUp(t, new FakeBackup(PLAIN), { serverVersion });
      const [take = '', verify = ''] = tools.map((name) => findClientTool(name));
      const taken = await runTool(take, [
        '-d',
        sender.connectionString(),
        '-D',
        directory,
        '-X',
        'fetch',
        '-P',
        '--no-sync',
      ]);
      assert.equal(taken.exitCode, 0, taken.stderr);
      // There is no WAL in its segments of zeros.
      const { exitCode, stderr } = await runTool(verify, ['-n', directory]);
      assert.equal(exitCode, 0, stderr);
    });
  }
});

suite('faults in a backup', () => {
  const small = new FakeBackup({ ...PLAIN, pieceBytes: 5_000 });

  test('cut: wherever it is', async (t) => {
    for (const at of [{ byte: 0 }, { message: 0 }, { message: 7 }, { message: 20, byte: 'end' }] as const) {
      const { run, directory } = await backUp(t, small, { faults: [{ kind: 'cut', at }] });
      await assert.rejects(run(), ConnectionError, JSON.stringify(at));
      await assert.rejects(readdir(directory), { code: 'ENOENT' });
    }
  });

  test('stall and freeze', async (t) => {
    for (const kind of ['stall', 'freeze'] as const) {
      const faults = [{ kind, at: { message: 5 } }];
      const { run, sender } = await backUp(t, small, { faults }, { idleTimeoutMs: 200 });
      await assert.rejects(run(), TimeoutError);
      sender.cutConnections();
    }
  });

  test('slice', async (t) => {
    const { run } = await backUp(t, small, { faults: [{ kind: 'slice', maxBytes: 3_000, seed: 5 }] });
    assert.equal((await run()).verified, true);
  });

  test('corrupt: a bit in the middle of a file', async (t) => {
    const { run } = await backUp(t, small, { faults: [{ kind: 'corrupt', at: { message: 8 }, xor: 1 }] });
    await assert.rejects(run(), ManifestMismatchError);
  });

  test('refuse', async (t) => {
    const { run } = await backUp(t, small, { faults: [{ kind: 'refuse', sqlState: '57P03' }] });
    await assert.rejects(run(), (error: unknown) => error instanceof ServerError && error.sqlState === '57P03');
  });

  test('hostile lengths', async (t) => {
    for (const length of [0, 3, 0x7fff_ffff, 0xffff_ffff]) {
      const { run } = await backUp(t, small, { faults: [{ kind: 'frameLength', message: 4, length }] });
      await assert.rejects(run(), ProtocolError, String(length));
    }
  });

  test('an error in the middle, and steps of a script', async (t) => {
    const { run } = await backUp(t, async function* (request, signal) {
      let count = 0;
      for (const step of small.steps(request)) {
        if (++count === 9) yield { kind: 'notice', sqlState: '00000', message: 'soon' } as const;
        if (count === 10) {
          yield { kind: 'pause', ms: 1 } as const;
          yield {
            kind: 'error',
            sqlState: '58P01',
            message: 'requested WAL segment has already been removed',
          } as const;
          return;
        }
        assert.ok(!signal.aborted);
        yield step;
      }
    });
    await assert.rejects(run(), (error: unknown) => error instanceof ServerError && error.sqlState === '58P01');
  });

  test('a client that gives up cancels it', async (t) => {
    const abort = new AbortController();
    let onAborted = () => {};
    const aborted = new Promise<void>((resolve) => {
      onAborted = resolve;
    });
    const { run } = await backUp(
      t,
      async function* (request, signal) {
        signal.addEventListener('abort', onAborted);
        yield* [...small.steps(request)].slice(0, 12);
        abort.abort(new Error('enough'));
        yield { kind: 'pause', ms: 60_000 } as const;
      },
      {},
      { signal: abort.signal },
    );
    await assert.rejects(run(), /enough/);
    await aborted;
  });

  test('hostile members', async (t) => {
    for (const entry of [
      { name: '../evil', content: 'x' },
      { name: 'link', type: '2', linkName: '/etc' },
    ]) {
      const { run } = await backUp(t, new FakeBackup({ base: { entries: [entry] } }));
      await assert.rejects(run(), BackupError);
    }
  });
});
