import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { deafMs } from '../../src/connection/liveness.js';

suite('liveness of a thread that was blocked', () => {
  test('a check that comes late could not hear', () => {
    assert.equal(deafMs(100, 100), 0);
    assert.equal(deafMs(200, 100), 0);
    assert.equal(deafMs(1_100, 100), 1_000);
  });

  test('a check that is due hears: silence is the difference', () => {
    for (const interval of [1, 12.5, 7_500]) assert.equal(deafMs(interval, interval), 0);
  });
});
