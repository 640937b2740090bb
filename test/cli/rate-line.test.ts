import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatBytes, formatCount, rateLine } from '../../src/cli/rate-line.js';

test('a line of rates', () => {
  const rates = { changesPerSecond: 81_204.4, bytesPerSecond: 14_249_000, mainThreadShare: 0.214, workerShare: 1.3 };
  assert.equal(
    rateLine({ ...rates, lagMs: 3.2, lagBytes: 1_200_000n }),
    '81,204 changes/s  14.2 MB/s  lag 3 ms, 1.2 MB  main thread 21 %  workers 130 %',
  );
  assert.match(rateLine({ ...rates, lagMs: 61_234, lagBytes: undefined }), / {2}lag 61 s {2}/);
  assert.match(rateLine({ ...rates, lagMs: undefined, lagBytes: undefined }), / {2}lag - {2}/);
});

test('figures', () => {
  assert.deepEqual([0, 999, 1_000, 1_234_567, 2_345_678_901].map(formatBytes), [
    '0 B',
    '999 B',
    '1.0 kB',
    '1.2 MB',
    '2.35 GB',
  ]);
  assert.deepEqual([0, 999.6, 1_234_567].map(formatCount), ['0', '1,000', '1,234,567']);
});
