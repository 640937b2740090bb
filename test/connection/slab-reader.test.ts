import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { SLAB_BYTES, type Slab, SlabPool } from '../../src/connection/slab.js';
import { MIN_READ_BYTES, SlabReader, type SlabReaderHandler } from '../../src/connection/slab-reader.js';
import { ProtocolError } from '../../src/errors.js';
import fc from '../support/properties.js';
import { backendMessage, int32 } from './backend-bytes.js';

const MAX_BODY_BYTES = 8 * 1024 * 1024;

/** Keeps what it is told. */
class Recorder implements SlabReaderHandler {
  readonly reader: SlabReader;
  readonly frames: Buffer[] = [];
  readonly reads: { byteCount: number; drained: boolean }[] = [];
  readonly errors: unknown[] = [];
  readonly leftSlabs: Slab[] = [];
  closed = 0;

  constructor(pool?: SlabPool) {
    this.reader = new SlabReader(this, MAX_BODY_BYTES, pool);
  }

  onFrame(type: number, bodyStart: number, bodyEnd: number): void {
    // A copy: the slab may be filled again.
    this.frames.push(Buffer.concat([Buffer.of(type), this.reader.slab.bytes.subarray(bodyStart, bodyEnd)]));
  }
  onSlabEnd(): void {
    this.leftSlabs.push(this.reader.slab);
  }
  onReadEnd(byteCount: number, drained: boolean): void {
    this.reads.push({ byteCount, drained });
  }
  onBadBytes(error: unknown): void {
    this.errors.push(error);
  }
  onClose(): void {
    this.closed++;
  }
}

/** Fills the sink's memory as node does: the next is asked for right after each callback, and filled later. */
function feed(reader: SlabReader, bytes: Uint8Array, sizes: () => number): void {
  let memory = reader.buffer();
  for (let from = 0; from < bytes.length; ) {
    const count = Math.min(sizes(), memory.length, bytes.length - from);
    memory.set(bytes.subarray(from, from + count));
    from += count;
    const filled = memory;
    reader.onBytes(count, filled);
    memory = reader.buffer();
  }
}

function framesOf(bodies: readonly Uint8Array[]) {
  return {
    bytes: Buffer.concat(bodies.map((body) => backendMessage('d', body))),
    expected: bodies.map((body) => Buffer.concat([Buffer.from('d'), body])),
  };
}

function assertSame(actual: readonly Buffer[], expected: readonly Buffer[]): void {
  assert.equal(actual.length, expected.length);
  for (const [at, frame] of actual.entries()) assert.ok(frame.equals(expected[at] as Buffer), `frame ${at}`);
}

suite('frames', () => {
  test('split at every byte', () => {
    const { bytes, expected } = framesOf([Buffer.from('one'), Buffer.alloc(0), Buffer.from('three')]);
    for (let split = 1; split < bytes.length; split++) {
      const recorder = new Recorder();
      let first = true;
      feed(recorder.reader, bytes, () => {
        const size = first ? split : bytes.length;
        first = false;
        return size;
      });
      assertSame(recorder.frames, expected);
    }
  });

  test('byte by byte, and several slabs at random sizes', () => {
    const small = framesOf(Array.from({ length: 40 }, (_, at) => Buffer.alloc(at, at)));
    const recorder = new Recorder();
    feed(recorder.reader, small.bytes, () => 1);
    assertSame(recorder.frames, small.expected);

    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.nat(5_000), fc.nat(700_000)), { minLength: 10, maxLength: 25 }),
        fc.array(fc.integer({ min: 1, max: 900_000 }), { minLength: 1, maxLength: 20 }),
        (lengths, sizes) => {
          const many = framesOf(lengths.map((length, at) => Buffer.alloc(length, at + 1)));
          const each = new Recorder();
          let at = 0;
          feed(each.reader, many.bytes, () => sizes[at++ % sizes.length] as number);
          assertSame(each.frames, many.expected);
          assert.equal(
            each.reads.reduce((sum, { byteCount }) => sum + byteCount, 0),
            many.bytes.length,
          );
        },
      ),
      { numRuns: 25 },
    );
  });

  test('longer than a slab, between short ones', () => {
    const { bytes, expected } = framesOf([
      Buffer.alloc(10, 1),
      Buffer.alloc(SLAB_BYTES + 12_345, 2),
      Buffer.alloc(20, 3),
      Buffer.alloc(3 * SLAB_BYTES, 4),
      Buffer.alloc(SLAB_BYTES - 5, 5),
    ]);
    for (const size of [65_536, 1_000_003, Number.POSITIVE_INFINITY]) {
      const recorder = new Recorder();
      feed(recorder.reader, bytes, () => size);
      assertSame(recorder.frames, expected);
    }
  });

  test('a read is drained when it left room', () => {
    const recorder = new Recorder();
    const room = recorder.reader.buffer();
    assert.ok(room.length >= MIN_READ_BYTES);
    room.set(backendMessage('d', Buffer.alloc(room.length - 5)));
    recorder.reader.onBytes(room.length, room);
    const next = recorder.reader.buffer();
    next.set(backendMessage('d', [1]));
    recorder.reader.onBytes(6, next);
    assert.deepStrictEqual(
      recorder.reads.map(({ drained }) => drained),
      [false, true],
    );
  });
});

