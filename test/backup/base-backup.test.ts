import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BaseBackupOptions } from '../../src/backup/backup-options.js';
import { BaseBackup } from '../../src/backup/base-backup.js';
import {
  BackupError,
  ConfigurationError,
  ConnectionError,
  ManifestMismatchError,
  ProtocolError,
  ServerError,
  TimeoutError,
} from '../../src/errors.js';
import { encodeCopyData } from '../../src/protocol/copy-data.js';
import { errorResponse, noticeResponse } from '../../src/testing/backend-bytes.js';
import type { BackupStep, BackupSteps, FakeWalSender } from '../../src/testing/index.js';
import { sealManifest } from '../../src/testing/manifest-bytes.js';
import { type TarEntry, tarArchive } from '../../src/testing/tar-archive.js';
import fc from '../support/properties.js';
import {
  BASE,
  BASE_ENTRIES,
  type BackupMessagesOptions,
  backupServer,
  fakeBackup,
  manifestOf,
  steps,
  type TablespaceEntries,
  wholeBackup,
} from './fake-backup.js';

interface Attempt {
  readonly backup: BaseBackup;
  readonly sender: FakeWalSender;
  /** Holds everything that the test may touch. */
  readonly root: string;
  readonly directory: string;
}

async function attempt(
  t: TestContext,
  answer: Buffer | (() => BackupSteps),
  options: Partial<BaseBackupOptions> | ((root: string) => Partial<BaseBackupOptions>) = {},
  version?: string,
): Promise<Attempt> {
  const root = await mkdtemp(join(tmpdir(), 'backup-'));
  t.after(() => rm(root, { recursive: true }));
  const directory = join(root, 'new', 'data');
  const sender = await backupServer(t, answer, version);
  const given = typeof options === 'function' ? options(root) : options;
  const backup = new BaseBackup({
    connection: sender.connectionString({ sslmode: 'disable' }),
    directory,
    walMethod: 'fetch',
    manifestChecksums: 'SHA256',
    sync: false,
    ...given,
  });
  return { backup, sender, root, directory };
}

/** The backup fails, and leaves nothing behind. */
async function assertFails(
  { backup, root }: Attempt,
  check: (new (...args: never[]) => Error) | ((error: Error) => boolean),
): Promise<Error> {
  let failure: Error | undefined;
  await assert.rejects(backup.run(), (error: Error) => {
    failure = error;
    return 'prototype' in check && check.prototype instanceof Error
      ? error instanceof check
      : (check as (error: Error) => boolean)(error);
  });
  assert.deepEqual(await readdir(root), [], 'nothing is left');
  assert.ok(failure !== undefined);
  return failure;
}

const withEntries = (...entries: readonly TarEntry[]): BackupMessagesOptions => {
  const tablespaces = [{ ...BASE, entries: [...BASE_ENTRIES, ...entries] }];
  return { tablespaces };
};

