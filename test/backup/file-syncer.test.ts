import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { FileSyncer } from '../../src/backup/file-syncer.js';
import { BackupError } from '../../src/errors.js';
import { temporaryFolder } from './copied-backup.js';

/** More than may wait. */
const MANY = 1500;

suite('files that are to survive a crash', () => {
  test('there is room at once for a few, and after a while when many wait', async (t) => {
    const folder = await temporaryFolder(t);
    const path = join(folder, 'file');
    await writeFile(path, 'x');
    const syncer = new FileSyncer();
    await syncer.done();
    for (let round = 0; round < 2; round++) {
      syncer.add(Buffer.from(folder), folder, 'directory');
      assert.equal(syncer.room(), undefined);
      for (let n = 0; n < MANY; n++) syncer.add(path, path, 'file');
      const room = syncer.room();
      assert.ok(room !== undefined);
      await room;
      assert.equal(syncer.room(), undefined);
    }
    await syncer.done();
  });

  test('a file that its owner may only read, such as server.key; root may write to any', async (t) => {
    const path = join(await temporaryFolder(t), 'server.key');
    await writeFile(path, 'x', { mode: 0o400 });
    const syncer = new FileSyncer();
    syncer.add(path, path, 'file');
    await syncer.done();
  });

  test('the first that cannot be made safe is named, to whoever waits', async (t) => {
    const folder = await temporaryFolder(t);
    const missing = join(folder, 'missing');
    const isMissing = (error: unknown) => {
      return (
        error instanceof BackupError && error.path === 'shown' && /^cannot sync shown: ENOENT$/.test(error.message)
      );
    };
    const syncer = new FileSyncer();
    for (let n = 0; n < MANY; n++) syncer.add(folder, folder, 'directory');
    syncer.add(Buffer.from(missing), 'shown', 'file');
    await syncer.room();
    await assert.rejects(syncer.done(), isMissing);
    syncer.add(missing, 'another', 'file');
    await assert.rejects(syncer.done(), isMissing);

    const early = new FileSyncer();
    early.add(missing, 'shown', 'file');
    for (let n = 0; n < MANY; n++) early.add(folder, folder, 'directory');
    await assert.rejects(early.room() ?? Promise.resolve(), isMissing);
  });
});