suite('bad bytes', () => {
  test('a message beyond the bound is refused before there is memory for it, and nothing after it is scanned', () => {
    const acquired: number[] = [];
    class WatchedPool extends SlabPool {
      override acquire(minBytes = 0): Slab {
        acquired.push(minBytes);
        return super.acquire(minBytes);
      }
    }
    const recorder = new Recorder(new WatchedPool());
    const bytes = Buffer.concat([backendMessage('d', [1]), Buffer.from('d'), int32(MAX_BODY_BYTES + 5)]);
    feed(recorder.reader, Buffer.concat([bytes, backendMessage('d', [2])]), () => 1_000);
    assert.equal(recorder.frames.length, 1);
    const [error] = recorder.errors;
    assert.ok(error instanceof ProtocolError);
    assert.equal(error.tag, 'd');
    assert.deepStrictEqual(acquired, [0]);
    feed(recorder.reader, backendMessage('d', [3]), () => 1_000);
    assert.equal(recorder.frames.length, 1);
    assert.equal(recorder.errors.length, 1);
  });

  test('an error of the handler is the end too', () => {
    const recorder = new Recorder();
    recorder.onFrame = () => {
      throw new RangeError('enough');
    };
    feed(recorder.reader, Buffer.concat([backendMessage('d', [1]), backendMessage('d', [2])]), () => 6);
    assert.equal(recorder.errors.length, 1);
    assert.ok(recorder.errors[0] instanceof RangeError);
  });
});

suite('memory of an earlier sink', () => {
  test('its bytes come first, however many there are', () => {
    const { bytes, expected } = framesOf([
      Buffer.alloc(100, 1),
      Buffer.alloc(2 * SLAB_BYTES + 77, 2),
      Buffer.alloc(9, 3),
    ]);
    for (const cut of [1, 3, 104, 105, 106, 5_000, SLAB_BYTES, SLAB_BYTES + 1, bytes.length]) {
      const recorder = new Recorder();
      // Node was given it before this reader was the sink, and asks this one only after it was filled.
      recorder.reader.onBytes(cut, Uint8Array.from(bytes.subarray(0, cut)));
      feed(recorder.reader, bytes.subarray(cut), () => 300_000);
      assertSame(recorder.frames, expected);
    }
  });

  test('also when this reader has given memory that was not filled', () => {
    const recorder = new Recorder();
    recorder.reader.buffer();
    const { bytes, expected } = framesOf([Buffer.from('first'), Buffer.from('second')]);
    recorder.reader.onBytes(7, Uint8Array.from(bytes.subarray(0, 7)));
    feed(recorder.reader, bytes.subarray(7), () => 4);
    assertSame(recorder.frames, expected);
  });
});

suite('slabs', () => {
  test('a slab is used again only after the reader has given its successor, and when nobody holds it', () => {
    const recycled: Slab[] = [];
    let recorder: Recorder | undefined;
    class WatchedPool extends SlabPool {
      override recycle(slab: Slab): void {
        // The kernel fills the memory that was given last.
        assert.notEqual(recorder?.reader.slab, slab);
        recycled.push(slab);
        super.recycle(slab);
      }
    }
    recorder = new Recorder(new WatchedPool());
    const held: Slab[] = [];
    recorder.onSlabEnd = () => {
      const slab = (recorder as Recorder).reader.slab;
      slab.hold();
      held.push(slab);
    };
    const body = Buffer.alloc(400_000, 7);
    const { bytes, expected } = framesOf(Array.from({ length: 30 }, () => body));
    feed(recorder.reader, bytes, () => 500_000);
    assertSame(recorder.frames, expected);
    assert.ok(held.length >= 5);
    assert.equal(new Set(held).size, held.length, 'a held slab was given again');
    assert.deepEqual(recycled, []);
    for (const slab of held) slab.release();
    assert.deepEqual(recycled, held);
    // Now they are filled again instead of new ones.
    const before = new Set(held);
    feed(recorder.reader, bytes, () => 500_000);
    assert.ok(held.slice(before.size).some((slab) => before.has(slab)));
  });

  test('the pool keeps a bound of free slabs, and none of another size', () => {
    const pool = new SlabPool();
    const slabs = Array.from({ length: 12 }, () => pool.acquire());
    const large = pool.acquire(SLAB_BYTES + 1);
    assert.equal(large.bytes.length, SLAB_BYTES + 1);
    for (const slab of [large, ...slabs]) slab.release();
    const again = Array.from({ length: 12 }, () => pool.acquire());
    assert.equal(again.filter((slab) => slabs.includes(slab)).length, 8);
    assert.ok(!again.includes(large));
  });

  test('whatever is held and released in whatever order, no slab has two users', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom('acquire', 'hold', 'release'), fc.nat(9))), (steps) => {
        const pool = new SlabPool();
        const holders = new Map<Slab, number>();
        for (const [step, pick] of steps) {
          const live = [...holders.keys()];
          const slab = live[pick % Math.max(live.length, 1)];
          if (step === 'acquire' && live.length < 4) {
            const acquired = pool.acquire();
            assert.ok(!holders.has(acquired));
            holders.set(acquired, 1);
          } else if (slab !== undefined && step !== 'acquire') {
            const count = (holders.get(slab) ?? 0) + (step === 'hold' ? 1 : -1);
            if (step === 'hold') slab.hold();
            else slab.release();
            if (count === 0) holders.delete(slab);
            else holders.set(slab, count);
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});
