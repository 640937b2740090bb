import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { DecodeError } from '../../src/errors.js';
import { PgoutputDecoder } from '../../src/pgoutput/decoder.js';
import { encodeMessage } from '../../src/pgoutput/encoder.js';
import type { PgoutputMessage, RelationMessage } from '../../src/pgoutput/pgoutput-message.js';
import { type Tuple, TupleValue } from '../../src/pgoutput/tuple-value.js';
import { UNCHANGED } from '../../src/types/unchanged.js';
import * as wire from '../support/pgoutput-bytes.js';

const ID = 77;

function relation(table: string, columnCount = 2, id = ID): RelationMessage {
  return {
    kind: 'relation',
    id,
    schema: 's',
    table,
    replicaIdentity: 'default',
    columns: Array.from({ length: columnCount }, (_, at) => ({
      name: `c${at}`,
      typeOid: 25,
      typeModifier: -1,
      isIdentity: at === 0,
    })),
  };
}

function insert(columnCount = 2, xid?: number): PgoutputMessage {
  const row: Tuple = Array.from({ length: columnCount }, () => TupleValue.fromText('v'));
  return { kind: 'insert', ...(xid === undefined ? {} : { xid }), relationId: ID, new: row };
}

const streamStart = (xid: number, isFirst = true): PgoutputMessage => ({ kind: 'streamStart', xid, isFirst });
const streamStop: PgoutputMessage = { kind: 'streamStop' };
const commitOf = (xid: number): PgoutputMessage => ({
  kind: 'streamCommit',
  xid,
  commitLsn: 1n,
  commitEndLsn: 2n,
  commitTimeUs: 0n,
});
const prepareOf = (xid: number): PgoutputMessage => ({
  kind: 'streamPrepare',
  prepareLsn: 1n,
  prepareEndLsn: 2n,
  prepareTimeUs: 0n,
  xid,
  gid: 'g',
});

/** Decodes what `messages` are as bytes, and has to get the same messages. */
function feed(decoder: PgoutputDecoder, ...messages: readonly PgoutputMessage[]): void {
  for (const message of messages) assert.deepStrictEqual(decoder.decode(encodeMessage(message)), message);
}

function refused(decoder: PgoutputDecoder, bytes: Buffer, message: RegExp, location: Partial<DecodeError>): void {
  assert.throws(
    () => decoder.decode(bytes),
    (error) => {
      assert.ok(error instanceof DecodeError, `${error}`);
      assert.match(error.message, message);
      for (const [name, value] of Object.entries(location)) assert.equal(error[name as keyof DecodeError], value, name);
      return true;
    },
  );
}

suite('values', () => {
  test('keep every byte, of invalid UTF-8 too, and share no memory with the message', () => {
    const decoder = new PgoutputDecoder();
    feed(decoder, relation('t', 4));
    const sent = Buffer.concat([
      Buffer.from('I'),
      wire.uint32(ID),
      Buffer.from('N'),
      Buffer.from([0, 4, 0x6e, 0x75]),
      Buffer.from('t\0\0\0\x02', 'latin1'),
      Buffer.of(0xc3, 0x28),
      Buffer.from('b\0\0\0\x01\xff', 'latin1'),
    ]);
    const message = decoder.decode(sent);
    assert.ok(message.kind === 'insert');
    assert.deepEqual(encodeMessage(message), sent);
    sent.fill(0);
    const [none, unchanged, text, binary] = message.new;
    assert.equal(none, null);
    assert.equal(unchanged, UNCHANGED);
    assert.ok(text instanceof TupleValue && binary instanceof TupleValue);
    assert.deepEqual([text.format, [...text.bytes], text.text], ['text', [0xc3, 0x28], '\ufffd(']);
    assert.deepEqual([binary.format, [...binary.bytes], binary.text], ['binary', [0xff], undefined]);
  });

  test('a message inside a larger buffer', () => {
    const decoder = new PgoutputDecoder();
    const bytes = encodeMessage(relation('t'));
    const around = Buffer.concat([Buffer.alloc(9, 0x49), bytes, Buffer.alloc(9, 0x49)]);
    assert.deepStrictEqual(decoder.decode(around, 9, 9 + bytes.length), relation('t'));
    assert.throws(() => decoder.decode(around, 9, 8 + bytes.length), DecodeError);
    assert.throws(() => decoder.decode(around, 9), /bytes after the end of the message/);
  });

  test('pg_catalog is the empty namespace', () => {
    const decoder = new PgoutputDecoder();
    const bytes = wire.type({ id: 90_000, schema: '', name: 'extension type' });
    const message = decoder.decode(bytes);
    assert.deepStrictEqual(message, { kind: 'type', id: 90_000, schema: 'pg_catalog', name: 'extension type' });
    assert.deepEqual(encodeMessage(message), bytes);
  });
});

