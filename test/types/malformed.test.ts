import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeError } from '../../src/errors.js';
import type { ColumnFormat } from '../../src/types/column-writer.js';
import { arrayElementOf, Oid } from '../../src/types/oids.js';
import fc from '../support/properties.js';
import { decodedValue, packedValue, readValue } from './packed.js';

const UNKNOWN_OID = 99_999;
const ARRAY_OIDS = Array.from({ length: 7000 }, (_, oid) => oid).filter(
  (oid) => arrayElementOf(oid)?.elementOid !== undefined,
);
const ALL_OIDS = [...Object.values(Oid), ...ARRAY_OIDS, UNKNOWN_OID];

/** A numeric of a few bytes can have this many digits by its weight and scale; nothing else grows like that. */
const NUMERIC_MAX_BYTES = 150_000;
/** Most that a byte becomes: an empty array in an array takes two bytes and becomes five; a bit becomes a digit. */
const MAX_GROWTH = 8;

/** Bytes that are likely to get past the first checks of some type. */
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 80 }),
  fc.string({ unit: fc.constantFrom(...'0123456789-+.:e TZBC{}[]()",;\\xNULLinfty'), maxLength: 40 }).map(Buffer.from),
  fc
    .array(fc.constantFrom(0, 1, 2, 3, 4, 8, 16, 20, 23, 25, 255, 256, 0x7fffffff, 0x80000000, 0xffffffff), {
      maxLength: 20,
    })
    .map((words) => Buffer.concat(words.map((word) => Buffer.from(Uint32Array.of(word).buffer).reverse()))),
);

function outcome(oid: number, format: ColumnFormat, value: Uint8Array, surroundings: number): unknown {
  try {
    const packed = packedValue(oid, format, Buffer.from(value), 'lossless', surroundings);
    const isNumeric = oid === Oid.numeric || arrayElementOf(oid)?.elementOid === Oid.numeric;
    const limit = value.length * MAX_GROWTH + 64 + (isNumeric || format === 'binary' ? NUMERIC_MAX_BYTES : 0);
    assert.ok(packed.length <= limit, `${value.length} bytes became ${packed.length}`);
    return readValue(packed);
  } catch (error) {
    assert.ok(error instanceof DecodeError, `${error instanceof Error ? error.stack : error}`);
    return error.message;
  }
}

test('any bytes are a value or a DecodeError, and nothing outside them is looked at', () => {
  fc.assert(
    fc.property(fc.constantFrom(...ALL_OIDS), fc.constantFrom('text', 'binary'), bytes, (oid, format, value) => {
      assert.deepStrictEqual(outcome(oid, format, value, 0x31), outcome(oid, format, value, 0));
    }),
    { numRuns: 60_000 },
  );
});

test('an error names where, not what', () => {
  for (const [oid, format, value] of [
    [Oid.int4, 'text', '12secret'],
    [Oid.int8, 'text', '12345678901secret'],
    [Oid.float8, 'text', 'secret'],
    [Oid.bool, 'text', 'secret'],
    [Oid.date, 'text', '2024-secret'],
    [Oid.timestamptz, 'text', '2024-01-01 secret'],
    [Oid.bytea, 'text', '\\xsecret'],
    [1009, 'text', '{"secret'],
    [1007, 'text', '{1,"secr\\et"}'],
    [Oid.uuid, 'binary', 'secret'],
    [Oid.numeric, 'binary', 'secret'],
    [Oid.tsvector, 'binary', 'secret'],
  ] as const) {
    assert.throws(
      () => decodedValue(oid, format, value),
      (error) => {
        assert.ok(error instanceof DecodeError);
        assert.ok(!/secr/.test(error.message), error.message);
        assert.ok(error.offset >= 32 && error.offset <= 32 + value.length, `${error.offset} in ${value}`);
        return true;
      },
    );
  }
});

test('text that is not UTF-8 is refused, whatever its length', () => {
  for (const length of [1, 2, 7, 8, 9, 64, 300, 5000]) {
    for (const bad of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xc0, 0x80]]) {
      const value = Buffer.concat([Buffer.alloc(length, 0x61), Buffer.from(bad)]);
      assert.throws(() => decodedValue(Oid.text, 'text', value), DecodeError);
      assert.throws(() => decodedValue(Oid.text, 'binary', value), DecodeError);
    }
  }
});

test('arrays that claim more than they hold', () => {
  const header = (words: readonly number[]) => Buffer.from(Uint8Array.from(words.flatMap((w) => [0, 0, 0, w])));
  const huge = Buffer.from([
    0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 23, 127, 255, 255, 255, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1,
  ]);
  assert.throws(() => decodedValue(1007, 'binary', huge), DecodeError);
  assert.throws(() => decodedValue(1007, 'binary', header([7, 0, 23])), DecodeError);
  assert.throws(() => decodedValue(1007, 'text', '{{{{{{{1}}}}}}}'), DecodeError);
  assert.throws(() => decodedValue(1007, 'text', '{'.repeat(100_000)), DecodeError);
  assert.deepEqual(decodedValue(1007, 'binary', header([0, 0, 23])), []);
});
