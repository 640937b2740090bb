import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFile, cp, mkdir, mkdtemp, open, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { verifyBackup } from '../../src/backup/verify-backup.js';
import type { VerifyBackupOptions } from '../../src/backup/verify-options.js';
import { findClientTool, needsClientTool, runTool, toolMajor } from '../support/client-tools.js';
import { PG_MAJOR, sharedServer } from '../support/server.js';
import { type CopiedBackup, copyBackup, firstSegment, flip, sealBackup } from './copied-backup.js';

const MANIFEST_VERSION = PG_MAJOR >= 17 ? 2 : 1;

interface Damage {
  readonly name: string;
  /** Paths that are to be reported. */
  readonly paths: readonly string[];
  readonly problem: RegExp;
  readonly options?: VerifyBackupOptions;
  readonly flags?: readonly string[];
  /** Whether PostgreSQL's own program says the same. */
  readonly oracle?: boolean;
  harm(directory: string, backup: CopiedBackup): Promise<void>;
}

const DAMAGES: readonly Damage[] = [
  {
    name: 'a file more',
    paths: ['base/extra'],
    problem: /^is present on disk but not in the manifest$/,
    harm: (directory) => writeFile(join(directory, 'base/extra'), 'x'),
  },
  {
    name: 'a file less',
    paths: ['PG_VERSION_COPY'],
    problem: /^is present in the manifest but not on disk$/,
    harm: (directory) => rm(join(directory, 'PG_VERSION_COPY')),
  },
  {
    name: 'a file that grew',
    paths: ['pg_hba.conf'],
    problem: /^has size \d+ on disk but size \d+ in the manifest$/,
    harm: (directory) => appendFile(join(directory, 'pg_hba.conf'), '#'),
  },
  {
    name: 'a file with another bit',
    paths: ['pg_hba.conf'],
    problem: /^checksum mismatch$/,
    harm: (directory) => flip(join(directory, 'pg_hba.conf'), 100),
  },
  {
    name: 'a file with another bit, where only names and sizes count',
    paths: [],
    problem: /^$/,
    options: { skipChecksums: true },
    flags: ['-s'],
    harm: (directory) => flip(join(directory, 'pg_hba.conf'), 100),
  },
  {
    name: 'what is ignored, and what lies below it',
    paths: [],
    problem: /^$/,
    options: { ignore: ['pg_hba.conf', 'base/'] },
    flags: ['-i', 'pg_hba.conf', '-i', 'base'],
    harm: async (directory) => {
      await flip(join(directory, 'pg_hba.conf'), 100);
      await rm(join(directory, 'base/1/PG_VERSION'));
      await writeFile(join(directory, 'base/extra'), 'x');
    },
  },
  {
    name: 'what everybody may change',
    paths: [],
    problem: /^$/,
    harm: async (directory) => {
      await appendFile(join(directory, 'postgresql.auto.conf'), '# x\n');
      await writeFile(join(directory, 'standby.signal'), '');
      await writeFile(join(directory, 'recovery.signal'), '');
      await writeFile(join(directory, 'pg_wal/something'), '');
    },
  },
  {
    name: 'several things at once, in order',
    paths: ['base/extra', 'pg_hba.conf', 'PG_VERSION_COPY', 'pg_ident.conf'],
    problem: /./,
    harm: async (directory) => {
      await flip(join(directory, 'pg_ident.conf'), 100);
      await rm(join(directory, 'PG_VERSION_COPY'));
      await truncate(join(directory, 'pg_hba.conf'), 10);
      await writeFile(join(directory, 'base/extra'), 'x');
    },
  },
  {
    name: 'the first of several only',
    paths: ['base/extra'],
    problem: /^is present on disk/,
    options: { exitOnError: true },
    flags: ['-e'],
    harm: async (directory) => {
      await writeFile(join(directory, 'base/extra'), 'x');
      await rm(join(directory, 'PG_VERSION_COPY'));
    },
  },
  {
    name: 'a link to nowhere',
    paths: ['base/nowhere'],
    problem: /^cannot stat: ENOENT$/,
    harm: (directory) => symlink('/nowhere/at/all', join(directory, 'base/nowhere')),
  },
  {
    name: 'a pipe',
    paths: ['base/pipe'],
    problem: /^is not a regular file or directory$/,
    harm: async (directory) => void execFileSync('mkfifo', [join(directory, 'base/pipe')]),
  },
  {
    name: 'a manifest with another bit',
    paths: ['backup_manifest'],
    problem: /./,
    oracle: false,
    harm: (directory) => flip(join(directory, 'backup_manifest'), 200),
  },
  {
    name: 'no manifest',
    paths: ['backup_manifest'],
    problem: /^cannot be read: ENOENT$/,
    oracle: false,
    harm: (directory) => rm(join(directory, 'backup_manifest')),
  },
  {
    name: 'a manifest elsewhere',
    paths: ['backup_manifest'],
    problem: /^cannot be read: ENOENT$/,
    options: { manifestPath: '/nowhere/backup_manifest' },
    oracle: false,
    harm: async () => {},
  },
];

