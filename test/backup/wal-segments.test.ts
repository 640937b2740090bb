import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findMissingWal, parseSegmentSize } from '../../src/backup/wal-segments.js';
import { ProtocolError } from '../../src/errors.js';

const MIB = 1024 ** 2;

test('segment sizes', () => {
  assert.equal(parseSegmentSize('16MB'), 16 * MIB);
  assert.equal(parseSegmentSize('1GB'), 1024 * MIB);
  for (const text of [undefined, null, '', '16', '3MB', '2GB', '0MB', '16kB']) {
    assert.throws(() => parseSegmentSize(text), ProtocolError, String(text));
  }
});

test('every segment must be there and whole', () => {
  const check = (names: readonly string[], startLsn: bigint, endLsn: bigint, size = 16 * MIB) => {
    const received = new Map(names.map((name) => [`pg_wal/${name}`, { size, checksum: '' }]));
    return findMissingWal(received, 16 * MIB, { startLsn, endLsn })?.message.match(/[0-9A-F]{16}/)?.[0];
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
