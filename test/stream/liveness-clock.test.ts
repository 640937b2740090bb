import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ConnectionProgress } from '../../src/stream/connection-progress.js';
import { LivenessClock } from '../../src/stream/liveness-clock.js';

/** Checked as often as the clock wants, from `fromMs` on, until the server is lost: the time of that and of each question. */
function untilLost(clock: LivenessClock, fromMs: number): { readonly askedMs: number[]; readonly lostMs: number } {
  const askedMs: number[] = [];
  for (let nowMs = fromMs + clock.intervalMs; ; nowMs += clock.intervalMs) {
    const verdict = clock.check(nowMs, false);
    if (verdict === 'lost') return { askedMs, lostMs: nowMs };
    if (verdict === 'ask') askedMs.push(nowMs);
  }
}

suite('the clock of a silent server', () => {
  test('asks once between two reads', () => {
    const clock = new LivenessClock(800);
    clock.start(1000);
    assert.deepEqual(untilLost(clock, 1000), { askedMs: [1400], lostMs: 1800 });
    clock.heard(1800);
    assert.deepEqual(untilLost(clock, 1800), { askedMs: [2200], lostMs: 2600 });
  });

  test('stands still while nothing is read on purpose', () => {
    const clock = new LivenessClock(800);
    clock.start(0);
    for (let nowMs = 100; nowMs <= 2000; nowMs += 100) assert.equal(clock.check(nowMs, true), 'alive');
    clock.readOn(2050);
    assert.deepEqual(untilLost(clock, 2000), { askedMs: [2500], lostMs: 2900 });
  });

  test('does not count the time in which this thread was blocked', () => {
    const clock = new LivenessClock(800);
    clock.start(0);
    assert.equal(clock.check(100, false), 'alive');
    assert.equal(clock.check(5100, false), 'alive');
    assert.deepEqual(untilLost(clock, 5100), { askedMs: [5300], lostMs: 5700 });
  });

  test('gives twice the time after each loss without progress, an hour at the most', () => {
    const clock = new LivenessClock(1_000_000);
    clock.connectionEnded({ gotOn: false, timedOut: false });
    assert.equal(clock.timeoutMs, 1_000_000);
    clock.connectionEnded({ gotOn: false, timedOut: true });
    assert.equal(clock.timeoutMs, 2_000_000);
    clock.connectionEnded({ gotOn: false, timedOut: true });
    assert.equal(clock.timeoutMs, 3_600_000);
    clock.connectionEnded({ gotOn: true, timedOut: true });
    assert.equal(clock.timeoutMs, 1_000_000);
    const patient = new LivenessClock(7_200_000);
    patient.connectionEnded({ gotOn: false, timedOut: true });
    assert.equal(patient.timeoutMs, 7_200_000);
  });
});

suite('a connection', () => {
  const before = { lsn: 100n, units: 5, changes: 7 };
  const progress = new ConnectionProgress(before, 1000);

  test('has brought the stream on with a unit, a change, or keepalives for long', () => {
    assert.equal(progress.gotOn(before, 10, 2000), false);
    assert.equal(progress.gotOn({ ...before, units: 6 }, 10, 1001), true);
    assert.equal(progress.gotOn({ ...before, changes: 8 }, 10, 1001), true);
    assert.equal(progress.gotOn({ ...before, lsn: 101n }, 10, 1040), false);
    assert.equal(progress.gotOn({ ...before, lsn: 101n }, 10, 1041), true);
  });

  test('counts as progress when anything came, or when it has lived', () => {
    assert.equal(progress.progressedWithin(500, before, 1499), false);
    assert.equal(progress.progressedWithin(500, before, 1500), true);
    assert.equal(progress.progressedWithin(500, { ...before, lsn: 101n }, 1001), true);
  });
});
