import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { judgeLiveness } from '../../src/connection/liveness.js';
import {
  BACKLOG_BATCHES,
  BACKLOG_TARGET_BYTES,
  BATCH_TARGET_BYTES,
  INLINE_MAX_BYTES,
  shouldCut,
  shouldDecodeInline,
  shouldRead,
} from '../../src/stream/batch-policy.js';
import fc from '../support/properties.js';

suite('batches', () => {
  test('are cut when there is enough, or when all that has come can go at once', () => {
    const facts = { pendingBytes: 100, drained: true, batchesAhead: 0 };
    assert.equal(shouldCut(facts), true);
    assert.equal(shouldCut({ ...facts, drained: false }), false);
    assert.equal(shouldCut({ ...facts, batchesAhead: 1 }), false);
    assert.equal(shouldCut({ ...facts, pendingBytes: 0 }), false);
    assert.equal(shouldCut({ pendingBytes: BATCH_TARGET_BYTES, drained: false, batchesAhead: 3 }), true);
  });

  test('become larger behind a backlog, where the first of their events waits anyway', () => {
    const facts = { drained: true, batchesAhead: BACKLOG_BATCHES };
    assert.equal(shouldCut({ ...facts, pendingBytes: BATCH_TARGET_BYTES }), false);
    assert.equal(shouldCut({ ...facts, pendingBytes: BACKLOG_TARGET_BYTES - 1 }), false);
    assert.equal(shouldCut({ ...facts, pendingBytes: BACKLOG_TARGET_BYTES }), true);
    assert.equal(shouldCut({ ...facts, pendingBytes: BATCH_TARGET_BYTES, batchesAhead: BACKLOG_BATCHES - 1 }), true);
  });

  test('are decoded inline when small, first and without a transform', () => {
    assert.equal(shouldDecodeInline(INLINE_MAX_BYTES, 0, false), true);
    assert.equal(shouldDecodeInline(INLINE_MAX_BYTES + 1, 0, false), false);
    assert.equal(shouldDecodeInline(1, 1, false), false);
    assert.equal(shouldDecodeInline(1, 0, true), false);
  });
});

test('reading stops at the bound, starts again below half of it, and in between goes on as it was', () => {
  fc.assert(
    fc.property(fc.nat(3000), fc.integer({ min: 1, max: 1000 }), (inFlight, bound) => {
      assert.equal(shouldRead(inFlight, bound, true), inFlight < bound);
      assert.equal(shouldRead(inFlight, bound, false), inFlight < bound / 2);
    }),
  );
});

test('a silent server is asked once at half of the time, and lost when it is up', () => {
  const verdicts: string[] = [];
  let replyRequested = false;
  for (let silentMs = 0; silentMs <= 100; silentMs += 10) {
    const verdict = judgeLiveness({ silentMs, timeoutMs: 100, replyRequested });
    if (verdict === 'ask') replyRequested = true;
    verdicts.push(verdict);
  }
  assert.deepStrictEqual(verdicts, [...Array(5).fill('alive'), 'ask', ...Array(4).fill('alive'), 'lost']);
});
