import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeWalStart, parseWalFileName, type WalFileFound } from '../../src/backup/wal-resume.js';
import { parseSegmentName, parseSegmentSize, segmentName, segmentStart } from '../../src/backup/wal-segment.js';
import { ProtocolError } from '../../src/errors.js';
import fc from '../support/properties.js';

const BYTES = 16 * 1024 * 1024;

function found(...files: readonly string[]): WalFileFound[] {
  return files.flatMap((file) => {
    const named = parseWalFileName(file);
    return named === undefined ? [] : [{ ...named, file, byteCount: named.compression === 'lz4' ? undefined : BYTES }];
  });
}

test('names of segments and their positions are each other’s', () => {
  assert.equal(segmentName({ timeline: 1, startLsn: 0x1_2300_0000n }, BYTES), '000000010000000100000023');
  const sizes = fc.constantFrom(1, 16, 64, 1024).map((mebibytes) => mebibytes * 1024 * 1024);
  fc.assert(
    fc.property(
      fc.bigInt(0n, 0xffff_ffff_ffff_ffffn),
      fc.integer({ min: 1, max: 0xffff_ffff }),
      sizes,
      (lsn, timeline, bytes) => {
        const segment = { timeline, startLsn: segmentStart(lsn, bytes) };
        assert.deepEqual(parseSegmentName(segmentName(segment, bytes), bytes), segment);
      },
    ),
  );
  assert.equal(parseSegmentName('0000000100000001000000FF', 64 * 1024 * 1024), undefined);
  assert.equal(parseSegmentName('00000002.history', BYTES), undefined);
});

test('the size of segments is read as the server shows it', () => {
  assert.equal(parseSegmentSize('16MB'), BYTES);
  assert.equal(parseSegmentSize('1GB'), 1024 ** 3);
  for (const text of [undefined, null, '', '16', '3MB', '2GB', '0MB', '512kB', 'x']) {
    assert.throws(() => parseSegmentSize(text), ProtocolError, String(text));
  }
});

test('an empty folder says nothing', () => {
  assert.equal(judgeWalStart(found('00000002.history', 'notes', '000000010000000000000001.zst'), BYTES), undefined);
});

test('goes on after the last complete segment', () => {
  const start = judgeWalStart(found('000000010000000000000002', '000000010000000000000003'), BYTES);
  assert.deepEqual(start, { timeline: 1, startLsn: 0x400_0000n });
});

test('begins the incomplete segment anew', () => {
  const start = judgeWalStart(found('000000010000000000000003.partial', '000000010000000000000002'), BYTES);
  assert.deepEqual(start, { timeline: 1, startLsn: 0x300_0000n });
});

test('of two timelines in one segment takes the later', () => {
  const start = judgeWalStart(found('000000010000000000000003.partial', '000000020000000000000003.partial'), BYTES);
  assert.deepEqual(start, { timeline: 2, startLsn: 0x300_0000n });
});

test('a complete segment is worth more than a rest of it', () => {
  const start = judgeWalStart(found('000000010000000000000003', '000000010000000000000003.partial'), BYTES);
  assert.deepEqual(start, { timeline: 1, startLsn: 0x400_0000n });
});

test('a segment of another size is none', () => {
  const files = found('000000010000000000000003', '000000010000000000000004.gz');
  assert.equal(
    judgeWalStart(
      files.map((one) => ({ ...one, byteCount: 8192 })),
      BYTES,
    ),
    undefined,
  );
});

test('segments that pg_receivewal compressed are segments', () => {
  for (const suffix of ['.gz', '.lz4']) {
    const complete = found('000000010000000000000002', `000000010000000000000003${suffix}`);
    assert.deepEqual(judgeWalStart(complete, BYTES), { timeline: 1, startLsn: 0x400_0000n });
    const partial = found(...complete.map(({ file }) => file), `000000010000000000000004${suffix}.partial`);
    assert.deepEqual(judgeWalStart(partial, BYTES), { timeline: 1, startLsn: 0x400_0000n });
    const both = found('000000010000000000000004.partial', ...partial.map(({ file }) => file));
    assert.deepEqual(judgeWalStart(both, BYTES), { timeline: 1, startLsn: 0x400_0000n });
  }
});
