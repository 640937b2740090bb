import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ordersTape, PATIENCE_MS, sender, streamFrom } from '../testing/events.js';
import { failure } from './source.js';

const execute = promisify(execFile);

const threads = () => process.getActiveResourcesInfo().filter((resource) => resource === 'MessagePort').length;

/** Nothing can be removed from a folder that is immutable; whether this user and this file system can have one. */
async function makeImmutable(folder: string, immutable: boolean): Promise<boolean> {
  return execute('chattr', ['-R', immutable ? '+i' : '-i', folder]).then(
    () => true,
    () => false,
  );
}

suite('the life of a stream', () => {
  test('a stream that is only made has no threads', async () => {
    const { tape } = ordersTape(1);
    await using from = await sender(tape);
    const before = threads();
    const stream = streamFrom(from, { workers: 4 });
    assert.equal(threads(), before);
    await stream.start();
    assert.ok(threads() > before);
    await stream.stop();
  });

  test('a process that preloads the package decodes in its threads', async () => {
    const [preload, consumer] = ['../../src/index.js', './preloaded-consumer.js'].map(
      (path) => new URL(path, import.meta.url),
    );
    const { stdout } = await execute(process.execPath, ['--import', String(preload), fileURLToPath(consumer as URL)]);
    assert.deepEqual(JSON.parse(stdout), { inserts: 20_000, byWorkers: true, workerRestarts: 0 });
  });

  for (const way of ['batches', 'readable'] as const) {
    test(`stop() does not wait for ${way}() that nobody has asked for anything`, { timeout: PATIENCE_MS }, async () => {
      const { tape } = ordersTape(1, 2);
      await using from = await sender(tape);
      await using stream = streamFrom(from, { ack: 'manual' });
      await stream.start();
      stream[way]();
      await stream.stop({ timeoutMs: 10 * PATIENCE_MS });
    });
  }

  test('an abort whose clean-up fails is the reason to the consumer, and no unhandled rejection', async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'stream-life-'));
    t.after(async () => {
      await makeImmutable(directory, false);
      await rm(directory, { recursive: true, force: true });
    });
    const { tape, orders } = ordersTape();
    tape.transaction(Array.from({ length: 20_000 }, (_, id) => orders.insert({ id, note: 'x'.repeat(100) })));
    tape.transaction([orders.insert({ id: 1, note: 'the next' })]);
    await using from = await sender(tape);
    const abort = new AbortController();
    const reason = new Error('enough');
    const stream = streamFrom(from, { signal: abort.signal, spill: { directory, memoryBytes: 65_536 } });
    const items = stream.transactions();
    await items.next();
    const [slotFolder] = await readdir(directory);
    assert.ok(slotFolder);
    if (!(await makeImmutable(join(directory, slotFolder), true))) return t.skip('nothing can be made immutable here');
    const unhandled: unknown[] = [];
    const onRejection = (rejected: unknown) => unhandled.push(rejected);
    process.on('unhandledRejection', onRejection);
    t.after(() => process.off('unhandledRejection', onRejection));
    abort.abort(reason);
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(await failure(items.next()), reason);
    assert.deepEqual(unhandled, []);
    assert.equal(stream.stats().connected, false);
  });
});