suite('a backup in plain format', () => {
  for (const [major, version] of [
    [14, '14.10'],
    [18, '18.4'],
  ] as const) {
    test(`files, folders and modes, from ${major}`, async (t) => {
      const { backup, directory } = await attempt(t, wholeBackup({ major }), { sync: true }, version);
      const result = await backup.run();
      assert.equal(result.verified, true);
      assert.deepEqual([result.startLsn, result.endLsn, result.timeline], [0x200028n, 0x200120n, 1]);
      assert.equal(result.fileCount, 5);
      assert.equal(result.byteCount, 18 + 8192 + 7 + 100 + 1024 * 1024);
      for (const { name, type = '0', content = '' } of BASE_ENTRIES) {
        const path = join(directory, name);
        const { mode } = await stat(path);
        assert.equal(mode & 0o7777, type === '5' ? 0o700 : 0o600, name);
        if (type === '0') assert.equal(await readFile(path, 'utf8'), content);
      }
      assert.equal((await stat(directory)).mode & 0o7777, 0o700);
      assert.deepEqual(await readFile(join(directory, 'backup_manifest')), manifestOf([BASE]));
      assert.ok(!existsSync(join(directory, 'backup_manifest.tmp')));
    });
  }

  test('wherever the bytes are cut', async (t) => {
    const whole = wholeBackup({ pieceBytes: 3_000 });
    const cuts = fc.array(fc.nat(whole.length), { minLength: 1, maxLength: 20 });
    const property = fc.asyncProperty(cuts, fc.integer({ min: 0, max: 20_000 }), async (places, early) => {
      // Most of the bytes are one WAL segment: some cuts must fall where things begin and end.
      const ends = [...places, early, whole.length - (early % 2_000)].sort((a, b) => a - b);
      const { backup } = await attempt(t, async function* () {
        let start = 0;
        for (const end of [...ends, whole.length]) {
          yield* steps(whole.subarray(start, end));
          start = end;
          await new Promise((resolve) => setImmediate(resolve));
        }
      });
      assert.equal((await backup.run()).verified, true);
    });
    await fc.assert(property, { numRuns: 15 });
  });

  test('names of any bytes', async (t) => {
    const { backup, directory } = await attempt(t, wholeBackup(withEntries({ name: 'f\xff\xe4', content: 'x' })));
    await backup.run();
    const names = (await readdir(directory, { encoding: 'buffer' })).map((name) => name.toString('latin1'));
    assert.ok(names.includes('f\xff\xe4'));
  });

  test('an empty folder is taken, and gets the right mode', async (t) => {
    const { backup, directory } = await attempt(t, wholeBackup());
    await mkdir(directory, { recursive: true });
    await chmod(directory, 0o755);
    await backup.run();
    assert.equal((await stat(directory)).mode & 0o777, 0o700);
  });

  test('notices and progress', async (t) => {
    const { start, tablespaces, copies, end, complete } = fakeBackup();
    const notice = noticeResponse({ sqlState: '00000', message: 'waiting' });
    const all = [start, tablespaces, ...copies.slice(0, 3), notice, ...copies.slice(3), end, complete];
    const { backup } = await attempt(t, Buffer.concat(all));
    const notices: string[] = [];
    const received: number[] = [];
    backup.on('notice', ({ message }) => notices.push(message));
    backup.on('progress', ({ receivedBytes }) => received.push(receivedBytes));
    await backup.run();
    assert.deepEqual(notices, ['waiting']);
    assert.ok((received.at(-1) ?? 0) > 8192);
  });

  test('the configuration of a standby, which the manifest does not have', async (t) => {
    const { backup, directory } = await attempt(t, wholeBackup(), { writeRecoveryConf: true });
    await backup.run();
    assert.equal(await readFile(join(directory, 'standby.signal'), 'utf8'), '');
    const configuration = await readFile(join(directory, 'postgresql.auto.conf'), 'utf8');
    assert.match(
      configuration,
      /^# auto\nprimary_conninfo = 'user=test .*host=127\.0\.0\.1 port=\d+ sslmode=disable'\n$/,
    );
  });

  test('a configuration that the server did not send is for nobody else to read', async (t) => {
    const entries = BASE_ENTRIES.filter(({ name }) => name !== 'postgresql.auto.conf');
    const answer = wholeBackup({ tablespaces: [{ ...BASE, entries }] });
    const { backup, directory } = await attempt(t, answer, { writeRecoveryConf: true });
    await backup.run();
    assert.equal((await stat(join(directory, 'postgresql.auto.conf'))).mode & 0o777, 0o600);
  });

  test('the wait for the archiver is no stall, and a stall before it is one', async (t) => {
    const progress = encodeCopyData(Buffer.from('p\0\0\0\0\0\0\0\0', 'latin1'));
    const late14 = async function* () {
      const { start, tablespaces, copies, end, complete } = fakeBackup({ major: 14 });
      const last = copies.findLastIndex((bytes) => bytes[0] === 0x48); // CopyOutResponse
      yield* steps(start, tablespaces, ...copies.slice(0, last));
      await sleep(300);
      yield* steps(...copies.slice(last), end, complete);
    };
    const late18 = async function* () {
      const { start, tablespaces, copies, end, complete } = fakeBackup();
      const last = copies.findIndex((bytes) => bytes[5] === 0x6d && bytes.length === 6); // the manifest
      yield* steps(start, tablespaces, ...copies.slice(0, last), progress);
      await sleep(300);
      yield* steps(...copies.slice(last), end, complete);
    };
    const options = { walMethod: 'none', idleTimeoutMs: 100 } as const;
    for (const [answer, version] of [
      [late14, '14.10'],
      [late18, '18.4'],
    ] as const) {
      const { backup } = await attempt(t, answer, options, version);
      assert.equal((await backup.run()).verified, true, version);
    }
    await assertFails(await attempt(t, late18, { ...options, walMethod: 'fetch' }), TimeoutError);
    const { start, tablespaces, copies } = fakeBackup();
    const parts = [start, tablespaces, ...copies.slice(0, 3), progress, ...copies.slice(3, 6)];
    const stalled = () => [...steps(...parts), { kind: 'stall' } as const];
    await assertFails(await attempt(t, stalled, options), TimeoutError);
  });

  test('what is asked of the server', async (t) => {
    const { backup, sender } = await attempt(t, wholeBackup(), {
      walMethod: 'none',
      checkpoint: 'fast',
      maxRateKb: 999,
      label: 'l',
      verifyChecksums: false,
    });
    await backup.run();
    const commands = sender.statements.filter((statement) => statement.startsWith('BASE_BACKUP'));
    assert.deepEqual(commands, [
      "BASE_BACKUP (LABEL 'l', PROGRESS false, CHECKPOINT 'fast', WAL false, WAIT true, MAX_RATE 999, " +
        "TABLESPACE_MAP false, VERIFY_CHECKSUMS false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'SHA256')",
    ]);
  });
});

