import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { WalScanner } from '../../src/backup/wal-scanner.js';
import fc from '../support/properties.js';
import { type RecordToWrite, switchRecord, type WrittenWal, writeWal } from './wal-bytes.js';

const SEGMENT_BYTES = 1024 * 1024;
const PAGE_BYTES = 8192;
const SYSTEM = 7_412_345_678_901_234_567n;
const BASE = 0x1_2340_0000n;

const record: fc.Arbitrary<RecordToWrite> = fc
  .record({
    length: fc.oneof(fc.nat(200), fc.nat(20_000)),
    fill: fc.nat(255),
    rmgr: fc.constantFrom(1, 10, 21, 130),
  })
  .map(({ length, fill, rmgr }) => ({ data: Buffer.alloc(length, fill), rmgr }));

const wal: fc.Arbitrary<WrittenWal> = fc
  .record({
    records: fc.array(
      fc.oneof({ weight: 20, arbitrary: record }, { weight: 1, arbitrary: fc.constant(switchRecord()) }),
      {
        minLength: 1,
        maxLength: 60,
      },
    ),
    start: fc.oneof(
      fc.constantFrom(0, 40, PAGE_BYTES, PAGE_BYTES + 24, SEGMENT_BYTES - 8),
      fc.nat((PAGE_BYTES - 64) / 8).map((words) => 3 * PAGE_BYTES + 24 + words * 8),
    ),
  })
  .map(({ records, start }) => write(records, BASE + BigInt(start)));

function write(records: readonly RecordToWrite[], startLsn: bigint): WrittenWal & { startLsn: bigint } {
  const written = writeWal(
    { startLsn, timeline: 3, segmentBytes: SEGMENT_BYTES, pageBytes: PAGE_BYTES, systemIdentifier: SYSTEM },
    records,
  );
  return { ...written, startLsn };
}

function scan(written: WrittenWal, bytes = written.bytes, startLsn = written.recordLsns[0] ?? 0n): WalScanner {
  const scanner = new WalScanner({
    timeline: 3,
    startLsn,
    endLsn: written.endLsn,
    segmentBytes: SEGMENT_BYTES,
    pageBytes: PAGE_BYTES,
    systemIdentifier: SYSTEM,
  });
  const first = scanner.nextPageLsn;
  if (first !== undefined && first !== written.baseLsn && first < written.baseLsn + BigInt(SEGMENT_BYTES)) {
    scanner.page(bytes, 0, written.baseLsn);
  }
  for (let pageLsn = scanner.nextPageLsn; pageLsn !== undefined; pageLsn = scanner.nextPageLsn) {
    const at = Number(pageLsn - written.baseLsn);
    if (at >= bytes.length) {
      scanner.missing('the segment is missing');
      break;
    }
    scanner.page(bytes, at, pageLsn);
  }
  return scanner;
}

