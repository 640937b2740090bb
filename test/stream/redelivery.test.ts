import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import {
  type AcknowledgeableEvent,
  ProtocolError,
  type WalBatch,
  type WalEvent,
  type WalStream,
} from '../../src/index.js';
import type { FakeWalSender } from '../../src/testing/index.js';
import { ordersTape, sender, streamFrom } from '../testing/events.js';
import { until } from './source.js';

const RETRY = { minDelayMs: 1, maxDelayMs: 20, redeliver: true };

/** `3!`: insert of id 3, delivered before. */
function textOf(event: WalEvent): string {
  const text = event.kind === 'insert' ? String(event.new.id) : event.kind;
  return `${text}${event.redelivered ? '!' : ''}`;
}

async function lose(from: FakeWalSender, stream: WalStream): Promise<void> {
  const { reconnects } = stream.stats();
  from.cutConnections();
  await until(() => stream.stats().reconnects > reconnects, 'the connection is back');
}

/** The next events, descriptions left out. */
async function take(stream: WalStream, count: number): Promise<WalEvent[]> {
  const events: WalEvent[] = [];
  while (events.length < count) {
    const event = await stream.nextEvent({ timeoutMs: 20_000 });
    assert.ok(event, 'there is one');
    if (event.kind !== 'relation') events.push(event);
  }
  return events;
}

suite('redelivery, event by event', () => {
  test('manual: what is not acknowledged, also between what is, and a transaction half-way from its beginning', async () => {
    const { tape } = ordersTape(1, 2, 1, 3, 1);
    await using from = await sender(tape);
    await using stream = streamFrom(from, { ack: 'manual', retry: RETRY });
    const first = await take(stream, 3 + 4 + 3 + 2);
    const commits = first.filter((event) => event.kind === 'commit');
    assert.deepEqual(first.slice(-2).map(textOf), ['begin', '5']);
    stream.ack(commits[1] as AcknowledgeableEvent);
    await lose(from, stream);
    const again = await take(stream, 3 + 3 + 5 + 3);
    assert.deepEqual(again.map(textOf), [
      'begin!',
      '1!',
      'commit!',
      'begin!',
      '4!',
      'commit!',
      'begin!',
      '5!',
      '6',
      '7',
      'commit',
      'begin',
      '8',
      'commit',
    ]);
    // Either delivery of a unit acknowledges it.
    stream.ack(commits[0] as AcknowledgeableEvent);
    stream.ack(again[5] as AcknowledgeableEvent);
    stream.ack(again[10] as AcknowledgeableEvent);
    const { commitEndLsn } = again[10] as Extract<WalEvent, { kind: 'commit' }>;
    await from.slot('shop')?.confirmed(commitEndLsn);
    await lose(from, stream);
    assert.deepEqual((await take(stream, 3)).map(textOf), ['begin!', '8!', 'commit!']);
    assert.equal(stream.stats().unitsReceived, 5);
  });

  test('lost again while it comes again: the mark does not go back', async () => {
    const { tape } = ordersTape(1, 3);
    await using from = await sender(tape);
    await using stream = streamFrom(from, { ack: 'manual', retry: RETRY });
    await take(stream, 3 + 3);
    await lose(from, stream);
    assert.deepEqual((await take(stream, 2)).map(textOf), ['begin!', '1!']);
    await lose(from, stream);
    assert.deepEqual((await take(stream, 4)).map(textOf), ['begin!', '1!', 'commit!', 'begin!']);
    await lose(from, stream);
    assert.deepEqual((await take(stream, 8)).map(textOf), [
      'begin!',
      '1!',
      'commit!',
      'begin!',
      '2!',
      '3!',
      '4',
      'commit',
    ]);
  });

  test('auto: only what was delivered half-way', async () => {
    const { tape } = ordersTape(1, 1, 3);
    await using from = await sender(tape);
    await using stream = streamFrom(from, { retry: RETRY });
    const whole = await take(stream, 3 + 3);
    assert.equal(whole.at(-1)?.kind, 'commit');
    // The consumer is at the second transaction's end: it is done with that as soon as it comes back.
    await lose(from, stream);
    assert.deepEqual((await take(stream, 2)).map(textOf), ['begin', '3']);
    await lose(from, stream);
    assert.deepEqual((await take(stream, 5)).map(textOf), ['begin!', '3!', '4', '5', 'commit']);
  });

  test('an acknowledgement while the connection is away counts', async () => {
    const { tape } = ordersTape(1, 1);
    await using from = await sender(tape);
    await using stream = streamFrom(from, { ack: 'manual', retry: RETRY });
    const events = await take(stream, 6);
    from.order({ kind: 'refuse', times: 50 });
    from.cutConnections();
    await until(() => !stream.stats().connected, 'the loss is noticed');
    stream.ack(events[2] as AcknowledgeableEvent);
    assert.deepEqual((await take(stream, 3)).map(textOf), ['begin!', '2!', 'commit!']);
  });

  test('the default: nothing comes twice, and nothing is marked', async () => {
    const { tape } = ordersTape(1, 3);
    await using from = await sender(tape);
    await using stream = streamFrom(from, { ack: 'manual', retry: { minDelayMs: 1, maxDelayMs: 20 } });
    await take(stream, 5);
    await lose(from, stream);
    assert.deepEqual((await take(stream, 3)).map(textOf), ['3', '4', 'commit']);
  });

  test('what was delivered and does not come again is an error, never silence', async () => {
    const { tape } = ordersTape(1, 2);
    const { tape: other } = ordersTape(2, 2);
    let served = tape;
    const wal = { startLsn: tape.startLsn, endLsn: other.endLsn, steps: tape.steps };
    await using from = await sender({ ...wal, steps: (request, signal) => served.steps(request, signal) });
    await using stream = streamFrom(from, { ack: 'manual', retry: RETRY });
    await take(stream, 4);
    served = other;
    await assert.rejects(
      async () => {
        from.cutConnections();
        await take(stream, 100);
      },
      (error: unknown) => error instanceof ProtocolError && /does not come again/.test(error.message),
    );
  });
});

