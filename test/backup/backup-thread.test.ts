import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import type { BackupLayout } from '../../src/backup/backup-layout.js';
import { BackupThread } from '../../src/backup/backup-thread.js';
import { SlabPool } from '../../src/connection/slab.js';
import { BackupError } from '../../src/errors.js';
import { TAR_END, tarMember } from '../../src/testing/tar-archive.js';

const NO_POSITIONS = { startLsn: 0n, startTimeline: 1, endLsn: 0n, endTimeline: 1 };

class Handler {
  readonly pressure: boolean[] = [];
  readonly failures: Error[] = [];
  #failed: (() => void) | undefined;
  readonly failure = new Promise<void>((resolve) => {
    this.#failed = resolve;
  });

  onPressure(high: boolean): void {
    this.pressure.push(high);
  }
  onFailure(error: Error): void {
    this.failures.push(error);
    this.#failed?.();
  }
}

async function start(t: TestContext, change: Partial<BackupLayout> = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'backup-'));
  const layout: BackupLayout = {
    directory,
    parents: [],
    format: 'plain',
    archives: [{ name: 'base.tar', oid: undefined, linkedFrom: undefined, directory }],
    hasTrailer: true,
    groupAccess: false,
    manifestAlgorithm: 'NONE',
    generatedManifest: 2,
    compression: undefined,
    systemIdentifier: 1n,
    walSegmentBytes: undefined,
    walFolders: [],
    recoveryLines: undefined,
    sync: false,
    ...change,
  };
  const handler = new Handler();
  const thread = new BackupThread(layout, handler);
  t.after(async () => {
    await thread.end();
    await rm(directory, { recursive: true });
  });
  return { thread, handler, directory };
}

suite('the thread of a backup', () => {
  test('slabs that are used again while the disk is behind keep their bytes', async (t) => {
    const { thread, handler, directory } = await start(t);
    const pool = new SlabPool();
    const content = Buffer.alloc(40 * 1024 * 1024);
    for (let at = 0; at < content.length; at += 4) content.writeUInt32LE(at, at);
    const archive = Buffer.concat([tarMember({ name: 'large', content }), TAR_END]);
    thread.beginArchive(0);
    for (let at = 0; at < archive.length; ) {
      const slab = pool.acquire();
      const count = archive.copy(slab.bytes, 0, at, at + slab.bytes.length);
      for (let start = 0; start < count; start += 32_768) thread.push(slab, start, Math.min(start + 32_768, count));
      thread.flush();
      slab.release();
      at += count;
    }
    const { fileCount, byteCount, verified } = await thread.finish(NO_POSITIONS, true);
    assert.deepEqual([fileCount, byteCount, verified], [1, content.length, false]);
    assert.ok(content.equals(await readFile(join(directory, 'large'))));
    assert.deepEqual(handler.pressure, [true, false]);
    assert.deepEqual(handler.failures, []);
  });

  test('an error of the file system has its code and path', async (t) => {
    const { thread, handler, directory } = await start(t);
    const slab = new SlabPool().acquire();
    const member = tarMember({ name: 'nowhere/file', content: 'x' });
    member.copy(slab.bytes);
    thread.beginArchive(0);
    thread.push(slab, 0, member.length);
    thread.flush();
    await handler.failure;
    const [error] = handler.failures;
    assert.ok(error instanceof BackupError);
    assert.equal(error.path, join(directory, 'nowhere/file'));
    assert.equal((error.cause as NodeJS.ErrnoException).code, 'ENOENT');
  });

  test('folders in which others were made survive a crash before the manifest gets its name', async (t) => {
    const finish = async (change: Partial<BackupLayout>) => {
      const { thread, handler, directory } = await start(t, change);
      thread.beginArchive(0);
      const slab = new SlabPool().acquire();
      TAR_END.copy(slab.bytes);
      thread.push(slab, 0, TAR_END.length);
      const finished = thread.finish(NO_POSITIONS, true).then(() => undefined);
      const error = await Promise.race([finished, handler.failure.then(() => handler.failures[0])]);
      return { error, names: await readdir(directory) };
    };
    const synced = await finish({ sync: true, parents: [tmpdir()] });
    assert.deepEqual([synced.error, synced.names], [undefined, ['backup_manifest']]);
    const failed = await finish({ sync: true, parents: [tmpdir(), '/nowhere/at/all'] });
    assert.match(String(failed.error), /cannot sync \/nowhere\/at\/all: ENOENT/);
    assert.deepEqual(failed.names, ['backup_manifest.tmp']);
  });

  test('one that throws is a failure, once', async (t) => {
    const { handler } = await start(t, { archives: null as never });
    await handler.failure;
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(handler.failures.length, 1);
    assert.ok(handler.failures[0] instanceof BackupError);
  });

  test('one that is ended says nothing', async (t) => {
    const { thread, handler } = await start(t);
    await thread.end();
    assert.deepEqual(handler.failures, []);
  });
});
