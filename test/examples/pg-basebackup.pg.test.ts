import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chown, mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { verifyBackup } from '../../src/index.js';
import { needsMajor, sharedServer, sql } from '../support/server.js';
import { runExample } from './example.js';

async function folder(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'example-backup-'));
  t.after(() => rm(directory, { recursive: true }));
  return join(directory, 'backup');
}

suite('the base backup example', () => {
  const server = sharedServer();

  test('takes a backup, shows how far it is, and verifies it', async (t) => {
    const directory = await folder(t);
    await using run = runExample('pg-basebackup', server(), {
      env: { BACKUP_DIRECTORY: directory, BACKUP_LABEL: 'monday', BACKUP_SYNC: 'no' },
    });
    const { code, stdout, stderr } = await run.ended;
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^\d+ % of [\d.]+ MB, in base\.tar$/m);
    assert.match(stdout, /^\d+ files of [\d.]+ MB in [\d.]+ s; WAL from \S+ to \S+ on timeline 1$/m);
    assert.match(stdout, /^verified against the manifest while it arrived\ndone: .* is good\n$/m);
    assert.deepEqual(await verifyBackup(directory), { ok: true, problems: [] });
  });

  for (const [what, env, line] of [
    ['a format', { BACKUP_FORMAT: 'zip' }, /^BACKUP_FORMAT must be "plain" or "tar"\n$/],
    ['yes or no', { BACKUP_SYNC: 'maybe' }, /^BACKUP_SYNC is 'maybe': it has to be yes or no\n$/],
    ['a rate', { BACKUP_MAX_RATE_KB: 'fast' }, /^BACKUP_MAX_RATE_KB must be a whole number [^\n]+\n$/],
    ['a way for the WAL', { BACKUP_WAL_METHOD: 'x' }, /^BACKUP_WAL_METHOD must be "stream" [^\n]+\n$/],
    ['an algorithm', { BACKUP_MANIFEST_CHECKSUMS: 'MD5' }, /^BACKUP_MANIFEST_CHECKSUMS must be "NONE" [^\n]+\n$/],
    ['a mapping', { BACKUP_TABLESPACE_MAPPING: '/a' }, /^BACKUP_TABLESPACE_MAPPING is '\/a': [^\n]+\n$/],
    ['a slot to create', { BACKUP_CREATE_SLOT: 'yes' }, /^BACKUP_CREATE_SLOT needs --slot\n$/],
  ] as const) {
    test(`${what} that is none is one line, exit code 1, and nothing is written`, async (t) => {
      const directory = await folder(t);
      await using run = runExample('pg-basebackup', server(), { env: { BACKUP_DIRECTORY: directory, ...env } });
      const { code, stderr } = await run.ended;
      assert.equal(code, 1);
      assert.match(stderr, line);
      assert.equal(existsSync(directory), false);
    });
  }

  test('a flag that is wrong is named as it was given', async () => {
    const args = ['--wal-method', 'fetch', '--slot', 'some'];
    await using run = runExample('pg-basebackup', server(), { args });
    const { code, stderr } = await run.ended;
    assert.deepEqual([code, stderr], [1, "--slot needs --wal-method 'stream'\n"]);
  });

  test('a variable that is empty is as if it were not there', async (t) => {
    const directory = await folder(t);
    const env = {
      BACKUP_DIRECTORY: directory,
      BACKUP_FORMAT: '',
      BACKUP_SLOT: '',
      BACKUP_MAX_RATE_KB: '',
      BACKUP_SYNC: '',
    };
    await using run = runExample('pg-basebackup', server(), { env });
    const { code, stderr } = await run.ended;
    assert.deepEqual([code, stderr], [0, '']);
  });

  test('--help lists every option of the library', async () => {
    await using run = runExample('pg-basebackup', undefined, { args: ['--help'] });
    const { code, stdout } = await run.ended;
    assert.equal(code, 0);
    const source = await readFile(new URL('../../../src/backup/backup-options.ts', import.meta.url), 'utf8');
    const [, body = ''] = /^export interface BaseBackupOptions \{\n(.*?)^\}/ms.exec(source) ?? [];
    const options = Array.from(body.matchAll(/^ {2}readonly (\w+)\?:/gm), ([, name = '']) => name);
    const flags = Array.from(stdout.matchAll(/^ {2}--(\S+)/gm), ([, flag = '']) => flag);
    assert.deepEqual(
      options.map((name) => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)).sort(),
      [...flags.filter((flag) => !/^(create|no)-slot$/.test(flag)), 'connection', 'signal'].sort(),
    );
  });

  test('a slot is made, none is used, and a tablespace goes where it is mapped to', {
    skip: needsMajor(15, 'backup targets'),
  }, async (t) => {
    const directory = await folder(t);
    const [there, here] = [join(server().socketDirectory, 'there'), `${directory}-here`];
    await mkdir(there);
    const { uid, gid } = await stat(server().dataDirectory);
    await chown(there, uid, gid);
    await sql(server(), `CREATE TABLESPACE elsewhere LOCATION '${there}'`);
    t.after(() => sql(server(), 'DROP TABLESPACE elsewhere'));
    {
      await using run = runExample('pg-basebackup', server(), {
        args: ['--directory', directory, '--slot', 'standby', '--create-slot', 'yes'],
        env: { BACKUP_TABLESPACE_MAPPING: `${there}=${here}`, BACKUP_SYNC: 'no' },
      });
      const { code, stderr } = await run.ended;
      assert.deepEqual([code, stderr], [0, '']);
      assert.ok(existsSync(here));
      assert.equal((await sql(server(), `SELECT FROM pg_replication_slots WHERE slot_name = 'standby'`)).length, 1);
    }
    await sql(server(), `SELECT pg_drop_replication_slot('standby')`);
    await using run = runExample('pg-basebackup', server(), {
      args: ['--target', 'blackhole', '--no-slot', 'yes', '--verify-checksums', 'no', '--idle-timeout-ms', '30000'],
    });
    const { code, stdout } = await run.ended;
    assert.equal(code, 0);
    assert.match(stdout, /^done: it went to blackhole$/m);
  });

  for (const [env, what, left] of [
    [{}, 'removes what was written', 'what was written is removed'],
    [{ BACKUP_KEEP_ON_ERROR: 'yes' }, 'leaves it where that is asked for', 'what was written stays, and is no backup'],
  ] as const) {
    test(`Ctrl+C ${what}`, async (t) => {
      const directory = await folder(t);
      await using run = runExample('pg-basebackup', server(), {
        env: { BACKUP_DIRECTORY: directory, BACKUP_MAX_RATE_KB: '2048', ...env },
      });
      while (!existsSync(directory) || (await readdir(directory)).length === 0) {
        assert.equal(run.child.exitCode, null, 'it is still running');
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      run.child.kill('SIGINT');
      const { code, stderr } = await run.ended;
      assert.deepEqual([code, stderr], [1, `interrupted: ${left}\n`]);
      assert.equal(existsSync(directory), 'BACKUP_KEEP_ON_ERROR' in env);
    });
  }
});
