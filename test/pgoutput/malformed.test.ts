import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { DecodeError } from '../../src/errors.js';
import { Transcoder } from '../../src/pgoutput/transcoder.js';
import { WalBatch } from '../../src/pgoutput/wal-batch.js';
import { Oid } from '../../src/types/oids.js';
import { UNCHANGED } from '../../src/types/unchanged.js';
import * as wire from '../support/pgoutput-bytes.js';
import fc from '../support/properties.js';
import * as uncommitted from '../support/uncommitted-bytes.js';
import { cutStream, decode, eventFacts, taskOf } from './batches.js';

const LSN = 0x1_0000_0020n;
const ID = 77;
const COLUMNS = [
  { name: 'id', typeOid: Oid.int4, isIdentity: true },
  { name: 'note', typeOid: Oid.text },
];
const RELATION = wire.relation({ id: ID, schema: 's', table: 't', columns: COLUMNS });

const PREPARED = { xid: 9, gid: 'gid', prepareLsn: 3n, prepareEndLsn: 4n };

/** One of each message. */
const MESSAGES: Readonly<Record<string, Buffer>> = {
  begin: wire.begin({ commitLsn: 3n, commitTimeUs: 5n, xid: 7 }),
  commit: wire.commit({ commitLsn: 3n, commitEndLsn: 4n, commitTimeUs: 5n }),
  origin: wire.origin({ originLsn: 3n, name: 'origin' }),
  relation: RELATION,
  type: wire.type({ id: 9, schema: 's', name: 'type' }),
  insert: wire.insert(ID, ['1', 'x']),
  'insert of null': wire.insert(ID, ['1', null]),
  'insert of binary': wire.insert(ID, [Buffer.of(0, 0, 0, 1), Buffer.from('x')]),
  update: wire.update(ID, ['1', UNCHANGED]),
  'update of a key': wire.update(ID, ['1', 'x'], { key: ['2', null] }),
  'update of an old row': wire.update(ID, ['1', UNCHANGED], { old: ['2', 'y'] }),
  'delete by key': wire.deleteRow(ID, { key: ['1', null] }),
  'delete of a row': wire.deleteRow(ID, { old: ['1', 'x'] }),
  truncate: wire.truncate([ID, ID], { cascade: true }),
  message: wire.message({ transactional: true, lsn: 3n, prefix: 'p', content: 'content' }),
  'message alone': wire.message({ transactional: false, lsn: 3n, prefix: 'p', content: 'content' }),
  'stream start': uncommitted.streamStart({ xid: 9, isFirst: true }),
  'stream stop': uncommitted.streamStop(),
  'stream commit': uncommitted.streamCommit({ xid: 9, commitLsn: 3n, commitEndLsn: 4n }),
  'begin prepare': uncommitted.beginPrepare(PREPARED),
  prepare: uncommitted.prepare(PREPARED),
  'stream prepare': uncommitted.streamPrepare(PREPARED),
  'commit prepared': uncommitted.commitPrepared({ ...PREPARED, commitLsn: 5n, commitEndLsn: 6n }),
  'rollback prepared': uncommitted.rollbackPrepared({ ...PREPARED, rollbackEndLsn: 6n }),
};

const BEFORE = [
  wire.xLogData(LSN - 2n, wire.begin({ commitLsn: 900n, xid: 1 })),
  wire.xLogData(LSN - 1n, RELATION),
  wire.xLogData(LSN - 1n, wire.insert(ID, ['5', 'before'])),
];

const BLOCK_BEFORE = [
  wire.xLogData(LSN - 3n, uncommitted.streamStart({ xid: 9, isFirst: true })),
  wire.xLogData(LSN - 1n, uncommitted.inBlock(10, RELATION)),
  wire.xLogData(LSN - 1n, uncommitted.inBlock(10, wire.insert(ID, ['5', 'before']))),
];

interface Outcome {
  readonly kinds: readonly string[];
  readonly error: unknown;
}

/** Decodes `payload` after a transaction has begun, by cutter, transcoder and every property of the events. */
function outcome(payload: Uint8Array, before: readonly Buffer[] = BEFORE): Outcome {
  let decoded: { events: { kind: string }[]; error: unknown };
  try {
    decoded = decode([...before, wire.xLogData(LSN, payload)]);
    for (const event of decoded.events) {
      eventFacts(event as never);
      JSON.stringify(event);
    }
  } catch (error) {
    // The cutter's: it leaves the message out of the batch.
    if (!(error instanceof DecodeError)) throw error;
    return { kinds: decode(before).events.map(({ kind }) => kind), error };
  }
  return { kinds: decoded.events.map(({ kind }) => kind), error: decoded.error };
}

function assertLocated(error: unknown, payload: Uint8Array): void {
  assert.ok(error instanceof DecodeError, `${error instanceof Error ? error.stack : error}`);
  assert.equal(error.lsn, LSN);
  assert.ok(
    error.offset >= 0 && error.offset <= payload.length,
    `offset ${error.offset} of ${payload.length}: ${error.message}`,
  );
  if (payload.length > 0) assert.equal(error.tag, String.fromCharCode(payload[0]));
}