suite('relations', () => {
  test('are those described last, in the order of the stream', () => {
    const decoder = new PgoutputDecoder();
    assert.equal(decoder.relation(ID), undefined);
    feed(decoder, relation('before', 2), insert(2));
    assert.equal(decoder.relation(ID)?.table, 'before');
    feed(decoder, relation('after', 3), insert(3));
    const { kind: _, ...described } = relation('after', 3);
    assert.deepStrictEqual(decoder.relation(ID), described);
    assert.equal(decoder.relation(ID + 1), undefined);
  });

  test('of a streamed transaction are its own until it commits', () => {
    const decoder = new PgoutputDecoder();
    feed(decoder, relation('committed', 2));
    // The subtransaction's xid is with the message, and the relation is the whole transaction's.
    feed(decoder, streamStart(10), insert(2, 10), { ...relation('of 10', 3), xid: 11 }, insert(3, 12), streamStop);
    assert.equal(decoder.relation(ID)?.table, 'committed');
    assert.ok(!('xid' in (decoder.relation(ID) ?? {})));
    feed(decoder, insert(2));
    feed(decoder, streamStart(20), { ...relation('of 20', 4), xid: 20 }, insert(4, 20), streamStop);
    feed(decoder, streamStart(10, false), insert(3, 10));
    assert.equal(decoder.relation(ID)?.table, 'of 10');
    feed(decoder, streamStop, commitOf(10));
    assert.equal(decoder.relation(ID)?.table, 'of 10');
    feed(decoder, insert(3), streamStart(20, false), insert(4, 20), streamStop, commitOf(20), insert(4));
  });

  for (const [title, end] of [
    ['abort', { kind: 'streamAbort', xid: 10, subxid: 10 }],
    ['abort of a subtransaction', { kind: 'streamAbort', xid: 10, subxid: 11, abortLsn: 1n, abortTimeUs: 2n }],
    ['prepare', prepareOf(10)],
  ] as const) {
    test(`of a streamed transaction are forgotten at its ${title}`, () => {
      const decoder = new PgoutputDecoder();
      feed(decoder, relation('committed', 2));
      feed(decoder, streamStart(10), { ...relation('of 10', 3), xid: 10 }, streamStop, end, insert(2));
      feed(decoder, streamStart(10, false), insert(2, 10));
      assert.equal(decoder.relation(ID)?.table, 'committed');
    });
  }

  test('a Stream Abort of a transaction that was never streamed changes nothing', () => {
    const decoder = new PgoutputDecoder();
    feed(decoder, relation('t'), { kind: 'streamAbort', xid: 5, subxid: 5 }, insert());
  });
});

test('an origin in a streamed block has no xid', () => {
  const decoder = new PgoutputDecoder();
  feed(decoder, streamStart(10), { kind: 'origin', originLsn: 0n, name: 'elsewhere' }, streamStop);
});

