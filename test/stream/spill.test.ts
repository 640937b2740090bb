import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { SpillError } from '../../src/errors.js';
import type { PackedBatch } from '../../src/pgoutput/packed-batch.js';
import { SpillDirectory } from '../../src/stream/spill-directory.js';
import { SpillFile } from '../../src/stream/spill-file.js';
import { largestToSpill } from '../../src/stream/spill-policy.js';
import fc from '../support/properties.js';

const OWNER = { systemIdentifier: '7423', slot: 'orders' };

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'spill-test-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Of a process that has ended. */
async function pidOfNobody(): Promise<number> {
  const child = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
  await once(child, 'exit');
  return child.pid as number;
}

async function readAll(file: SpillFile): Promise<PackedBatch[]> {
  const stretches: PackedBatch[] = [];
  for await (const { index, data } of file.read()) stretches.push({ index: index.slice(), data: data.slice() });
  return stretches;
}

function stretch(words: number[], bytes: number[]): PackedBatch {
  return { index: Uint32Array.from(words), data: Uint8Array.from(bytes) };
}

describe('spill file', () => {
  test('gives back what was written, in order', async (t) => {
    const path = await folder(t);
    const stretches = fc.array(
      fc.record(
        { index: fc.uint32Array({ maxLength: 40 }), data: fc.uint8Array({ maxLength: 300 }) },
        { noNullPrototype: true },
      ),
      { maxLength: 6 },
    );
    let files = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(stretches, { maxLength: 5 }), async (appends) => {
        const file = new SpillFile(join(path, `${files++}`));
        for (const append of appends) await file.append(append);
        assert.deepEqual(await readAll(file), appends.flat());
        await file.remove();
      }),
      { numRuns: 50 },
    );
  });

  test('more stretches than one writev() takes', async (t) => {
    const file = new SpillFile(join(await folder(t), 'many'));
    const many = Array.from({ length: 1500 }, (_, at) => stretch([at, 1], [at & 255]));
    await file.append(many);
    assert.deepEqual(await readAll(file), many);
  });

  test('is for its owner only', async (t) => {
    const file = new SpillFile(join(await folder(t), 'own'));
    await file.append([stretch([1], [2])]);
    assert.equal((await stat(file.path)).mode & 0o777, 0o600);
  });

  for (const [what, change] of [
    ['a flipped bit', (bytes: Buffer) => bytes.writeUInt8(bytes[9] ^ 1, 9)],
    ['a missing end', (bytes: Buffer) => bytes.subarray(0, bytes.length - 1)],
  ] as const) {
    test(`${what} is a SpillError, not other rows`, async (t) => {
      const file = new SpillFile(join(await folder(t), 'damaged'));
      await file.append([stretch([1, 2, 3], [4, 5, 6])]);
      const bytes = await readFile(file.path);
      const changed = change(bytes);
      await writeFile(file.path, typeof changed === 'number' ? bytes : changed);
      await assert.rejects(readAll(file), (error) => error instanceof SpillError && error.path === file.path);
    });
  }

  test('follows no link that waits in its place', async (t) => {
    const path = await folder(t);
    await writeFile(join(path, 'target'), 'precious');
    await symlink(join(path, 'target'), join(path, 'file'));
    const file = new SpillFile(join(path, 'file'));
    await assert.rejects(file.append([stretch([1], [1])]), SpillError);
    assert.equal(await readFile(join(path, 'target'), 'utf8'), 'precious');
  });

  test('a full disk is a SpillError with the errno', { skip: process.platform !== 'linux' }, async (t) => {
    const file = new SpillFile(join(await folder(t), 'full'));
    await file.append([stretch([1], [1])]);
    await rm(file.path);
    await symlink('/dev/full', file.path);
    await assert.rejects(file.append([stretch([2], [2])]), (error) => {
      const { cause } = error as SpillError & { cause: NodeJS.ErrnoException };
      return error instanceof SpillError && error.message.includes('ENOSPC') && cause.code === 'ENOSPC';
    });
  });
});

