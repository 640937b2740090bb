import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { verifyWalRange } from '../../src/backup/verify-wal.js';
import { WalArchiveScan } from '../../src/backup/wal-archive-scan.js';
import type { WalRangeToVerify } from '../../src/backup/wal-range-scan.js';
import { segmentName } from '../../src/backup/wal-segment.js';
import type { WalSource } from '../../src/backup/wal-source.js';
import { type RecordToWrite, switchRecord, writeWal } from './wal-bytes.js';

const SEGMENT_BYTES = 1024 * 1024;
const PAGE_BYTES = 8192;
const SYSTEM = 7_412_345_678_901_234_567n;
const BASE = 0x1_2340_0000n;

interface Segment {
  readonly name: string;
  readonly bytes: Buffer;
}

/** What reads segments by name, in whatever order, is the oracle. */
function randomAccess(segments: readonly Segment[]): WalSource {
  return {
    anySegment: async () => segments[0]?.name,
    open: async (name) => {
      const bytes = segments.find((segment) => segment.name === name)?.bytes;
      if (bytes === undefined) return undefined;
      return {
        byteCount: bytes.length,
        read: async (buffer, position) => bytes.copy(buffer, 0, position),
        close: async () => {},
      };
    },
  };
}

/** Reads the archive as often as it is asked to, its content in pieces of these sizes. */
function scanArchive(segments: readonly Segment[], ranges: readonly WalRangeToVerify[], pieces: readonly number[]) {
  const scan = new WalArchiveScan(ranges);
  let readings = 0;
  do {
    readings++;
    for (const { name, bytes } of segments) {
      scan.begin(`archive_status/${name}.done`, 0);
      scan.end();
      scan.begin(name, bytes.length);
      for (let at = 0, piece = 0; at < bytes.length; piece++) {
        const count = Math.min(pieces[piece % pieces.length] ?? 1, bytes.length - at);
        scan.push(bytes, at, at + count);
        at += count;
      }
      scan.end();
    }
  } while (scan.endReading());
  return { verdicts: scan.judge(), readings };
}

const records: fc.Arbitrary<RecordToWrite[]> = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: fc.nat(60_000).map((length) => ({ data: Buffer.alloc(length, length) })) },
    { weight: 1, arbitrary: fc.constant(switchRecord()) },
  ),
  { minLength: 2, maxLength: 9 },
);

test('an archive is judged as segments that are read by name, in any order and in any pieces', async () => {
  const readingsSeen = new Set<number>();
  const pieceSizes = fc.array(fc.oneof(fc.integer({ min: 1000, max: 9000 }), fc.integer({ min: 1, max: 600_000 })), {
    minLength: 1,
    maxLength: 6,
  });
  const numbers = fc.array(fc.nat(), { minLength: 20, maxLength: 20 });
  const harm = fc.constantFrom('none', 'none', 'flip', 'drop', 'cut');
  await fc.assert(
    fc.asyncProperty(records, numbers, harm, pieceSizes, fc.boolean(), async (written, order, how, pieces, shuffle) => {
      const wal = writeWal(
        {
          startLsn: BASE + 40n,
          timeline: 3,
          segmentBytes: SEGMENT_BYTES,
          pageBytes: PAGE_BYTES,
          systemIdentifier: SYSTEM,
        },
        written,
      );
      let segments: Segment[] = [];
      for (let at = 0; at < wal.bytes.length; at += SEGMENT_BYTES) {
        const name = segmentName({ timeline: 3, startLsn: wal.baseLsn + BigInt(at) }, SEGMENT_BYTES);
        segments.push({ name, bytes: wal.bytes.subarray(at, at + SEGMENT_BYTES) });
      }
      const victim = (order[0] ?? 0) % segments.length;
      const { bytes, name } = segments[victim] as Segment;
      if (how === 'flip') bytes[(order[1] ?? 0) % bytes.length] ^= 1 << ((order[2] ?? 0) % 8);
      if (how === 'drop') segments.splice(victim, 1);
      if (how === 'cut') segments[victim] = { name, bytes: bytes.subarray(0, (order[1] ?? 0) % SEGMENT_BYTES) };
      if (shuffle) {
        const keys = new Map(segments.map((segment, index) => [segment, order[3 + (index % 17)] ?? 0]));
        segments = segments.toSorted((a, b) => (keys.get(a) ?? 0) - (keys.get(b) ?? 0));
      }
      const middle = wal.recordLsns[Math.floor(wal.recordLsns.length / 2)] ?? wal.endLsn;
      const first = wal.recordLsns[0] ?? 0n;
      const ranges = [
        { timeline: 3, startLsn: first, endLsn: wal.endLsn, systemIdentifier: SYSTEM },
        { timeline: 3, startLsn: middle, endLsn: wal.endLsn, systemIdentifier: SYSTEM },
        { timeline: 4, startLsn: first, endLsn: middle, systemIdentifier: SYSTEM },
      ];
      const { verdicts, readings } = scanArchive(segments, ranges, pieces);
      const source = randomAccess(segments);
      const expected = await Promise.all(ranges.map((range) => verifyWalRange(source, range)));
      assert.deepEqual(verdicts, segments.length === 0 ? undefined : expected);
      if (how === 'none') assert.deepEqual(verdicts?.slice(0, 2), [undefined, undefined]);
      assert.ok(readings <= Math.max(segments.length, 1) && (shuffle || readings === 1), `${readings} readings`);
      readingsSeen.add(readings);
    }),
    { numRuns: 80 },
  );
  assert.ok(readingsSeen.size > 1, 'some took more than one reading');
});

test('an archive that ends within a segment', () => {
  const wal = writeWal(
    { startLsn: BASE + 40n, timeline: 3, segmentBytes: SEGMENT_BYTES, pageBytes: PAGE_BYTES, systemIdentifier: SYSTEM },
    [{ data: Buffer.alloc(500_000, 7) }],
  );
  const range = { timeline: 3, startLsn: BASE + 40n, endLsn: wal.endLsn, systemIdentifier: SYSTEM };
  const name = segmentName({ timeline: 3, startLsn: BASE }, SEGMENT_BYTES);
  for (const [byteCount, problem] of [
    [20, `the segment ${name} is too short`],
    [100_000, 'its segment is cut off'],
    [600_000, undefined],
  ] as const) {
    const scan = new WalArchiveScan([range]);
    scan.begin(name, SEGMENT_BYTES);
    scan.push(wal.bytes, 0, byteCount);
    assert.equal(scan.judge()?.[0]?.problem, problem);
  }
  assert.equal(new WalArchiveScan([range]).judge(), undefined);
});
