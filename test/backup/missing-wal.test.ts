import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findMissingWal } from '../../src/backup/missing-wal.js';

const MIB = 1024 ** 2;

test('every segment must be there and whole', () => {
  const check = (names: readonly string[], startLsn: bigint, endLsn: bigint, size = 16 * MIB) => {
    const received = new Map(names.map((name) => [`pg_wal/${name}`, { size, checksum: '' }]));
    const positions = { startLsn, startTimeline: 1, endLsn, endTimeline: 1 };
    return findMissingWal(received, 16 * MIB, positions)?.message.match(/[0-9A-F]{16}/)?.[0];
  };
  const two = ['0000000100000000000000FF', '000000020000000100000000'];
  assert.equal(check(two, 0xff00_0028n, 0x1_0000_0100n), undefined, 'over the border of 4 GiB, and timelines');
  assert.equal(check(two, 0xff00_0028n, 0x1_0100_0000n), undefined, 'up to the very end of a segment');
  assert.equal(check(two, 0xff00_0028n, 0x1_0100_0001n), '0000000100000001');
  assert.equal(check(two, 0xfe00_0028n, 0x1_0000_0100n), '00000000000000FE');
  assert.equal(check(two.slice(1), 0xff00_0028n, 0x1_0000_0100n), '00000000000000FF');
  assert.equal(check(two, 0xff00_0028n, 0x1_0000_0100n, MIB), '00000000000000FF', 'cut short');
  assert.equal(check(['0000000100000000000000FF.partial'], 0xff00_0028n, 0xff00_0030n), '00000000000000FF');
});
