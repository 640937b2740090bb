import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { SlotError } from '../../src/errors.js';
import { type Fault, savepoint } from '../../src/testing/index.js';
import { eventsOf, insertsOf, ordersTape, sender, streamFrom } from './events.js';

const retry = { maxAttempts: 20, minDelayMs: 5, maxDelayMs: 20 };
const livenessTimeoutMs = 300;
const EVERY_ID = [1, 2, 3, 4, 5, 6, 7, 8, 9];

/** Message 6 of 18 is in the second transaction. A fault that has happened leaves its place to the next. */
const faults: Record<string, Fault[]> = {
  'cut in the middle of a message': [{ kind: 'cut', at: { message: 6 } }],
  'cut between two messages': [{ kind: 'cut', at: { message: 6, byte: 'end' } }],
  'cut again and again': [3, 4, 5].map((message) => ({ kind: 'cut', at: { message } }) as const),
  'stalled in the middle of a transaction': [{ kind: 'stall', at: { message: 6 } }],
};

suite('a stream that goes on by itself', () => {
  for (const [what, ordered] of Object.entries(faults)) {
    test(`${what}: nothing is lost, nothing comes twice`, async () => {
      const { tape } = ordersTape(2, 3, 1, 3);
      await using from = await sender(tape, { faults: ordered });
      const { ids, error } = await insertsOf(from, { stopLsn: tape.endLsn, retry, livenessTimeoutMs });
      assert.equal(error, undefined);
      assert.deepEqual(ids, EVERY_ID);
      assert.equal(from.slot('shop')?.confirmedFlushLsn, tape.endLsn);
    });
  }

  test('cut at every message', async () => {
    const { tape } = ordersTape(2, 3, 1, 3);
    await using from = await sender(tape);
    for (let message = 0; message < 18; message++) {
      from.order({ kind: 'cut', at: { message } });
      const { ids, error } = await insertsOf(from, { stopLsn: tape.endLsn, ack: 'manual', retry });
      assert.equal(error, undefined);
      assert.deepEqual(ids, EVERY_ID, `message ${message}`);
    }
  });

  test('a server that was restarted: refused for a while, by its own words', async () => {
    const { tape, insert } = ordersTape(1);
    await using from = await sender(tape);
    await using stream = streamFrom(from, { retry });
    const ids: number[] = [];
    for await (const event of stream) {
      if (event.kind === 'insert') ids.push(Number(event.new.id));
      if (event.kind !== 'commit') continue;
      if (ids.length === 3) break;
      from.order({ kind: 'refuse', times: 2, sqlState: '57P03' });
      from.cutConnections();
      tape.transaction([insert()]);
    }
    assert.deepEqual(ids, [1, 2, 3]);
  });

  test('a half-open connection: in use until the server notices', async () => {
    const { tape } = ordersTape(2, 3, 1, 3);
    await using from = await sender(tape, { faults: [{ kind: 'freeze', at: { message: 6 } }] });
    const notice = setTimeout(() => from.cutConnections(), livenessTimeoutMs + 300);
    const { ids, error } = await insertsOf(from, {
      stopLsn: tape.endLsn,
      retry: { ...retry, maxAttempts: 200 },
      livenessTimeoutMs,
    });
    clearTimeout(notice);
    assert.equal(error, undefined);
    assert.deepEqual(ids, EVERY_ID);
  });

  test('another cluster under the same address is no place to go on', async () => {
    const { tape } = ordersTape(1);
    const first = await sender(tape, { systemId: '1' });
    const stream = streamFrom(first, { retry: { ...retry, maxAttempts: 200 } });
    await stream.start();
    const { port } = first;
    await first.close();
    await using _second = await sender(tape, { systemId: '2', port });
    await assert.rejects(
      async () => {
        for await (const _event of stream);
      },
      (error: unknown) => error instanceof SlotError && /system identifier/.test(error.message),
    );
    await stream.stop();
  });
});

suite('transactions in progress and prepared ones', () => {
  const large = { large: true } as const;

  function fixture() {
    const { tape, orders, insert } = ordersTape(1);
    tape.transaction([insert(), savepoint([insert()], 'rolledBack'), savepoint([insert()]), insert()], large);
    tape.rolledBack([insert()], large);
    tape.prepare('kept', [insert(), orders.delete({ id: 1 })], large);
    tape.prepare('dropped', [insert()]);
    tape.commitPrepared('kept');
    tape.rollbackPrepared('dropped');
    return tape;
  }

  test('whole transactions are the same, streamed or not', async () => {
    const tape = fixture();
    await using from = await sender(tape);
    const transactionsOf = async (streaming: 'off' | 'on' | 'parallel') => {
      const found: unknown[] = [];
      await using stream = streamFrom(from, { streaming, stopLsn: tape.endLsn, ack: 'manual' });
      for await (const transaction of stream.transactions()) {
        assert.equal(transaction.kind, 'transaction');
        if (transaction.kind !== 'transaction') continue;
        const ids: string[] = [];
        for await (const change of transaction.changes) {
          if (change.kind === 'insert') ids.push(`${change.ordinal}: ${change.new.id}`);
        }
        found.push({ xid: transaction.xid, ids });
      }
      return found;
    };
    const plain = await transactionsOf('off');
    assert.equal(plain.length, 3);
    assert.deepEqual(await transactionsOf('on'), plain);
    assert.deepEqual(await transactionsOf('parallel'), plain);
  });

  test('two-phase', async () => {
    const tape = fixture();
    await using from = await sender(tape, { slots: [{ name: 'shop', twoPhase: true }] });
    const events = await eventsOf(from, { twoPhase: true, stopLsn: tape.endLsn });
    const kinds = events.map((text) => JSON.parse(text).kind);
    assert.deepEqual(
      kinds.filter((kind) => /prepare/i.test(kind)),
      ['beginPrepare', 'prepare', 'beginPrepare', 'prepare', 'commitPrepared', 'rollbackPrepared'],
    );
  });
});
