import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Slab, SlabPool } from '../../src/connection/slab.js';
import { DecodeError } from '../../src/errors.js';
import { Transcoder } from '../../src/pgoutput/transcoder.js';
import { WalBatch } from '../../src/pgoutput/wal-batch.js';
import { AckFrontier } from '../../src/stream/ack-frontier.js';
import { BatchCutter } from '../../src/stream/batch-cutter.js';
import { RelationRegistry } from '../../src/stream/relation-registry.js';
import { judgeKeepalive } from '../../src/stream/stop-position.js';
import { modelStream } from '../pgoutput/arbitrary-stream.js';
import { cutStream, decode, eventFacts, taskOf } from '../pgoutput/batches.js';
import * as wire from '../support/pgoutput-bytes.js';
import fc from '../support/properties.js';
import * as uncommitted from '../support/uncommitted-bytes.js';

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

  const streamStart = (walStart: bigint, xid: number, isFirst = true) =>
    wire.xLogData(walStart, uncommitted.streamStart({ xid, isFirst }));
  const streamStop = (walStart: bigint) => wire.xLogData(walStart, uncommitted.streamStop());
  const streamCommit = (xid: number, commitLsn: bigint, commitEndLsn: bigint) =>
    wire.xLogData(commitLsn, uncommitted.streamCommit({ xid, commitLsn, commitEndLsn }));

  test('a streamed transaction that crosses it is the last; its later blocks may lie beyond', () => {
    assert.deepEqual(
      verdicts(streamStart(800n, 7), streamStop(900n), streamStart(1100n, 7, false), streamStop(1200n)),
      ['go-on', 'go-on', 'go-on', 'go-on'],
    );
    assert.deepEqual(
      verdicts(streamStart(800n, 7), streamStop(900n), streamCommit(7, 2000n, 2030n)).at(-1),
      'stop-after',
    );
    assert.deepEqual(verdicts(streamStart(800n, 7), streamStop(900n), streamCommit(7, 900n, 930n)).at(-1), 'go-on');
  });

  test('a streamed transaction that begins at or after it does not come, and one that ends before it holds nothing', () => {
    const { batches, verdicts: said } = cutStream([streamStart(1000n, 7)], undefined, STOP);
    assert.deepEqual(said, ['stop-before']);
    assert.equal(batches.length, 0);
    const [batch] = cutStream([streamStart(800n, 7)], undefined, STOP).batches;
    assert.equal(batch?.endsInTransaction, false);
  });

  test('prepared transactions, and what becomes of them', () => {
    const prepared = { xid: 7, gid: 'g', prepareLsn: 1500n, prepareEndLsn: 1530n };
    const commitPrepared = (commitLsn: bigint, commitEndLsn: bigint) =>
      wire.xLogData(commitLsn, uncommitted.commitPrepared({ xid: 7, gid: 'g', commitLsn, commitEndLsn }));
    const rollbackPrepared = (rollbackEndLsn: bigint) =>
      wire.xLogData(rollbackEndLsn, uncommitted.rollbackPrepared({ ...prepared, rollbackEndLsn }));
    const beginPrepare = (walStart: bigint) => wire.xLogData(walStart, uncommitted.beginPrepare(prepared));
    const prepare = wire.xLogData(1500n, uncommitted.prepare(prepared));
    assert.deepEqual(verdicts(beginPrepare(900n), prepare), ['go-on', 'stop-after']);
    assert.deepEqual(verdicts(beginPrepare(1000n)), ['stop-before']);
    assert.deepEqual(verdicts(wire.xLogData(1500n, uncommitted.streamPrepare(prepared))), ['stop-after']);
    assert.deepEqual(verdicts(commitPrepared(900n, 999n), commitPrepared(999n, 1030n)), ['go-on', 'stop-after']);
    assert.deepEqual(verdicts(commitPrepared(1000n, 1030n)), ['stop-before']);
    assert.deepEqual(verdicts(rollbackPrepared(999n), rollbackPrepared(1000n)), ['go-on', 'stop-after']);
    assert.deepEqual(verdicts(rollbackPrepared(1001n)), ['stop-before']);
  });

  suite('a transaction with an origin begins without a position: what follows judges it', () => {
    const begins: Readonly<Record<string, Buffer>> = {
      begin: begin(0n, 5000n),
      beginPrepare: wire.xLogData(
        0n,
        uncommitted.beginPrepare({ xid: 1, gid: 'g', prepareLsn: 5000n, prepareEndLsn: 5030n }),
      ),
      streamStart: streamStart(0n, 7),
    };
    const before = [begin(800n, 900n), commit(900n, 990n)];
    const origin = (walStart: bigint) => wire.xLogData(walStart, wire.origin({ originLsn: 5n, name: 'o' }));
    const described = wire.xLogData(0n, uncommitted.inBlock(8, wire.relation({ id: 5, columns: [] })));
    for (const [kind, first] of Object.entries(begins)) {
      // Where the slab ends: nowhere, before it, after it, and after something else without a position.
      for (const cutAfter of [[], [1], [2], [2, 3], [0, 1, 2, 3]]) {
        const between = kind === 'streamStart' && cutAfter.includes(3) ? [described] : [];
        const kinds = (walStart: bigint) => {
          const frames = [...before, first, ...between, origin(walStart)];
          const { batches, verdicts: said } = cutStream(frames, (at) => cutAfter.includes(at), STOP);
          const transcoder = new Transcoder('lossless');
          assert.deepEqual(
            batches.map(({ position }) => position.sequence),
            [...batches.keys()],
          );
          const events = batches.flatMap((batch) => {
            const packed = transcoder.transcode(taskOf(batch));
            assert.equal(packed.error, undefined);
            return [...new WalBatch(batch.position, packed)].map((event) => event.kind);
          });
          assert.equal(
            batches.reduce((sum, { position }) => sum + position.byteCount, 0),
            (said.at(-1) === 'go-on' ? frames : before).reduce((sum, { length }) => sum + length, 0),
          );
          return { events, last: said.at(-1) };
        };
        test(`${kind}, cut after ${cutAfter.join()}`, () => {
          assert.deepEqual(kinds(1000n), { events: ['begin', 'commit'], last: 'stop-before' });
          const rest = between.length > 0 ? ['relation', 'origin'] : ['origin'];
          assert.deepEqual(kinds(999n), { events: ['begin', 'commit', kind, ...rest], last: 'go-on' });
        });
      }
    }
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
