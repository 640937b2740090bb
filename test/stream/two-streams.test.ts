import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import type { TransactionItem } from '../../src/index.js';
import type { WalTape } from '../../src/testing/index.js';
import { ordersTape, sender, streamFrom } from '../testing/events.js';
import { failure, until } from './source.js';

/** Far more than a batch: part of a transaction is there before its end. */
const ROWS = 20_000;

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'two-streams-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** One transaction that is too large for memory, twice. */
function largeTape(): WalTape {
  const { tape, orders } = ordersTape();
  for (let transaction = 0; transaction < 2; transaction++) {
    tape.transaction(Array.from({ length: ROWS }, (_, id) => orders.insert({ id, note: 'x'.repeat(100) })));
  }
  return tape;
}

async function rowCount(item: TransactionItem): Promise<number> {
  assert.ok(item.kind === 'transaction');
  assert.ok(item.changes.spilled);
  let count = 0;
  for await (const _ of item.changes) count++;
  return count;
}

suite('two streams of one slot, of two servers that bear the same identifier', () => {
  test('what one has on disk the other leaves alone, at its start and at its end', async (t) => {
    const directory = await folder(t);
    const spill = { directory, memoryBytes: 65_536 };
    const tape = largeTape();
    await using primary = await sender(tape);
    await using standby = await sender(tape);
    await using slow = streamFrom(primary, { spill });
    await using quick = streamFrom(standby, { spill, stopLsn: tape.endLsn });
    const slowItems = slow.transactions();
    const first = await slowItems.next();
    assert.ok(!first.done);
    const counts: number[] = [];
    for await (const item of quick.transactions()) counts.push(await rowCount(item));
    assert.deepEqual(counts, [ROWS, ROWS]);
    assert.equal(await rowCount(first.value), ROWS);
    const second = await slowItems.next();
    assert.ok(!second.done);
    assert.equal(await rowCount(second.value), ROWS);
    await slow.stop({ drain: 'none' });
    assert.deepEqual(await readdir(directory), []);
  });

  for (const way of ['for await', 'transactions()'] as const) {
    test(`what a crashed process left goes when an idle stream starts: ${way}`, async (t) => {
      const directory = await folder(t);
      const spill = { directory, memoryBytes: 65_536 };
      const tape = largeTape();
      await using from = await sender(tape);
      // Where it would lie.
      const before = streamFrom(from, { spill, ack: 'manual' });
      await before.transactions().next();
      const [slotFolder] = await readdir(directory);
      assert.ok(slotFolder);
      await before.stop({ drain: 'none' });
      const left = join(directory, slotFolder, '2147483647-crashed', '0.spill');
      await mkdir(dirname(left), { recursive: true });
      await writeFile(left, 'left over');
      await using idle = streamFrom(from, { spill, startLsn: tape.endLsn });
      const consumed = way === 'for await' ? idle[Symbol.asyncIterator]() : idle.transactions();
      const waiting = consumed.next();
      await until(async () => (await readdir(directory)).length === 0, 'nothing is left');
      await idle.stop({ drain: 'none' });
      await waiting;
    });
  }

  test('a folder that cannot be used is a warning at the start, and an error only to who needs it', async (t) => {
    const directory = join(await folder(t), 'file');
    await writeFile(directory, '');
    const tape = largeTape();
    await using from = await sender(tape);
    const options = { spill: { directory, memoryBytes: 65_536 }, ack: 'manual', stopLsn: tape.endLsn } as const;
    await using events = streamFrom(from, options);
    let inserts = 0;
    for await (const event of events) if (event.kind === 'insert') inserts++;
    assert.equal(inserts, 2 * ROWS);
    assert.match(events.warnings.join('\n'), /is no folder of this user: name another as spill\.directory/);
    await using whole = streamFrom(from, options);
    const error = await failure(whole.transactions().next());
    assert.equal((error as { code?: string }).code, 'ERR_SPILL');
  });
});

test('what one stream gave acknowledges nothing in another', async () => {
  const { tape } = ordersTape(1, 1, 1);
  await using from = await sender(tape);
  const options = { ack: 'manual', feedbackIntervalMs: 20 } as const;
  const first = streamFrom(from, options);
  const { value: transaction } = await first.transactions().next();
  assert.ok(transaction?.kind === 'transaction');
  await first.stop({ drain: 'none' });
  await using second = streamFrom(from, options);
  const items = second.transactions();
  const { value: again } = await items.next();
  assert.ok(again?.kind === 'transaction');
  assert.equal(again.commitEndLsn, transaction.commitEndLsn);
  second.ack(transaction);
  assert.equal(second.stats().unitsUnacknowledged, second.stats().unitsReceived);
  second.ack(again);
  assert.equal(second.stats().unitsUnacknowledged, second.stats().unitsReceived - 1);
});
