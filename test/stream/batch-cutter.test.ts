import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { Slab, SlabPool } from '../../src/connection/slab.js';
import { DecodeError } from '../../src/errors.js';
import { AckFrontier } from '../../src/stream/ack-frontier.js';
import { BatchCutter } from '../../src/stream/batch-cutter.js';
import { RelationRegistry } from '../../src/stream/relation-registry.js';
import { judgeKeepalive } from '../../src/stream/stop-position.js';
import { modelStream } from '../pgoutput/arbitrary-stream.js';
import { cutStream, decode, eventFacts } from '../pgoutput/batches.js';
import * as wire from '../support/pgoutput-bytes.js';

suite('where it is cut', () => {
  test('makes no difference to any event', () => {
    fc.assert(
      fc.property(modelStream(80), fc.func(fc.boolean()), ({ frames }, cutAfter) => {
        const whole = decode(frames).events.map(eventFacts);
        assert.deepStrictEqual(decode(frames, () => true).events.map(eventFacts), whole);
        assert.deepStrictEqual(decode(frames, (at) => cutAfter(at)).events.map(eventFacts), whole);
      }),
      { numRuns: 200 },
    );
  });

  test('batches are numbered without gaps, lie end to end, and count changes and units', () => {
    fc.assert(
      fc.property(modelStream(80), fc.func(fc.boolean()), ({ frames, events, unitEnds }, cutAfter) => {
        const { batches, frontier } = cutStream(frames, (at) => cutAfter(at));
        let end = batches[0]?.start;
        let units = 0;
        batches.forEach((batch, at) => {
          assert.equal(batch.position.sequence, at);
          assert.equal(batch.start, end);
          assert.equal(batch.position.byteCount, batch.end - batch.start);
          assert.equal(batch.position.firstUnit, units);
          end = batch.end;
          units = batch.unitsThrough;
        });
        assert.equal(units, unitEnds.length);
        assert.equal(frontier.nextUnit, unitEnds.length);
        assert.equal(frontier.lastReceivedLsn, unitEnds.at(-1) ?? 0n);
        assert.equal(
          batches.reduce((sum, { changeCount }) => sum + changeCount, 0),
          events.filter((event) => 'ordinal' in event).length,
        );
      }),
      { numRuns: 200 },
    );
  });

  test('a batch brings only the relations that it needs', () => {
    const frames = [
      ...[1, 2, 3].map((id) => wire.relation({ id, columns: [] })),
      wire.insert(2, []),
      wire.insert(2, []),
      wire.insert(1, []),
    ].map((payload, at) => wire.xLogData(BigInt(at), payload));
    const { batches } = cutStream(frames, (at) => at >= 2);
    assert.deepStrictEqual(
      batches.map(({ position }) => position.relations.map(({ relation }) => relation.id)),
      [[1, 2, 3], [2], [2], [1]],
    );
  });

  test('each batch holds its slab', () => {
    const recycled: Slab[] = [];
    class WatchedPool extends SlabPool {
      override recycle(slab: Slab): void {
        recycled.push(slab);
      }
    }
    const slab = new Slab(new WatchedPool(), 4096);
    const frame = wire.xLogData(1n, wire.begin({ commitLsn: 9n, xid: 1 }));
    frame.copy(slab.bytes, 0);
    frame.copy(slab.bytes, frame.length);
    const cutter = new BatchCutter(new RelationRegistry(), new AckFrontier(), undefined);
    assert.deepEqual(cutter.cut(slab), []);
    const cut = (at: number) => {
      cutter.add(slab.bytes, at + 5, at + frame.length);
      assert.equal(cutter.pendingBytes, frame.length);
      const [batch] = cutter.cut(slab);
      assert.equal(cutter.pendingBytes, 0);
      return batch;
    };
    const batches = [cut(0), cut(frame.length)];
    slab.release();
    for (const batch of batches) {
      assert.equal(recycled.length, 0);
      batch?.slab.release();
    }
    assert.deepEqual(recycled, [slab]);
  });
});