const ONE: TablespaceEntries = {
  oid: 16385,
  location: '/srv/one',
  entries: [
    { name: 'PG_18_1/', type: '5' },
    { name: 'PG_18_1/5', content: 'table' },
  ],
};
const LINK: TarEntry = { name: 'pg_tblspc/16385', type: '2', linkName: '/srv/one' };
const LINKED: BackupMessagesOptions = { tablespaces: [ONE, { ...BASE, entries: [...BASE_ENTRIES, LINK] }] };
const mapped = (root: string) => ({ tablespaceMapping: { '/srv/one': join(root, 'one') } });

suite('tablespaces', () => {
  test('mapped', async (t) => {
    const { backup, root, directory } = await attempt(t, wholeBackup(LINKED), mapped);
    const { tablespaces } = await backup.run();
    assert.deepEqual(tablespaces, [{ oid: 16385, location: '/srv/one', directory: join(root, 'one') }]);
    assert.equal(await readFile(join(root, 'one/PG_18_1/5'), 'utf8'), 'table');
    assert.equal(await readlink(join(directory, 'pg_tblspc/16385')), join(root, 'one'));
  });

  test('mapped by another way to write their path; one that is named twice is refused', async (t) => {
    const options = (root: string) => ({ tablespaceMapping: { '/srv//one/': join(root, 'one') } });
    const { backup, root } = await attempt(t, wholeBackup(LINKED), options);
    await backup.run();
    assert.equal(await readFile(join(root, 'one/PG_18_1/5'), 'utf8'), 'table');
    const twice = { '/srv/one': '/a', '/srv/one/': '/b' };
    await assert.rejects(attempt(t, wholeBackup(LINKED), { tablespaceMapping: twice }), ConfigurationError);
  });

  test('in the data directory itself', async (t) => {
    const inPlace = { ...ONE, location: 'pg_tblspc/16385' };
    const folder = { name: 'pg_tblspc/16385/', type: '5' };
    const tablespaces = [inPlace, { ...BASE, entries: [...BASE_ENTRIES, folder] }];
    const { backup, directory } = await attempt(t, wholeBackup({ tablespaces }));
    await backup.run();
    assert.equal(await readFile(join(directory, 'pg_tblspc/16385/PG_18_1/5'), 'utf8'), 'table');
  });

  test('without a mapping nothing is written', async (t) => {
    const error = await assertFails(await attempt(t, wholeBackup(LINKED)), ConfigurationError);
    assert.match(error.message, /\/srv\/one/);
  });

  test("the server's path must be absolute", async (t) => {
    const tablespaces = [{ ...ONE, location: '../one' }, BASE];
    await assertFails(
      await attempt(t, wholeBackup({ tablespaces }), { tablespaceMapping: 'server-paths' }),
      ConfigurationError,
    );
  });

  test('a mapping into the backup, or to a folder that is not empty', async (t) => {
    const inside = await attempt(t, wholeBackup(LINKED), (root) => ({
      tablespaceMapping: { '/srv/one': join(root, 'new/data/one') },
    }));
    await assertFails(inside, ConfigurationError);
    const linked = await attempt(t, wholeBackup(LINKED), (root) => ({
      tablespaceMapping: { '/srv/one': join(root, 'way/data/one') },
    }));
    await symlink('new', join(linked.root, 'way'));
    await assert.rejects(linked.backup.run(), /lie in each other/);
    assert.deepEqual(await readdir(linked.root), ['way']);
    const { backup, root, directory } = await attempt(t, wholeBackup(LINKED), mapped);
    await mkdir(join(root, 'one'));
    await writeFile(join(root, 'one/precious'), 'mine');
    await assert.rejects(backup.run(), ConfigurationError);
    assert.equal(await readFile(join(root, 'one/precious'), 'utf8'), 'mine');
    assert.ok(!existsSync(directory));
  });

  const HOSTILE: Readonly<Record<string, readonly TablespaceEntries[]>> = {
    'no link': [ONE, BASE],
    'a link to elsewhere': [ONE, { ...BASE, entries: [...BASE_ENTRIES, { ...LINK, linkName: '/etc' }] }],
    'a link twice': [ONE, { ...BASE, entries: [...BASE_ENTRIES, LINK, LINK] }],
    'a link to no tablespace': [
      ONE,
      { ...BASE, entries: [...BASE_ENTRIES, LINK, { ...LINK, name: 'pg_tblspc/16386' }] },
    ],
    'a link in another place': [ONE, { ...BASE, entries: [...BASE_ENTRIES, LINK, { ...LINK, name: 'base/2' }] }],
    'a link in a tablespace': [
      { ...ONE, entries: [...ONE.entries, LINK] },
      { ...BASE, entries: [...BASE_ENTRIES, LINK] },
    ],
    'a file through the link': [
      ONE,
      { ...BASE, entries: [...BASE_ENTRIES, LINK, { name: 'pg_tblspc/16385/PG_18_1/evil', content: 'x' }] },
    ],
  };
  for (const [what, tablespaces] of Object.entries(HOSTILE)) {
    test(`refused: ${what}`, async (t) => {
      await assertFails(await attempt(t, wholeBackup({ tablespaces }), mapped), BackupError);
    });
  }
});

