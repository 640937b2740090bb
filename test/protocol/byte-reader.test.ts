import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeError } from '../../src/errors.js';
import { ByteReader } from '../../src/protocol/byte-reader.js';

const BYTES = Buffer.from(
  'ff 8001 ffffffff fffffffe 8000000000000000 ffffffffffffffff 61c3a900 0102'.replaceAll(' ', ''),
  'hex',
);

test('reads each kind of value in turn', () => {
  const reader = new ByteReader(BYTES, 0, BYTES.length);
  assert.equal(reader.uint8(), 255);
  assert.equal(reader.uint16(), 0x8001);
  assert.equal(reader.int32(), -1);
  assert.equal(reader.uint32(), 0xfffffffe);
  assert.equal(reader.uint64(), 2n ** 63n);
  assert.equal(reader.int64(), -1n);
  assert.equal(reader.cString(), 'aé');
  assert.equal(reader.remaining, 2);
  assert.throws(() => reader.expectEnd(), { code: 'ERR_DECODE', offset: BYTES.length - 2 });
  const copy = reader.copy(2);
  assert.deepStrictEqual(copy, Buffer.of(1, 2));
  copy.fill(9);
  assert.equal(BYTES.at(-1), 2);
  reader.expectEnd();
});

test('never reads past its end, although the memory goes on', () => {
  const reads: ((reader: ByteReader) => unknown)[] = [
    (reader) => reader.uint16(),
    (reader) => reader.int32(),
    (reader) => reader.uint32(),
    (reader) => reader.uint64(),
    (reader) => reader.int64(),
    (reader) => reader.copy(2),
    (reader) => reader.copy(-1),
    (reader) => reader.copy(2 ** 31),
    (reader) => reader.cString(),
  ];
  for (const read of reads) {
    // The zero byte lies right behind the end.
    const reader = new ByteReader(Buffer.from('ab\0defghijkl'), 1, 2);
    assert.throws(
      () => read(reader),
      (error) => error instanceof DecodeError && error.offset === 1,
    );
    assert.equal(reader.offset, 1);
  }
});