suite('one message of each kind', () => {
  for (const [name, payload] of Object.entries(MESSAGES)) {
    test(name, () => {
      assert.equal(outcome(payload).error, undefined);
      // Anything short of a whole message is an error at its place, and what came before is there.
      for (let length = 0; length < payload.length; length++) {
        const { kinds, error } = outcome(payload.subarray(0, length));
        assertLocated(error, payload.subarray(0, length));
        assert.deepEqual(kinds, ['begin', 'relation', 'insert'], `${length} bytes`);
      }
      const longer = Buffer.concat([payload, Buffer.of(0)]);
      assertLocated(outcome(longer).error, longer);
    });
  }
});

suite('one message of each kind in a streamed block', () => {
  for (const [name, message] of Object.entries(MESSAGES)) {
    if (!'IUDTRYM'.includes(message.toString('latin1', 0, 1))) continue;
    test(name, () => {
      const payload = uncommitted.inBlock(11, message);
      assert.equal(outcome(payload, BLOCK_BEFORE).error, undefined);
      for (let length = 0; length < payload.length; length++) {
        const { kinds, error } = outcome(payload.subarray(0, length), BLOCK_BEFORE);
        assertLocated(error, payload.subarray(0, length));
        assert.deepEqual(kinds, ['streamStart', 'relation', 'insert'], `${length} bytes`);
      }
      const longer = Buffer.concat([payload, Buffer.of(0)]);
      assertLocated(outcome(longer, BLOCK_BEFORE).error, longer);
    });
  }

  test('any bytes at all', () => {
    fc.assert(
      fc.property(fc.constantFrom(...'BCORYIUDTMSEcAbPKrpZ\0'), fc.uint8Array({ maxLength: 80 }), (tag, rest) => {
        const bytes = Buffer.concat([Buffer.from(tag), rest]);
        const { error } = outcome(bytes, BLOCK_BEFORE);
        if (error !== undefined) assertLocated(error, bytes);
      }),
      { numRuns: 10_000 },
    );
  });
});

test('a stream abort that is cut short', () => {
  const payload = uncommitted.streamAbort({ xid: 9, subxid: 10, abortLsn: 5n });
  for (let length = 1; length < payload.length; length++) {
    // Without its position it is whole, of another protocol version.
    if (length === 9) continue;
    assertLocated(outcome(payload.subarray(0, length)).error, payload.subarray(0, length));
  }
});

test('any change of any byte gives an event or a DecodeError with its place', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.values(MESSAGES)),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      (payload, changes) => {
        const bytes = Buffer.from(payload);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        const { kinds, error } = outcome(bytes);
        assert.deepEqual(kinds.slice(0, 3), ['begin', 'relation', 'insert']);
        if (error !== undefined) assertLocated(error, bytes);
      },
    ),
    { numRuns: 30_000 },
  );
});

test('any bytes at all', () => {
  fc.assert(
    fc.property(fc.constantFrom(...'BCORYIUDTMSEcAbPKrpZ\0'), fc.uint8Array({ maxLength: 80 }), (tag, rest) => {
      const bytes = Buffer.concat([Buffer.from(tag), rest]);
      const { error } = outcome(bytes);
      if (error !== undefined) assertLocated(error, bytes);
    }),
    { numRuns: 20_000 },
  );
});