suite('a backup in tar format', () => {
  for (const [major, version] of [
    [14, '14.10'],
    [18, '18.4'],
  ] as const) {
    test(`archives as they came, from ${major}`, async (t) => {
      const map: TarEntry = { name: 'tablespace_map', content: '16385 /srv/one\n' };
      const tablespaces = [ONE, { ...BASE, entries: [...BASE_ENTRIES, map] }];
      const { backup, directory } = await attempt(t, wholeBackup({ tablespaces, major }), { format: 'tar' }, version);
      const { verified, fileCount } = await backup.run();
      assert.deepEqual([verified, fileCount], [true, 7]);
      assert.deepEqual((await readdir(directory)).sort(), ['16385.tar', 'backup_manifest', 'base.tar']);
      assert.deepEqual(await readFile(join(directory, '16385.tar')), tarArchive(...ONE.entries));
      assert.deepEqual(await readFile(join(directory, 'base.tar')), tarArchive(...BASE_ENTRIES, map));
      assert.equal((await stat(join(directory, 'base.tar'))).mode & 0o777, 0o600);
    });
  }

  test('the configuration of a standby, in the archive of the data directory', async (t) => {
    const tar = (directory: string, ...args: string[]) =>
      execFileSync('tar', [...args, '-f', join(directory, 'base.tar')], { encoding: 'latin1' });
    const own = { name: 'standby.signal', content: 'own' };
    for (const [entries, major, signal] of [
      [BASE_ENTRIES, 18, ''],
      [BASE_ENTRIES, 14, ''],
      [BASE_ENTRIES.filter(({ name }) => name !== 'postgresql.auto.conf'), 18, ''],
      [[...BASE_ENTRIES, own], 18, 'own'],
    ] as const) {
      const tablespaces = [{ ...BASE, entries }];
      const version = major === 14 ? '14.10' : '18.4';
      const options = { format: 'tar', writeRecoveryConf: true } as const;
      const { backup, directory } = await attempt(t, wholeBackup({ tablespaces, major }), options, version);
      assert.equal((await backup.run()).verified, true);
      const names = tar(directory, '-t').trimEnd().split('\n');
      const expected = new Set([...entries.map(({ name }) => name), 'postgresql.auto.conf', 'standby.signal']);
      assert.deepEqual(names.sort(), [...expected].sort());
      assert.equal(tar(directory, '-xO', 'standby.signal'), signal);
      const configuration = tar(directory, '-xO', 'postgresql.auto.conf');
      const before = entries.some(({ name }) => name === 'postgresql.auto.conf') ? '# auto\n' : '';
      assert.ok(configuration.startsWith(`${before}primary_conninfo = 'user=test `), configuration);
      assert.ok(configuration.endsWith("sslmode=disable'\n"), configuration);
      for (const { name, type = '0', content = '' } of BASE_ENTRIES) {
        const unchanged = type === '0' && name !== 'postgresql.auto.conf';
        if (unchanged) assert.equal(tar(directory, '-xO', name), content, name);
      }
    }
  });

  test('an empty folder keeps its mode', async (t) => {
    const { backup, directory } = await attempt(t, wholeBackup(), { format: 'tar' });
    await mkdir(directory, { recursive: true });
    await chmod(directory, 0o755);
    await backup.run();
    assert.equal((await stat(directory)).mode & 0o777, 0o755);
  });

  test('a link, which nobody asked for', async (t) => {
    await assertFails(await attempt(t, wholeBackup(LINKED), { format: 'tar' }), BackupError);
  });

  test('a hostile name is refused, although nothing is extracted', async (t) => {
    const answer = wholeBackup(withEntries({ name: '../evil', content: 'x' }));
    await assertFails(await attempt(t, answer, { format: 'tar' }), BackupError);
  });
});