describe('WAL pages and records', () => {
  test('what was written well is read to its end, every record of it', () => {
    fc.assert(
      fc.property(wal, (written) => {
        const scanner = scan(written);
        assert.equal(scanner.fault, undefined);
        assert.ok(scanner.done);
        assert.equal(scanner.records, written.recordLsns.length);
      }),
      { numRuns: 200 },
    );
  });

  test('a flipped bit of a record or page header is found', () => {
    fc.assert(
      fc.property(wal, fc.nat(), fc.nat(7), (written, choice, bit) => {
        const offsets = [...written.meaningful];
        const offset = offsets[choice % offsets.length] ?? 0;
        const bytes = Buffer.from(written.bytes);
        bytes[offset] ^= 1 << bit;
        const scanner = scan(written, bytes);
        assert.ok(scanner.fault !== undefined, `a flip of bit ${bit} at ${offset} was not found`);
      }),
      { numRuns: 400 },
    );
  });

  test('WAL that is cut off anywhere is not taken for whole', () => {
    fc.assert(
      fc.property(wal, fc.nat(), (written, choice) => {
        const used = [...written.meaningful].reduce((most, offset) => Math.max(most, offset), 0);
        const from = Number((written.recordLsns[0] ?? 0n) - written.baseLsn);
        const length = from + (choice % Math.max(used - from, 1));
        const bytes = written.bytes.subarray(0, length);
        assert.ok(scan(written, bytes).fault !== undefined);
        const zeroed = Buffer.concat([bytes, Buffer.alloc(written.bytes.length - length)]);
        const scanner = scan(written, zeroed);
        // Zeros in place of zeros are no damage.
        assert.ok(scanner.fault !== undefined || zeroed.equals(written.bytes));
      }),
      { numRuns: 200 },
    );
  });

  test('random bytes give a fault, never a crash', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: PAGE_BYTES }), fc.boolean(), (noise, headed) => {
        const written = write([{ data: Buffer.alloc(30_000) }], BASE);
        const bytes = Buffer.from(written.bytes);
        Buffer.from(noise).copy(bytes, headed ? 40 : 0);
        const scanner = scan(written, bytes);
        assert.ok(scanner.done !== (scanner.fault !== undefined));
      }),
    );
  });

  test('a record of a gigabyte is claimed and nothing allocated for it', () => {
    const written = write([{ data: Buffer.alloc(100) }], BASE);
    const bytes = Buffer.from(written.bytes);
    bytes.writeUInt32LE(0x3fff_ffff, 40);
    assert.match(scan(written, bytes).fault?.problem ?? '', /crosses|incorrect|does not go on/);
  });

  test('names what is wrong', () => {
    const written = write(
      [{ data: Buffer.alloc(100) }, { data: Buffer.alloc(20_000) }, { data: Buffer.alloc(10) }],
      BASE,
    );
    const faults: readonly (readonly [string, (bytes: Buffer) => void, RegExp])[] = [
      ['magic', (bytes) => bytes.writeUInt16LE(0xd0ff, PAGE_BYTES), /^invalid magic number D0FF in the page header/],
      ['other major', (bytes) => bytes.writeUInt16LE(0xd110, PAGE_BYTES), /^a page of PostgreSQL 15 among those of 18/],
      ['address', (bytes) => bytes.writeUInt32LE(0, PAGE_BYTES + 8), /^unexpected page address 1\/0/],
      ['timeline', (bytes) => bytes.writeUInt32LE(4, PAGE_BYTES + 4), /^unexpected timeline 4/],
      ['system', (bytes) => bytes.writeUInt32LE(1, 24), /^WAL of another system/],
      ['segment size', (bytes) => bytes.writeUInt32LE(2 * SEGMENT_BYTES, 32), /^unexpected segment size 2097152/],
      ['page size', (bytes) => bytes.writeUInt32LE(4096, 36), /^unexpected page size 4096/],
      ['no continuation', (bytes) => bytes.writeUInt16LE(0, PAGE_BYTES + 2), /does not go on$/],
      ['length left', (bytes) => bytes.writeUInt32LE(1, PAGE_BYTES + 16), /lacks \d+ bytes, not 1$/],
      ['zeros', (bytes) => bytes.fill(0, 40, 400), /^invalid record length: expected at least 24, got 0/],
      ['manager', (bytes) => bytes.writeUInt8(99, 40 + 17), /^invalid resource manager ID 99/],
      ['data', (bytes) => bytes.writeUInt8(1, 40 + 60), /^incorrect checksum of the record/],
      ['link', (bytes) => bytes.writeUInt32LE(8, 40 + 128 + 8), /incorrect prev-link/],
    ];
    for (const [what, damage, expected] of faults) {
      const bytes = Buffer.from(written.bytes);
      damage(bytes);
      assert.match(scan(written, bytes).fault?.problem ?? 'no fault', expected, what);
    }
  });

  test('a record that a crash left unfinished is passed over where the next page says so', () => {
    const written = write([{ data: Buffer.alloc(100) }, { data: Buffer.alloc(20_000) }], BASE);
    const [first = 0n] = written.recordLsns;
    const bytes = Buffer.from(written.bytes);
    bytes.writeUInt16LE(0x0008, PAGE_BYTES + 2);
    bytes.writeUInt32LE(0, PAGE_BYTES + 16);
    const after = writeWal(
      {
        startLsn: BASE + 40n,
        timeline: 3,
        segmentBytes: SEGMENT_BYTES,
        pageBytes: PAGE_BYTES,
        systemIdentifier: SYSTEM,
      },
      [{ data: Buffer.alloc(32), rmgr: 0, info: 0xd0 }],
    );
    after.bytes.copy(bytes, PAGE_BYTES + 24, 40, 40 + 56);
    const endLsn = BASE + BigInt(PAGE_BYTES + 24 + 56);
    // Its link names the first record, the last that is whole; the CRC is made anew for that.
    const relinked = relink(bytes, PAGE_BYTES + 24, first);
    const scanner = scan({ ...written, endLsn }, relinked);
    assert.equal(scanner.fault, undefined);
    assert.equal(scanner.records, 2);
  });
});

function relink(bytes: Buffer, at: number, prevLsn: bigint): Buffer {
  const data = bytes.subarray(at + 24, at + bytes.readUInt32LE(at));
  const [rmgr, info] = [bytes[at + 17], bytes[at + 16]];
  const wal = {
    startLsn: prevLsn,
    timeline: 3,
    segmentBytes: SEGMENT_BYTES,
    pageBytes: PAGE_BYTES,
    systemIdentifier: SYSTEM,
  };
  // The second record of a WAL whose first begins at `prevLsn` links to it.
  const written = writeWal(wal, [{ data: Buffer.alloc(0) }, { data, rmgr, info }]);
  const from = Number((written.recordLsns[1] ?? 0n) - written.baseLsn);
  written.bytes.copy(bytes, at, from, from + 24 + data.length);
  return bytes;
}