suite('what is wrong', () => {
  const cases: readonly [string, Buffer, RegExp, Partial<DecodeError>][] = [
    ['a relation that was not described', wire.insert(4711, ['1']), /not described/, { offset: 0, relationId: 4711 }],
    [
      'a truncate of a relation that was not described',
      wire.truncate([ID, 4712]),
      /not described/,
      { offset: 0, relationId: 4712 },
    ],
    ['too few columns', wire.insert(ID, ['1']), /tuple of 1 columns; its relation has 2/, { offset: 6 }],
    ['too many columns', wire.insert(ID, ['1', 'x', 'y']), /tuple of 3 columns/, { offset: 6 }],
    ['an unknown tag', Buffer.from('Z....'), /unknown pgoutput message/, { offset: 0, tag: 'Z' }],
    ['a column of an unknown kind', replaced(wire.insert(ID, ['1', null]), 'n', 'q'), /unknown kind/, { offset: 14 }],
    ['a value that is none of its type', wire.insert(ID, ['one', 'x']), /./, { offset: 13, tag: 'I' }],
    ['no new tuple', replaced(wire.insert(ID, ['1', 'x']), 'N', 'O'), /tuple of kind 'N' expected/, { offset: 5 }],
    ['neither key nor old row', replaced(wire.deleteRow(ID, { key: ['1', null] }), 'K', 'X'), /'K'/, { offset: 5 }],
    ['an unknown replica identity', replaced(RELATION, 'd', 'x', 8), /replica identity/, { offset: 9, tag: 'R' }],
  ];
  for (const [name, payload, message, expected] of cases) {
    test(name, () => {
      const { error } = outcome(payload);
      assertLocated(error, payload);
      assert.ok(error instanceof DecodeError);
      assert.match(error.message, message);
      for (const [field, value] of Object.entries(expected)) {
        assert.equal(error[field as keyof DecodeError], value, field);
      }
    });
  }

  test('a value of negative or enormous length', () => {
    for (const length of [-1, -(2 ** 31), 2 ** 31 - 1]) {
      const payload = wire.insert(ID, ['1', 'x']);
      payload.writeInt32BE(length, payload.length - 5);
      assertLocated(outcome(payload).error, payload);
      const content = wire.message({ transactional: true, lsn: 1n, prefix: 'p', content: 'x' });
      content.writeInt32BE(length, content.length - 5);
      assertLocated(outcome(content).error, content);
    }
  });

  test('a value is named by its column, also next to empty ones and in the old row', () => {
    const columns = ['id', 'note'];
    const cases: readonly [Buffer, string | undefined][] = [
      [wire.insert(ID, ['', 'x']), columns[0]],
      [wire.insert(ID, ['x', '']), columns[0]],
      [wire.insert(ID, [null, Buffer.of(0xff)]), columns[1]],
      [wire.insert(ID, ['1', Buffer.of(0xff)]), columns[1]],
      [wire.update(ID, ['1', 'x'], { old: ['1', Buffer.of(0xff)] }), columns[1]],
      [wire.update(ID, ['x', 'x'], { old: ['1', ''] }), columns[0]],
      [wire.update(ID, ['1', Buffer.of(0xff)], { key: ['1', null] }), columns[1]],
      [wire.deleteRow(ID, { key: ['', null] }), columns[0]],
      [replaced(wire.insert(ID, ['1', '']), 't', 'q', 12), columns[1]],
      [wire.insert(ID, ['1']), undefined],
      [wire.insert(ID, ['1', 'x']).subarray(0, 14), undefined],
    ];
    for (const [payload, column] of cases) {
      const { error } = outcome(payload);
      assert.ok(error instanceof DecodeError, payload.toString('hex'));
      assert.equal(error.column, column, `${payload.toString('hex')} ${error.message}`);
      assert.equal(error.relation, 's.t');
    }
  });

  test('an error names no value of the row', () => {
    const { error } = outcome(wire.insert(ID, ['12secret', 'x']));
    assert.ok(error instanceof DecodeError);
    assert.doesNotMatch(`${error.message}${JSON.stringify({ ...error, lsn: '' })}`, /secret/);
  });

  test('XLogData that is shorter than its header, at the very end of the memory', () => {
    for (let length = 0; length < 25; length++) {
      const frame = wire.copyData(Buffer.concat([Buffer.from('w'), Buffer.alloc(length)]));
      const bytes = Buffer.allocUnsafeSlow(frame.length);
      frame.copy(bytes);
      const { error, index } = new Transcoder('lossless').transcode({
        bytes,
        start: 0,
        end: bytes.length,
        relations: [],
        facts: { startsInBlock: false, versionsFrom: [], strayAborts: [] },
      });
      assert.ok(error instanceof DecodeError, `${length} bytes after the tag`);
      assert.equal(index.length, 0);
      assert.throws(() => cutStream([frame]), DecodeError);
    }
  });
});

test('the same decoder goes on with the next batch after an error', () => {
  const { batches } = cutStream([...BEFORE, wire.xLogData(LSN, wire.insert(ID, ['x', 'y']))], (at) => at === 2);
  const [good, bad] = batches;
  assert.ok(good !== undefined && bad !== undefined);
  const transcoder = new Transcoder('lossless');
  for (let round = 0; round < 3; round++) {
    const failed = transcoder.transcode(taskOf(bad));
    assertLocated(failed.error, wire.insert(ID, ['x', 'y']));
    assert.equal(failed.data.length, 0);
    const packed = transcoder.transcode(taskOf(good));
    assert.equal(packed.error, undefined);
    assert.equal([...new WalBatch(good.position, packed)].length, 3);
  }
});

test('what a message claims makes no memory', () => {
  const hungry = [
    Buffer.concat([Buffer.from('T'), wire.uint32(0xffffffff), Buffer.of(0)]),
    Buffer.concat([Buffer.from('R'), wire.uint32(1), Buffer.from('s\0t\0d'), Buffer.of(0xff, 0xff)]),
    Buffer.concat([
      Buffer.from('I'),
      wire.uint32(ID),
      Buffer.from('N'),
      Buffer.of(0, 2, 0x74),
      wire.uint32(0x7ffffff0),
    ]),
    Buffer.concat([Buffer.from('M'), Buffer.of(1), wire.uint64(1n), Buffer.from('p\0'), wire.uint32(0x7ffffff0)]),
  ];
  const before = process.memoryUsage();
  for (const payload of hungry) {
    for (let round = 0; round < 50; round++) assertLocated(outcome(payload).error, payload);
  }
  const after = process.memoryUsage();
  assert.ok(after.rss - before.rss < 100 * 1024 * 1024, `${(after.rss - before.rss) >> 20} MiB more`);
});

/** The first `from` at or after `start`, replaced. */
function replaced(bytes: Buffer, from: string, to: string, start = 5): Buffer {
  const copy = Buffer.from(bytes);
  copy.write(to, copy.indexOf(from, start), 'latin1');
  return copy;
}