/** Half of it, and then nothing. */
function half(whole: Buffer): BackupStep[] {
  return [...steps(whole.subarray(0, whole.length / 2)), { kind: 'stall' }];
}

suite('what fails leaves nothing behind', () => {
  const HOSTILE: Readonly<Record<string, readonly TarEntry[]>> = {
    'a name that climbs': [{ name: '../../evil', content: 'x' }],
    'an absolute name': [{ name: '/tmp/evil', content: 'x' }],
    'a link, then a file through it': [
      { name: 'way', type: '2', linkName: '/tmp' },
      { name: 'way/evil', content: 'x' },
    ],
    'the same file twice': [{ name: 'backup_label', content: 'START WAL LOCATION' }],
    'a file where a folder is': [{ name: 'base', content: 'x' }],
    'a folder where a file is': [{ name: 'backup_label/', type: '5' }],
    'a file in no folder': [{ name: 'nowhere/file', content: 'x' }],
    'a PAX header': [{ name: 'pax', type: 'x', content: '12 path=evil\n' }],
  };
  for (const [what, entries] of Object.entries(HOSTILE)) {
    test(what, async (t) => {
      await assertFails(await attempt(t, wholeBackup(withEntries(...entries))), BackupError);
    });
  }

  const MANIFESTS: Readonly<Record<string, Parameters<typeof manifestOf>[1]>> = {
    'another size': (path, size, checksum) => [[path, path === 'base/1/1259' ? size + 1 : size, checksum]],
    'another checksum': (path, size, checksum) => [
      [
        path,
        size,
        path === 'base/1/1259' ? checksum.replace(/^../, checksum.startsWith('00') ? '11' : '00') : checksum,
      ],
    ],
    'a file missing in the backup': (path, size, checksum) =>
      path === 'base/1/1259'
        ? [
            [path, size, checksum],
            ['base/1/1', 0, checksum],
          ]
        : [[path, size, checksum]],
    'a file missing in the manifest': (path, size, checksum) =>
      path === 'base/1/1259' ? [] : [[path, size, checksum]],
  };
  for (const [what, change] of Object.entries(MANIFESTS)) {
    for (const format of ['plain', 'tar'] as const) {
      test(`${what}, ${format}`, async (t) => {
        const answer = wholeBackup({ manifest: manifestOf([BASE], change) });
        const error = await assertFails(await attempt(t, answer, { format }), ManifestMismatchError);
        assert.ok(error instanceof ManifestMismatchError && error.path.startsWith('base/1/1'));
        assert.notEqual(error.expected, error.actual);
      });
    }
  }

  test('the manifest of another server', async (t) => {
    const manifest = Buffer.from(manifestOf([BASE]));
    const body = manifest.toString('latin1').replace('7500000000000000001', '7500000000000000002');
    const other = sealManifest(body.slice(0, body.indexOf('"Manifest-Checksum"')));
    await assertFails(await attempt(t, wholeBackup({ manifest: other })), ManifestMismatchError);
  });

  const LSNS = ['0/200028', '0/200080', '0/200120'] as const;
  const range = (timeline: number, start: number, end: number) =>
    `{ "Timeline": ${timeline}, "Start-LSN": "${LSNS[start]}", "End-LSN": "${LSNS[end]}" }`;
  const withRanges = (...ranges: readonly string[]) => {
    const body = manifestOf([BASE])
      .toString()
      .replace(range(1, 0, 2), ranges.join(',\n'));
    return wholeBackup({ manifest: sealManifest(body.slice(0, body.indexOf('"Manifest-Checksum"'))) });
  };
  const RANGES: Readonly<Record<string, readonly string[]>> = {
    none: [],
    'on another timeline': [range(9, 0, 2)],
    'with a hole': [range(1, 0, 1).replace('80"', '70"'), range(2, 1, 2)],
    'twice on one timeline': [range(1, 0, 1), range(1, 1, 2)],
    'the same on two timelines': [range(1, 0, 2), range(7, 0, 2)],
    'that ends on another timeline': [range(1, 0, 1), range(2, 1, 2)],
    'that ends early': [range(1, 0, 1)],
    'that begins late': [range(1, 1, 2)],
  };
  for (const [what, ranges] of Object.entries(RANGES)) {
    test(`a manifest of WAL ${what}`, async (t) => {
      const error = await assertFails(await attempt(t, withRanges(...ranges)), ManifestMismatchError);
      assert.ok(error instanceof ManifestMismatchError && error.path === 'WAL-Ranges', error.message);
    });
  }

  test('WAL that is cut short or missing, which no manifest lists', async (t) => {
    const wal = BASE_ENTRIES.filter(({ name }) => name.startsWith('pg_wal/'));
    const others = BASE_ENTRIES.filter((entry) => !wal.includes(entry));
    for (const entries of [others, [...others, { name: 'pg_wal/000000010000000000000002', content: 'short' }]]) {
      await assertFails(await attempt(t, wholeBackup({ tablespaces: [{ ...BASE, entries }] })), BackupError);
    }
  });

  test('a manifest that is damaged', async (t) => {
    const manifest = Buffer.from(manifestOf([BASE]).toString().replace('"Size": 100', '"Size": 101'));
    await assertFails(await attempt(t, wholeBackup({ manifest })), BackupError);
  });

  test('the stream cut at every message', async (t) => {
    const { start, tablespaces, copies, end } = fakeBackup({ pieceBytes: 200_000 });
    const messages = [start, tablespaces, ...copies, end];
    for (let count = 0; count < messages.length; count++) {
      const one = await attempt(t, Buffer.concat(messages.slice(0, count)));
      await assertFails(one, (error) => error instanceof ProtocolError || error instanceof BackupError);
    }
  });

  test('the completion missing', async (t) => {
    const { start, tablespaces, copies, end } = fakeBackup();
    const all = Buffer.concat([start, tablespaces, ...copies, end]);
    await assertFails(await attempt(t, all), ProtocolError);
  });

  test('the connection lost', async (t) => {
    const whole = wholeBackup();
    for (const part of [0.1, 0.5, 0.9]) {
      const one = await attempt(t, () => [...steps(whole.subarray(0, whole.length * part)), { kind: 'cut' }]);
      await assertFails(one, ConnectionError);
    }
  });

  test('a stall', async (t) => {
    const whole = wholeBackup();
    const one = await attempt(t, () => half(whole), { idleTimeoutMs: 100 });
    await assertFails(one, TimeoutError);
  });

  test('an error of the server, before the COPY and in it', async (t) => {
    const { start, tablespaces, copies } = fakeBackup();
    for (const sent of [[], [start, tablespaces, ...copies.slice(0, 3)]]) {
      const error = errorResponse({ sqlState: '58P01', message: 'requested WAL segment has already been removed' });
      const one = await attempt(t, Buffer.concat([...sent, error]));
      await assertFails(one, (failure) => failure instanceof ServerError && failure.sqlState === '58P01');
    }
  });

  test('an abort', async (t) => {
    const whole = wholeBackup();
    const abort = new AbortController();
    const one = await attempt(t, () => half(whole), { signal: abort.signal });
    setTimeout(() => abort.abort(new Error('enough')), 100);
    await assertFails(one, (error) => error.message === 'enough');
  });

  test('unless it is to be kept; the manifest has no final name then', async (t) => {
    const whole = wholeBackup({ manifest: manifestOf([BASE], (path, size) => [[path, size, '0'.repeat(64)]]) });
    const { backup, directory } = await attempt(t, whole, { keepOnError: true });
    await assert.rejects(backup.run(), ManifestMismatchError);
    const names = await readdir(directory);
    assert.ok(names.includes('backup_label') && !names.includes('backup_manifest'));
  });

  test('a folder that was there stays', async (t) => {
    const { backup, root } = await attempt(t, wholeBackup(withEntries({ name: '../x' })), (inside) => ({
      directory: join(inside, 'mine'),
    }));
    await mkdir(join(root, 'mine'));
    await chmod(join(root, 'mine'), 0o755);
    await assert.rejects(backup.run(), BackupError);
    assert.deepEqual(await readdir(root, { recursive: true }), ['mine']);
    assert.equal((await stat(join(root, 'mine'))).mode & 0o777, 0o755);
  });
});