describe('spill directory', () => {
  test('is made with the first file, for its owner only, and removed at the end', async (t) => {
    const parent = join(await folder(t), 'spill');
    const directory = new SpillDirectory(parent, OWNER);
    await directory.clear();
    await assert.rejects(stat(parent));
    const first = await directory.newFile();
    const second = await directory.newFile();
    assert.notEqual(first.path, second.path);
    await first.append([stretch([1], [1])]);
    for (const path of [parent, directory.path, dirname(first.path)]) {
      assert.equal((await stat(path)).mode & 0o777, 0o700);
    }
    await directory.close();
    assert.deepEqual(await readdir(parent), []);
  });

  test('what a crashed process left of the slot goes, and of no other', async (t) => {
    const parent = await folder(t);
    const other = new SpillDirectory(parent, { ...OWNER, slot: 'others' });
    await (await other.newFile()).append([stretch([1], [1])]);
    const next = new SpillDirectory(parent, OWNER);
    // In a container it may have had our number.
    const ours = join(next.path, `${process.pid}-older`);
    for (const left of [join(next.path, `${await pidOfNobody()}-crashed`), ours]) {
      await mkdir(left, { recursive: true });
      await writeFile(join(left, '0.spill'), 'left over');
    }
    await next.clear();
    await assert.rejects(stat(next.path));
    await stat(other.path);
    await (await next.newFile()).append([stretch([1], [1])]);
  });

  test("of two streams of one slot neither takes what is the other one's", async (t) => {
    const parent = await folder(t);
    const first = new SpillDirectory(parent, OWNER);
    const kept = await first.newFile();
    await kept.append([stretch([1], [2])]);
    const second = new SpillDirectory(parent, OWNER);
    await second.clear();
    const own = await second.newFile();
    await own.append([stretch([3], [4])]);
    assert.notEqual(own.path, kept.path);
    await first.close();
    assert.deepEqual(await readAll(own), [stretch([3], [4])]);
    await second.close();
    assert.deepEqual(await readdir(parent), []);
  });

  test('what another process that runs has is left alone', async (t) => {
    const directory = new SpillDirectory(await folder(t), OWNER);
    const path = join(directory.path, `${process.ppid}-running`);
    await mkdir(path, { recursive: true });
    await directory.clear();
    await stat(path);
  });

  test('streams that end take no folder away from those that begin', async (t) => {
    const parent = await folder(t);
    const turn = async () => {
      for (let round = 0; round < 20; round++) {
        const directory = new SpillDirectory(parent, OWNER);
        await directory.clear();
        const file = await directory.newFile();
        await file.append([stretch([round], [1])]);
        assert.deepEqual(await readAll(file), [stretch([round], [1])]);
        await directory.close();
      }
    };
    await Promise.all([turn(), turn(), turn()]);
    assert.deepEqual(await readdir(parent), []);
  });

  test("a link in place of the slot's folder is refused", async (t) => {
    const path = await folder(t);
    const directory = new SpillDirectory(path, OWNER);
    await mkdir(join(path, 'elsewhere'));
    await symlink(join(path, 'elsewhere'), directory.path);
    await assert.rejects(directory.clear(), SpillError);
    await assert.rejects(directory.newFile(), SpillError);
  });

  test('a link in place of the folder is refused', async (t) => {
    const path = await folder(t);
    await mkdir(join(path, 'elsewhere'));
    await symlink(join(path, 'elsewhere'), join(path, 'spill'));
    const directory = new SpillDirectory(join(path, 'spill'), OWNER);
    await assert.rejects(directory.newFile(), (error) => {
      return error instanceof SpillError && error.message.includes('spill.directory');
    });
  });

  test('a file in place of the folder is a SpillError', async (t) => {
    const path = await folder(t);
    await writeFile(join(path, 'spill'), '');
    await assert.rejects(new SpillDirectory(join(path, 'spill'), OWNER).newFile(), SpillError);
  });
});

describe('spill policy', () => {
  test('the fewest and largest, until the rest fits', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1000), { maxLength: 20 }), fc.nat(5000), (sizes, limit) => {
        const chosen = largestToSpill(sizes, limit);
        const kept = sizes.filter((_, position) => !chosen.includes(position));
        const total = (some: number[]) => some.reduce((sum, size) => sum + size, 0);
        assert.ok(total(kept) <= limit);
        for (const position of chosen) for (const size of kept) assert.ok(sizes[position] >= size);
        const last = chosen.at(-1);
        if (last !== undefined) assert.ok(total(kept) + sizes[last] > limit);
      }),
    );
  });
});