test('a malformed message is left out of the batch, and what came before is not', () => {
  const good = wire.xLogData(1n, wire.begin({ commitLsn: 9n, xid: 1 }));
  for (const payload of [
    Buffer.alloc(0),
    Buffer.from('B'),
    Buffer.from('C12'),
    Buffer.from('R\0'),
    Buffer.from('T\0\0\0\x09\0'),
    Buffer.from('M\0\0'),
  ]) {
    const bad = wire.xLogData(0x1_0000_0002n, payload);
    const slab = new Slab(new SlabPool(), 4096);
    good.copy(slab.bytes, 0);
    bad.copy(slab.bytes, good.length);
    const frontier = new AckFrontier();
    const cutter = new BatchCutter(new RelationRegistry(), frontier, undefined);
    assert.equal(cutter.add(slab.bytes, 5, good.length), 'go-on');
    assert.throws(
      () => cutter.add(slab.bytes, good.length + 5, good.length + bad.length),
      (error) =>
        error instanceof DecodeError &&
        error.lsn === 0x1_0000_0002n &&
        error.offset >= 0 &&
        error.offset <= payload.length &&
        error.tag === (payload.length === 0 ? undefined : payload.toString('latin1', 0, 1)),
    );
    assert.equal(cutter.cut(slab)[0]?.end, good.length);
    assert.equal(frontier.nextUnit, 0);
  }
});

suite('stopLsn', () => {
  const STOP = 1000n;
  const begin = (walStart: bigint, commitLsn: bigint) => wire.xLogData(walStart, wire.begin({ commitLsn, xid: 1 }));
  const commit = (commitLsn: bigint, commitEndLsn: bigint) =>
    wire.xLogData(commitEndLsn, wire.commit({ commitLsn, commitEndLsn }));
  const message = (lsn: bigint) =>
    wire.xLogData(lsn, wire.message({ transactional: false, lsn, prefix: 'p', content: '' }));
  const verdicts = (...frames: Buffer[]) => cutStream(frames, undefined, STOP).verdicts;

  test('a transaction before it', () => {
    assert.deepEqual(verdicts(begin(800n, 900n), commit(900n, 999n)), ['go-on', 'go-on']);
  });

  test('the transaction that reaches or crosses it is the last, and whole', () => {
    assert.deepEqual(verdicts(begin(800n, 990n), commit(990n, 1000n)), ['go-on', 'stop-after']);
    assert.deepEqual(verdicts(begin(800n, 5000n), commit(5000n, 5030n)), ['go-on', 'stop-after']);
  });

  test('a transaction that begins at or after it does not come', () => {
    const { batches, frontier, verdicts: said } = cutStream([begin(1000n, 1100n)], undefined, STOP);
    assert.deepEqual(said, ['stop-before']);
    assert.equal(batches.length, 0);
    assert.equal(frontier.nextUnit, 0);
  });

  test('stand-alone messages', () => {
    assert.deepEqual(verdicts(message(999n), message(1000n)), ['go-on', 'stop-after']);
    const { batches, frontier, verdicts: said } = cutStream([message(1001n)], undefined, STOP);
    assert.deepEqual(said, ['stop-before']);
    assert.equal(batches.length, 0);
    assert.equal(frontier.nextUnit, 0);
  });

  test('a message inside a transaction goes with it', () => {
    const inside = wire.message({ transactional: true, lsn: 2000n, prefix: 'p', content: '' });
    assert.deepEqual(verdicts(begin(800n, 5000n), wire.xLogData(2000n, inside)), ['go-on', 'go-on']);
  });

  test('a keepalive that passes it, but not in the middle of a transaction', () => {
    assert.equal(judgeKeepalive(999n, false, STOP), 'go-on');
    assert.equal(judgeKeepalive(1000n, false, STOP), 'stop-after');
    assert.equal(judgeKeepalive(5000n, true, STOP), 'go-on');
  });

  test('without one nothing stops', () => {
    assert.deepEqual(cutStream([begin(1n, 2n ** 64n - 2n), commit(2n ** 64n - 2n, 2n ** 64n - 1n)]).verdicts, [
      'go-on',
      'go-on',
    ]);
  });
});
