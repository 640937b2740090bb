import assert from 'node:assert/strict';
import { mkdir, readdir, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { TargetDirectories } from '../../src/backup/target-directories.js';
import { ConfigurationError } from '../../src/errors.js';
import { temporaryFolder } from './copied-backup.js';

test('folders with a new one in them are known, and only what was made is removed', async (t) => {
  const root = await temporaryFolder(t);
  await mkdir(join(root, 'there'), { mode: 0o755 });
  const directories = new TargetDirectories();
  directories.claim(join(root, 'p/q/r'), 0o700, 'directory', true);
  directories.claim(join(root, 'p/ts/one'), 0o700, 'tablespaceMapping', true);
  directories.claim(join(root, 'there'), 0o700, 'tablespaceMapping', true);
  const parents = ['', 'p', 'p/q', 'p/ts'].map((path) => join(root, path));
  assert.deepEqual([...directories.parents].sort(), parents);
  assert.equal((await stat(join(root, 'there'))).mode & 0o777, 0o700);
  await directories.remove();
  assert.deepEqual(await readdir(root, { recursive: true }), ['there']);
  assert.equal((await stat(join(root, 'there'))).mode & 0o777, 0o755);
});

test('one in another is noticed by whatever way, and a name with dots is none', async (t) => {
  const root = await temporaryFolder(t);
  const directories = new TargetDirectories();
  directories.claim(join(root, 'data'), 0o700, 'directory', true);
  await symlink(join(root, 'data'), join(root, 'way'));
  for (const path of ['data', 'data/ts', 'data/..ts', 'way/ts', 'way']) {
    assert.throws(
      () => directories.claim(join(root, path), 0o700, 'tablespaceMapping', true),
      ConfigurationError,
      path,
    );
  }
  assert.deepEqual(await readdir(join(root, 'data')), []);
  directories.claim(join(root, '..ts'), 0o700, 'tablespaceMapping', true);
});
