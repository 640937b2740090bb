import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareOrigin } from '../../src/backup/manifest-comparison.js';

const POSITIONS = { startLsn: 0x100n, startTimeline: 1, endLsn: 0x400n, endTimeline: 3 };

test('WAL of several timelines is one chain, in whatever order it is listed', () => {
  const differs = (...ranges: readonly (readonly [timeline: number, start: bigint, end: bigint])[]) => {
    const walRanges = ranges.map(([timeline, startLsn, endLsn]) => ({ timeline, startLsn, endLsn }));
    return compareOrigin({ version: 2, systemIdentifier: 1n, walRanges }, 1n, POSITIONS)?.path === 'WAL-Ranges';
  };
  assert.ok(!differs([3, 0x300n, 0x400n], [2, 0x200n, 0x300n], [1, 0x100n, 0x200n]), 'as the server lists it');
  assert.ok(!differs([1, 0x100n, 0x400n], [2, 0x400n, 0x400n], [3, 0x400n, 0x400n]), 'left where it began');
  assert.ok(differs([1, 0x100n, 0x1ffn], [3, 0x200n, 0x400n]), 'a hole');
  assert.ok(differs([1, 0x100n, 0x300n], [3, 0x200n, 0x400n]), 'an overlap');
  assert.ok(differs([3, 0x100n, 0x200n], [1, 0x200n, 0x400n]), 'back to an earlier timeline');
  assert.ok(differs([1, 0x100n, 0x200n], [3, 0x200n, 0x300n]), 'an early end');
});