suite('what is wrong', () => {
  const described = () => {
    const decoder = new PgoutputDecoder();
    feed(decoder, relation('t'));
    return decoder;
  };
  const bytes = (text: string) => Buffer.from(text, 'latin1');
  const cases: readonly [string, Buffer, RegExp, Partial<DecodeError>][] = [
    ['nothing at all', Buffer.alloc(0), /empty message/, { offset: 0 }],
    ['an unknown tag', bytes('Zabc'), /unknown pgoutput message/, { offset: 0, tag: 'Z' }],
    ['a truncated message', bytes('B\0\0'), /8 bytes wanted where 2 are left/, { offset: 1, tag: 'B' }],
    ['bytes after the end', bytes('E!'), /1 bytes after the end/, { offset: 1, tag: 'E' }],
    ['an unknown relation', wire.insert(4711, ['1']), /has not described/, { tag: 'I', relationId: 4711 }],
    ['a truncate of one', wire.truncate([ID, 4712]), /has not described/, { tag: 'T', relationId: 4712 }],
    ['a truncate of more than there are', bytes('T\0\0\0\x02\0\0\0\0M'), /truncate of 2/, { tag: 'T' }],
    ['too few columns', wire.insert(ID, ['1']), /of 1 columns; its relation has 2/, { offset: 6, relationId: ID }],
    [
      'too many columns in a key',
      wire.update(ID, ['1', '2'], { key: ['1', '2', '3'] }),
      /of 3 columns; its relation has 2/,
      { offset: 6, tag: 'U', relationId: ID },
    ],
    ['no new row', replaced(wire.insert(ID, ['1', '2']), 5, 'K'), /no new row/, { offset: 5, tag: 'I' }],
    ['an update without one', wire.deleteRow(ID, { key: ['1', null] }).fill('U', 0, 1), /1 bytes wanted/, { tag: 'U' }],
    ['a delete of nothing', wire.insert(ID, ['1', '2']).fill('D', 0, 1), /without a key or an old row/, { offset: 5 }],
    ['a value of an unknown kind', replaced(wire.insert(ID, ['1', null]), 14, 'q'), /unknown kind/, { offset: 14 }],
    ['a value of negative length', replaced(wire.insert(ID, ['1', '2']), 9, '\xff'), /bytes wanted/, { offset: 13 }],
    ['a content of negative length', replaced(message('c'), 12, '\xff'), /bytes wanted/, { offset: 16, tag: 'M' }],
    ['a name without its end', wire.origin({ originLsn: 1n, name: 'n' }).subarray(0, -1), /zero byte/, { offset: 9 }],
    [
      'a name that is not UTF-8',
      replaced(wire.origin({ originLsn: 1n, name: 'n' }), 9, '\xff'),
      /UTF-8/,
      { offset: 9 },
    ],
    ['an unknown replica identity', bytes('R\0\0\0\x01s\0t\0x\0\0'), /replica identity/, { offset: 9, relationId: 1 }],
    ['a block that is neither first nor not', bytes('S\0\0\0\x01\x02'), /neither 1 nor 0/, { offset: 5, tag: 'S' }],
    ['an abort with half a position', bytes('A\0\0\0\x01\0\0\0\x01\0'), /8 bytes wanted/, { offset: 9, tag: 'A' }],
    ['the end of no block', bytes('E'), /has not begun/, { offset: 0, tag: 'E' }],
  ];
  for (const [title, malformed, expected, location] of cases) {
    test(title, () => {
      const decoder = described();
      refused(decoder, malformed, expected, location);
      // As it was.
      feed(decoder, insert(), streamStart(1), insert(2, 1), streamStop);
    });
  }

  test('a block inside a block', () => {
    const decoder = described();
    feed(decoder, streamStart(1));
    refused(decoder, encodeMessage(streamStart(2)), /inside another/, { offset: 0, tag: 'S' });
    feed(decoder, insert(2, 1), streamStop, insert());
  });

  test('a change in a block without its xid, and an xid outside', () => {
    const decoder = described();
    refused(decoder, encodeMessage(insert(2, 1)), /has not described/, { relationId: 1 });
    feed(decoder, streamStart(1));
    refused(decoder, bytes('I\0\0'), /4 bytes wanted where 2 are left/, { offset: 1 });
    assert.throws(() => decoder.decode(encodeMessage(insert())), DecodeError);
  });

  test('an error names no value', () => {
    const decoder = described();
    assert.throws(
      () => decoder.decode(wire.insert(ID, ['secret', 'secret', 'secret'])),
      (error) => error instanceof DecodeError && !JSON.stringify({ ...error }).includes('secret'),
    );
  });

  test('what a message claims makes no memory', () => {
    const decoder = described();
    const before = process.memoryUsage().rss;
    for (let round = 0; round < 200; round++) {
      refused(decoder, bytes('T\xff\xff\xff\xff\0'), /truncate/, {});
      refused(decoder, bytes('R\0\0\0\x01s\0t\0d\xff\xff'), /wanted/, {});
      refused(decoder, Buffer.concat([bytes('I'), wire.uint32(ID), bytes('N\0\x02t\x7f\xff\xff\xf0')]), /wanted/, {});
    }
    assert.ok(process.memoryUsage().rss - before < 100 * 1024 * 1024);
  });
});

function message(content: string): Buffer {
  return wire.message({ transactional: true, lsn: 1n, prefix: 'p', content });
}

function replaced(bytes: Buffer, at: number, by: string): Buffer {
  const copy = Buffer.from(bytes);
  copy.write(by, at, 'latin1');
  return copy;
}
