import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type FeedbackFacts, feedbackIntervalMs, standbyPositions } from '../../src/stream/feedback.js';
import fc from '../support/properties.js';

const NOTHING: FeedbackFacts = {
  received: 0n,
  keepalive: 0n,
  acknowledged: 0n,
  unfinishedUnits: 0,
  inTransaction: false,
  reported: { write: 0n, flush: 0n, apply: 0n },
};

suite('positions', () => {
  test('flush is what was acknowledged, write what was received', () => {
    const facts = { ...NOTHING, received: 500n, keepalive: 480n, acknowledged: 300n, unfinishedUnits: 2 };
    assert.deepStrictEqual(standbyPositions(facts), { write: 500n, flush: 300n, apply: 300n });
  });

  test('an idle stream follows the keepalives', () => {
    const facts = { ...NOTHING, received: 480n, keepalive: 480n, acknowledged: 300n };
    assert.deepStrictEqual(standbyPositions(facts), { write: 480n, flush: 480n, apply: 480n });
  });

  test('a transaction received half-way holds flush back', () => {
    const facts = { ...NOTHING, received: 480n, keepalive: 480n, acknowledged: 300n, inTransaction: true };
    assert.equal(standbyPositions(facts).flush, 300n);
  });

  test('over any history no position goes back, and flush passes nothing unfinished', () => {
    const lsn = fc.bigInt(0n, 1000n);
    const moment = fc.record({
      received: lsn,
      keepalive: lsn,
      acknowledged: lsn,
      unfinishedUnits: fc.nat(2),
      inTransaction: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(moment), (moments) => {
        let { reported } = NOTHING;
        for (const facts of moments) {
          const next = standbyPositions({ ...facts, reported });
          assert.ok(next.write >= reported.write && next.flush >= reported.flush && next.apply >= reported.apply);
          assert.ok(next.flush <= next.write);
          assert.equal(next.apply, next.flush);
          if (next.flush > reported.flush && (facts.unfinishedUnits > 0 || facts.inTransaction)) {
            assert.equal(next.flush, facts.acknowledged);
          }
          reported = next;
        }
      }),
    );
  });
});

test('the interval stays well inside wal_sender_timeout', () => {
  assert.equal(feedbackIntervalMs(10_000, 60_000), 10_000);
  assert.equal(feedbackIntervalMs(10_000, 8_000), 2_000);
  assert.equal(feedbackIntervalMs(10_000, 0), 10_000);
  assert.equal(feedbackIntervalMs(10_000, 1), 1);
});