describe(`verification of a plain backup of PostgreSQL ${PG_MAJOR}`, () => {
  const server = sharedServer();
  let folder = '';
  let backup: CopiedBackup;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'walstream-verify-'));
    const directory = join(folder, 'backup');
    backup = await copyBackup(server(), directory);
    // A file of which nothing else depends.
    await cp(join(directory, 'PG_VERSION'), join(directory, 'PG_VERSION_COPY'));
    await sealBackup(backup, MANIFEST_VERSION);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** Hands out a copy that may be damaged. */
  async function damaged(harm: Damage['harm'], copyWal = false): Promise<string> {
    const directory = join(folder, 'damaged');
    await rm(directory, { recursive: true, force: true });
    const walFolder = join(backup.directory, 'pg_wal/');
    const filter = (source: string) => copyWal || !source.startsWith(walFolder);
    await cp(backup.directory, directory, { recursive: true, filter });
    await harm(directory, backup);
    return directory;
  }

  test('a good one is good, its WAL too', async () => {
    const seen: number[] = [];
    const result = await verifyBackup(backup.directory, {
      workers: 3,
      onProgress: ({ doneBytes, totalBytes }) => seen.push(doneBytes / totalBytes),
    });
    assert.deepEqual(result, { ok: true, problems: [] });
    assert.equal(seen.at(-1), 1);
  });

  for (const { name, paths, problem, options, flags = [], oracle = true, harm } of DAMAGES) {
    test(`${name}: ${paths.length === 0 ? 'good' : 'found'}`, async (t) => {
      const directory = await damaged(harm);
      const { ok, problems } = await verifyBackup(directory, { parseWal: false, ...options });
      assert.deepEqual(
        problems.map((one) => one.path),
        [...paths],
      );
      assert.equal(ok, paths.length === 0);
      for (const one of problems) assert.match(one.problem, problem);
      const tool = findClientTool('pg_verifybackup');
      if (!oracle) return;
      if (tool === undefined) return t.diagnostic('pg_verifybackup is not installed');
      // Version 1 is what every pg_verifybackup reads; the manifest that is there is of this major.
      if (MANIFEST_VERSION === 2 && (await toolMajor(tool)) < 17) return t.diagnostic('pg_verifybackup is too old');
      const theirs = await runTool(tool, ['-n', ...flags, directory]);
      assert.equal(theirs.exitCode, ok ? 0 : 1, theirs.stderr);
      const named = [...theirs.stderr.matchAll(/error: .*?"([^"]+)"/g)].map(([, path]) =>
        path?.replace(`${directory}/`, ''),
      );
      assert.deepEqual(named.sort(), [...paths].sort(), theirs.stderr);
    });
  }

  test('a data directory without PG_VERSION is none in tar format', async () => {
    const directory = await damaged((path) => rm(join(path, 'PG_VERSION')));
    const { problems } = await verifyBackup(directory, { parseWal: false });
    const expected = [{ path: 'PG_VERSION', problem: 'is present in the manifest but not on disk' }];
    assert.deepEqual(problems, expected);
  });

  test('a directory that is not there', async () => {
    const { ok, problems } = await verifyBackup(join(folder, 'nowhere'));
    assert.equal(ok, false);
    assert.equal(problems[0]?.path, 'backup_manifest');
  });

  test('a control file of another system, or damaged, ends the verification', {
    skip: MANIFEST_VERSION === 1 && 'manifests of version 1 name no system',
  }, async () => {
    const other = await damaged((directory) =>
      sealBackup({ ...backup, directory, systemIdentifier: '7412345678901234567' }, 2),
    );
    const { problems } = await verifyBackup(other);
    assert.equal(problems.length, 1);
    assert.equal(problems[0]?.path, 'global/pg_control');
    assert.match(
      problems[0]?.problem ?? '',
      /^manifest system identifier is 7412345678901234567, but control file has \d+$/,
    );

    const broken = await damaged(async (directory) => {
      await flip(join(directory, 'global/pg_control'), 40);
      await sealBackup({ ...backup, directory }, 2);
    });
    assert.deepEqual((await verifyBackup(broken)).problems, [
      { path: 'global/pg_control', problem: 'CRC is incorrect' },
    ]);
  });

  const walDamages: readonly (readonly [string, RegExp, (path: string, offset: number) => Promise<void>])[] = [
    ['a segment less', /the segment [0-9A-F]{24} is missing$/, (path) => rm(path)],
    ['a segment that is too short', /its segment has \d+ bytes, not 16777216$/, (path) => truncate(path, 8192 * 100)],
    ['a record with another bit', /./, (path, offset) => flip(path, offset + 26)],
    ['a page header with another bit', /page/, (path, offset) => flip(path, offset - (offset % 8192) + 8192 + 12)],
    [
      'zeros',
      /invalid magic number 0000 in the page header$/,
      async (path, offset) => {
        await using file = await open(path, 'r+');
        const page = offset - (offset % 8192) + 8192;
        await file.write(Buffer.alloc(16 * 1024 * 1024 - page), 0, undefined, page);
      },
    ],
    ['junk', /invalid magic number/, (path) => writeFile(path, Buffer.alloc(16 * 1024 * 1024, 'junk'))],
  ];
  for (const [name, problem, harm] of walDamages) {
    test(`WAL with ${name} is not taken for good`, async (t) => {
      const directory = await damaged(async (copy) => {
        const { path, offset } = await firstSegment(join(copy, 'pg_wal'), backup);
        await harm(path, offset);
      }, true);
      const { ok, problems } = await verifyBackup(directory);
      assert.equal(ok, false);
      assert.equal(problems.length, 1);
      assert.match(problems[0]?.path ?? '', /^pg_wal/);
      assert.match(problems[0]?.problem ?? '', problem);
      assert.match(problems[0]?.problem ?? '', /^WAL parsing failed for timeline 1, at /);
      assert.deepEqual(await verifyBackup(directory, { parseWal: false }), { ok: true, problems: [] });
      const elsewhere = { walDirectory: join(backup.directory, 'pg_wal') };
      assert.deepEqual(await verifyBackup(directory, elsewhere), { ok: true, problems: [] });

      const tool = findClientTool('pg_verifybackup');
      if (tool === undefined) return t.diagnostic('pg_verifybackup is not installed');
      if ((await toolMajor(tool)) !== PG_MAJOR)
        return t.diagnostic('pg_verifybackup reads the WAL of its own major only');
      assert.equal((await runTool(tool, [directory])).exitCode, 1);
      assert.equal((await runTool(tool, [backup.directory])).exitCode, 0);
    });
  }

  test('every record that pg_waldump sees is seen', { skip: needsClientTool('pg_waldump') }, async (t) => {
    const tool = findClientTool('pg_waldump') ?? '';
    if ((await toolMajor(tool)) !== PG_MAJOR) return t.skip('pg_waldump reads the WAL of its own major only');
    const { startLsn, stopLsn, directory } = backup;
    const args = ['-q', '-p', join(directory, 'pg_wal'), '-s', startLsn, '-e', stopLsn];
    assert.equal((await runTool(tool, args)).exitCode, 0);
  });

  describe('in tar format', () => {
    for (const suffix of ['tar', 'tar.gz']) {
      test(`${suffix}: a good one is good, and damage is found`, async () => {
        const archives = join(folder, suffix);
        const content = await damaged(async () => {}, true);
        await mkdir(archives);
        const flags = suffix === 'tar' ? '-cf' : '-czf';
        const pack = async () => {
          execFileSync('tar', [
            '--format=ustar',
            flags,
            join(archives, `base.${suffix}`),
            '-C',
            content,
            '--exclude',
            './backup_manifest',
            '--exclude',
            './pg_wal',
            '.',
          ]);
          execFileSync('tar', [
            '--format=ustar',
            flags,
            join(archives, `pg_wal.${suffix}`),
            '-C',
            join(content, 'pg_wal'),
            '.',
          ]);
        };
        await pack();
        await rename(join(content, 'backup_manifest'), join(archives, 'backup_manifest'));
        assert.deepEqual(await verifyBackup(archives), { ok: true, problems: [] });

        await writeFile(join(archives, 'notes.txt'), '');
        await writeFile(join(content, 'base/extra'), '');
        await flip(join(content, 'pg_hba.conf'), 100);
        await appendFile(join(content, 'pg_ident.conf'), '#');
        await rm(join(content, 'PG_VERSION_COPY'));
        await pack();
        const { problems } = await verifyBackup(archives);
        assert.deepEqual(problems.map(({ path }) => path).sort(), [
          'PG_VERSION_COPY',
          'base/extra',
          'notes.txt',
          'pg_hba.conf',
          'pg_ident.conf',
        ]);

        await truncate(join(archives, `base.${suffix}`), 200_000);
        const cut = await verifyBackup(archives, { exitOnError: true, ignore: ['notes.txt'] });
        assert.equal(cut.ok, false);
        assert.equal(cut.problems[0]?.path, `base.${suffix}`);
      });
    }
  });

  test('an abort rejects with its reason', async () => {
    const abort = new AbortController();
    const reason = new Error('enough');
    const verified = verifyBackup(backup.directory, { signal: abort.signal, onProgress: () => abort.abort(reason) });
    await assert.rejects(verified, reason);
  });
});
