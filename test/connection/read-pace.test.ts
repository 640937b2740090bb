import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  IMMEDIATE,
  MAX_DELAY_MS,
  MIN_DELAY_MS,
  nextReadPace,
  PACED_RATE,
  RATE_WINDOW_MS,
  type ReadPace,
} from '../../src/connection/read-pace.js';
import fc from '../support/properties.js';

/** The kernel holds no more than this for us; the server waits then. */
const KERNEL_BYTES = 4 * 1024 * 1024;
/** Bytes of one small change on the wire. */
const SEGMENT_BYTES = 350;

interface Simulated {
  readonly reads: number;
  readonly bytes: number;
  readonly pace: ReadPace;
  /** The longest that any byte waited for a read. */
  readonly longestWaitMs: number;
}

/**
 * A server that writes `rateAt(now)` bytes per millisecond, in segments, and a reader that does as its pace says, in
 * steps of a tenth of a millisecond.
 */
function simulate(rateAt: (nowMs: number) => number, forMs: number, from: ReadPace = IMMEDIATE): Simulated {
  let pace = from;
  let sent = 0;
  let waiting = 0;
  let waitingSince = 0;
  let wakeAt = 0;
  let judgedAt = 0;
  let observed = 0;
  let reads = 0;
  let bytes = 0;
  let longestWaitMs = 0;
  for (let tick = 1; tick <= forMs * 10; tick++) {
    const now = tick / 10;
    sent += rateAt(now) / 10;
    const arrived = Math.min(Math.floor(sent / SEGMENT_BYTES) * SEGMENT_BYTES, KERNEL_BYTES - waiting);
    if (arrived > 0) {
      if (waiting === 0) waitingSince = now;
      waiting += arrived;
    }
    sent = Math.min(sent - arrived, SEGMENT_BYTES * 2);
    if (waiting === 0 || now < wakeAt) continue;
    reads++;
    bytes += waiting;
    observed += waiting;
    longestWaitMs = Math.max(longestWaitMs, now - waitingSince);
    waiting = 0;
    const elapsedMs = now - judgedAt;
    // As the scheduler does: while reads are immediate, a rate is judged over a stretch of time.
    if (pace.delayMs === 0 && elapsedMs < RATE_WINDOW_MS) continue;
    pace = nextReadPace(pace, { byteCount: observed, elapsedMs });
    observed = 0;
    judgedAt = now;
    wakeAt = now + pace.delayMs;
  }
  return { reads, bytes, pace, longestWaitMs };
}

suite('a simulated server', () => {
  test('with a backlog is read in few large reads', () => {
    for (const rate of [20_000, 60_000, 150_000, 400_000]) {
      const { reads, bytes, pace } = simulate(() => rate, 2_000);
      assert.ok(pace.delayMs >= MIN_DELAY_MS, `${rate}: ${pace.delayMs}`);
      assert.ok(bytes / reads >= 100 * 1024, `${rate}: ${bytes / reads} bytes per read`);
      assert.ok(bytes >= rate * 2_000 * 0.85, `${rate}: the server had to wait`);
    }
  });

  test('with a change now and then is read at once', () => {
    for (const rate of [1, 10, 100, 1_000]) {
      const { pace, longestWaitMs } = simulate(() => rate, 2_000);
      assert.equal(pace.delayMs, 0);
      assert.ok(longestWaitMs <= 0.2, `${rate}: waited ${longestWaitMs} ms`);
    }
  });

  test('that has caught up is read at once again', () => {
    for (const busyRate of [20_000, 150_000, 400_000]) {
      const { pace: busy } = simulate(() => busyRate, 500);
      assert.ok(busy.delayMs > 0);
      for (const quietRate of [1, 20, 200, PACED_RATE / 4]) {
        const quiet = simulate(() => quietRate, 2_000, busy);
        assert.equal(quiet.pace.delayMs, 0, `from ${busyRate} to ${quietRate}`);
        assert.ok(quiet.longestWaitMs <= MAX_DELAY_MS + 1);
      }
    }
  });

  test('whose rate jumps is followed', () => {
    const { pace } = simulate((now) => (Math.floor(now / 300) % 2 === 0 ? 200_000 : 50), 1_500);
    assert.ok(pace.delayMs > 0);
    const { pace: after } = simulate((now) => (Math.floor(now / 300) % 2 === 0 ? 200_000 : 50), 1_790);
    assert.equal(after.delayMs, 0);
  });
});

test('a delay is none or within its bounds, whatever is seen', () => {
  const observation = fc.record({
    byteCount: fc.oneof(fc.nat(), fc.nat(1000)),
    elapsedMs: fc.double({ min: 0, max: 100_000, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(observation), (observations) => {
      let pace = IMMEDIATE;
      for (const observed of observations) {
        pace = nextReadPace(pace, observed);
        assert.ok(pace.delayMs === 0 || (pace.delayMs >= MIN_DELAY_MS && pace.delayMs <= MAX_DELAY_MS));
      }
    }),
  );
});

test('one large read is no rate', () => {
  assert.equal(nextReadPace(IMMEDIATE, { byteCount: 10_000_000, elapsedMs: RATE_WINDOW_MS / 2 }).delayMs, 0);
  assert.equal(nextReadPace(IMMEDIATE, { byteCount: 100_000, elapsedMs: 1_000 }).delayMs, 0);
});