test('page checksums that do not match: the files stay, without a manifest, and the error says so', async (t) => {
  const { start, tablespaces, copies, end } = fakeBackup();
  const error = errorResponse({ sqlState: 'XX001', message: 'checksum verification failure during base backup' });
  const all = Buffer.concat([start, tablespaces, ...copies, end, error]);
  const { backup, directory } = await attempt(t, all);
  await assert.rejects(backup.run(), (failure) => {
    assert.ok(failure instanceof BackupError && failure.cause instanceof ServerError);
    assert.match(failure.message, /files stay/);
    return true;
  });
  const names = await readdir(directory);
  assert.ok(names.includes('backup_manifest.tmp') && !names.includes('backup_manifest'));
  assert.equal((await readFile(join(directory, 'base/1/1259'))).length, 8192);
});

test('a folder that is not empty is not touched, and the server not asked', async (t) => {
  const { backup, directory } = await attempt(t, () => assert.fail('asked'), {
    connection: { host: '127.0.0.1', port: 1 },
  });
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, 'precious'), 'mine');
  await assert.rejects(backup.run(), (error) => error instanceof ConfigurationError && error.option === 'directory');
  assert.deepEqual(await readdir(directory), ['precious']);
});

test('a backup runs once', async (t) => {
  const { backup } = await attempt(t, wholeBackup());
  await backup.run();
  await assert.rejects(backup.run(), ConfigurationError);
});
