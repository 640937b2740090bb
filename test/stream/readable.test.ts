import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { suite, test } from 'node:test';
import {
  ConfigurationError,
  ProtocolError,
  type TransactionItem,
  type WalBatch,
  type WalEvent,
} from '../../src/index.js';
import { ordersTape, sender, streamFrom } from '../testing/events.js';

suite('readable()', () => {
  test('the combinators of a Readable, acknowledged at the end of the chain, which closes the stream', async () => {
    const { tape, transactions } = ordersTape(1, 2, 3, 4);
    await using from = await sender(tape);
    await using stream = streamFrom(from, { ack: 'manual' });
    const large = stream
      .readable('transactions')
      .filter((item: TransactionItem) => item.kind === 'transaction' && [...item.changes].length > 1)
      .take(2);
    const lsns: bigint[] = [];
    for await (const item of large) {
      stream.ack(item);
      lsns.push(item.commitEndLsn);
    }
    assert.deepEqual(
      lsns,
      transactions.slice(1, 3).map(({ commitEndLsn }) => commitEndLsn),
    );
    await stream.stop();
    // The first was dropped by the filter and not acknowledged, so nothing is confirmed.
    assert.equal(stream.stats().unitsUnacknowledged, stream.stats().unitsReceived);
  });

  test('a pipeline of events to the end of the stream, no faster than its slowest part', async () => {
    const { tape, transactions } = ordersTape(20, 20);
    await using from = await sender(tape);
    await using stream = streamFrom(from, { ack: 'manual', stopLsn: transactions[1]?.commitLsn });
    const ids: bigint[] = [];
    const sink = new Writable({
      objectMode: true,
      highWaterMark: 1,
      write(event: WalEvent, _, done) {
        if (event.kind === 'insert') ids.push(event.new.id as bigint);
        if (event.kind === 'commit') stream.ack(event);
        setImmediate(done);
      },
    });
    await pipeline(stream.readable(), sink);
    assert.deepEqual(
      ids,
      Array.from({ length: 40 }, (_, at) => BigInt(at + 1)),
    );
    assert.equal(stream.stats().flushedLsn, transactions[1]?.commitEndLsn);
  });

  test('batches; stop() ends it while it waits', async () => {
    const { tape } = ordersTape(3);
    await using from = await sender(tape);
    await using stream = streamFrom(from, { ack: 'manual' });
    const kinds: string[] = [];
    const readable = stream.readable('batches');
    readable.on('data', (batch: WalBatch) => {
      for (const { kind } of batch) kinds.push(kind);
      if (kinds.at(-1) === 'commit') void stream.stop();
    });
    await once(readable, 'end');
    assert.deepEqual(kinds, ['begin', 'relation', 'insert', 'insert', 'insert', 'commit']);
  });

  test('what ends the stream is its error; destroying it closes the stream', async () => {
    const { tape } = ordersTape(1);
    {
      await using from = await sender(() => [{ kind: 'copyData', payload: Buffer.from('?') }]);
      await using stream = streamFrom(from, { ack: 'manual' });
      await assert.rejects(pipeline(stream.readable(), new Writable({ objectMode: true })), ProtocolError);
    }
    await using from = await sender(tape);
    await using stream = streamFrom(from, { ack: 'manual' });
    const readable = stream.readable();
    await once(readable, 'readable');
    readable.destroy();
    await once(readable, 'close');
    assert.equal(stream.stats().connected, false);
  });

  test("without ack: 'manual', and of something else: an error that says so", async () => {
    const { tape } = ordersTape(1);
    await using from = await sender(tape);
    await using automatic = streamFrom(from);
    assert.throws(
      () => automatic.readable(),
      new ConfigurationError(
        "readable() needs the option ack: 'manual': a Readable reads ahead, and what nobody has handled would be acknowledged",
        { option: 'ack' },
      ),
    );
    await using manual = streamFrom(from, { ack: 'manual' });
    assert.throws(() => manual.readable('rows' as 'events'), /'events', 'batches' or 'transactions', not 'rows'/);
  });
});