suite('redelivery in batches and transactions', () => {
  test('a batch is delivered again or for the first time, never both', async () => {
    const { tape } = ordersTape(2, 2);
    await using from = await sender(tape);
    await using stream = streamFrom(from, { ack: 'manual', retry: RETRY });
    const texts: string[] = [];
    let lost = false;
    for await (const batch of stream.batches() as AsyncIterable<WalBatch>) {
      for (const event of batch) {
        if (event.kind !== 'relation') texts.push(textOf(event));
        assert.equal(event.redelivered, batch.redelivered);
      }
      if (texts.at(-1) === 'commit' && texts.includes('5')) break;
      if (!lost && texts.filter((text) => text === 'commit').length === 2) {
        lost = true;
        tape.transaction([tape.relation({ table: 'more', columns: { id: 'int8' }, key: ['id'] }).insert({ id: 5 })]);
        await lose(from, stream);
      }
    }
    const once = ['begin', '1', '2', 'commit', 'begin', '3', '4', 'commit'];
    assert.deepEqual(texts, [...once, ...once.map((text) => `${text}!`), 'begin', '5', 'commit']);
  });

  test('transactions that are spilled come again, and go from disk when they are acknowledged', async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'pgw-spill-'));
    t.after(() => rm(directory, { recursive: true, force: true }));
    const files = async () =>
      (await readdir(directory, { recursive: true })).filter((name) => name.endsWith('.spill')).length;
    const { tape, orders, insert } = ordersTape();
    const note = 'n'.repeat(500);
    const big = () => tape.transaction(Array.from({ length: 3000 }, (_, id) => orders.insert({ id, note })));
    big();
    big();
    await using from = await sender(tape);
    await using stream = streamFrom(from, { ack: 'manual', retry: RETRY, spill: { directory, memoryBytes: 65_536 } });
    const seen: [number, boolean, boolean][] = [];
    for await (const item of stream.transactions()) {
      assert.ok(item.kind === 'transaction');
      let count = 0;
      for await (const change of item.changes) {
        assert.equal(change.redelivered, item.redelivered);
        count++;
      }
      seen.push([count, item.changes.spilled, item.redelivered]);
      if (seen.length === 2) await lose(from, stream);
      if (seen.length === 4) {
        // What was delivered first can still be read.
        assert.equal(await files(), 4);
        stream.ack(item.commitEndLsn);
        tape.transaction([insert()]);
      }
      if (seen.length === 5) break;
    }
    await until(async () => (await files()) === 0, 'nothing is left on disk');
    assert.deepEqual(seen, [
      [3000, true, false],
      [3000, true, false],
      [3000, true, true],
      [3000, true, true],
      [1, false, false],
    ]);
  });
});
