import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProtocolError } from '../../src/errors.js';
import { AckFrontier } from '../../src/stream/ack-frontier.js';
import fc from '../support/properties.js';

/** The same by a plain array of all units ever received. */
class Model {
  readonly ends: bigint[] = [];
  readonly finished: boolean[] = [];
  delivered = 0;

  receive(end: bigint): void {
    const last = this.ends.at(-1) ?? 0n;
    this.ends.push(end > last ? end : last);
    this.finished.push(false);
  }
  finish(unit: number): void {
    if (unit < this.ends.length) this.finished[unit] = true;
  }
  finishThrough(unit: number): void {
    for (let each = 0; each < Math.min(unit, this.ends.length); each++) this.finished[each] = true;
  }
  finishUpTo(lsn: bigint): void {
    for (let each = 0; each < this.delivered; each++) {
      if ((this.ends[each] as bigint) <= lsn) this.finished[each] = true;
    }
  }
  get first(): number {
    const at = this.finished.indexOf(false);
    return at === -1 ? this.finished.length : at;
  }
  get lsn(): bigint {
    return this.first === 0 ? 0n : (this.ends[this.first - 1] as bigint);
  }
}

type Step =
  | { readonly does: 'receive'; readonly times: number; readonly gap: number }
  | { readonly does: 'deliver' | 'finish' | 'finishThrough' | 'finishUpTo'; readonly at: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ does: fc.constant('receive' as const), times: fc.oneof(fc.nat(5), fc.nat(1500)), gap: fc.nat(3) }),
  fc.record({
    does: fc.constantFrom(
      'deliver' as const,
      'finish' as const,
      'finish' as const,
      'finishThrough' as const,
      'finishUpTo' as const,
    ),
    at: fc.double({ min: 0, max: 1.1, noNaN: true }),
  }),
);

test('is the contiguous run of finished units, whatever the order, and never goes back', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const frontier = new AckFrontier();
      const model = new Model();
      let lsn = 0n;
      let lastLsn = 0n;
      for (const next of steps) {
        if (next.does === 'receive') {
          for (let time = 0; time < next.times; time++) {
            lsn += BigInt(next.gap);
            frontier.receive(lsn);
            model.receive(lsn);
          }
        } else {
          // Mostly near the frontier, so that runs become contiguous.
          const { first } = model;
          const span = next.does === 'finish' ? Math.min(model.ends.length - first, 6) : model.ends.length - first;
          const unit = first + Math.floor(next.at * (span + 1));
          if (next.does === 'deliver') {
            frontier.deliverThrough(unit);
            model.delivered = Math.max(model.delivered, Math.min(unit, model.ends.length));
          } else if (next.does === 'finishUpTo') {
            const upTo = model.ends[unit] ?? lsn + 1n;
            frontier.finishUpTo(upTo);
            model.finishUpTo(upTo);
          } else {
            frontier[next.does](unit);
            model[next.does](unit);
          }
        }
        assert.equal(frontier.lsn, model.lsn);
        assert.equal(frontier.unfinished, model.ends.length - model.first);
        assert.equal(frontier.nextUnit, model.ends.length);
        assert.equal(frontier.lastReceivedLsn, model.ends.at(-1) ?? 0n);
        assert.ok(frontier.lsn >= lastLsn);
        lastLsn = frontier.lsn;
      }
    }),
    { numRuns: 400 },
  );
});

test('a position that goes back counts as the one before it', () => {
  const frontier = new AckFrontier();
  for (const lsn of [100n, 90n, 120n]) frontier.receive(lsn);
  // Its own end tells its event from another stream's.
  assert.deepEqual([frontier.endOf(0), frontier.endOf(1), frontier.endOf(3)], [100n, 90n, undefined]);
  frontier.finish(0);
  frontier.finish(1);
  assert.equal(frontier.lsn, 100n);
  assert.equal(frontier.unfinished, 1);
});

test('a position covers only what was delivered', () => {
  const frontier = new AckFrontier();
  for (const lsn of [10n, 20n, 30n]) frontier.receive(lsn);
  frontier.finishUpTo(30n);
  assert.equal(frontier.lsn, 0n);
  frontier.deliverThrough(2);
  frontier.finishUpTo(2n ** 64n - 1n);
  assert.equal(frontier.lsn, 20n);
});

test('units that are unknown or finished before are no error', () => {
  const frontier = new AckFrontier();
  frontier.finish(0);
  frontier.finishThrough(5);
  assert.equal(frontier.lsn, 0n);
  frontier.receive(10n);
  frontier.finish(0);
  frontier.finish(0);
  frontier.finish(7);
  assert.equal(frontier.lsn, 10n);
});

test('a million units that nobody acknowledges take 4 MB and some, and nothing when they are', () => {
  const frontier = new AckFrontier();
  const units = 1_000_000;
  for (let unit = 0; unit < units; unit++) frontier.receive(BigInt(unit) * 0x1_0000n);
  assert.ok(frontier.byteCount <= units * 4.25, String(frontier.byteCount));
  // Out of order costs nothing more.
  for (let unit = 1; unit < units; unit += 2) frontier.finish(unit);
  assert.ok(frontier.byteCount <= units * 4.25);
  assert.equal(frontier.unfinished, units);
  frontier.finish(0);
  assert.equal(frontier.lsn, 0x1_0000n);
  frontier.finishThrough(units - 1);
  assert.equal(frontier.unfinished, 0);
  assert.equal(frontier.byteCount, 0);
  assert.equal(frontier.lsn, BigInt(units - 1) * 0x1_0000n);
});

test('ends that lie far apart, and the highest there is', () => {
  const frontier = new AckFrontier();
  const ends = [1n, 0xffff_ffffn, 0x1_0000_0000n, 0x1_0000_0001n, 2n ** 63n, 2n ** 64n - 1n];
  for (const end of ends) frontier.receive(end);
  assert.deepEqual(
    ends.map((_, unit) => frontier.endOf(unit)),
    ends,
  );
  for (const [unit, end] of ends.entries()) {
    frontier.finish(unit);
    assert.equal(frontier.lsn, end);
  }
});

test('units that come again keep their numbers, and must be what they were', () => {
  const frontier = new AckFrontier();
  for (const lsn of [10n, 20n, 30n]) frontier.receive(lsn);
  frontier.finish(0);
  frontier.finish(1);
  frontier.stepBackTo(1);
  assert.deepEqual([frontier.nextUnit, frontier.received, frontier.startOf(1), frontier.startOf(2)], [1, 3, 20n, 20n]);
  // It is behind the frontier: what it was is not known any more.
  frontier.receive(20n);
  assert.throws(() => frontier.receive(31n), ProtocolError);
  frontier.receive(30n);
  frontier.receive(40n);
  assert.deepEqual([frontier.nextUnit, frontier.received, frontier.unfinished], [4, 4, 2]);
  frontier.finish(2);
  assert.equal(frontier.lsn, 30n);
});
