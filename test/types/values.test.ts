import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Oid } from '../../src/types/oids.js';
import fc from '../support/properties.js';
import { decodedValue } from './packed.js';

const bits = new DataView(new ArrayBuffer(8));

function int8Bytes(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}

function float8Bytes(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return bytes;
}

function float4Bytes(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatBE(value);
  return bytes;
}

const anyDouble = fc.oneof(
  fc.double(),
  fc.tuple(fc.integer(), fc.integer()).map(([high, low]) => {
    bits.setInt32(0, high);
    bits.setInt32(4, low);
    return bits.getFloat64(0);
  }),
  fc.tuple(fc.integer(), fc.nat(9)).map(([value, places]) => value / 10 ** places),
);

function postgresFloat(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

describe('integers', () => {
  test('int8', () => {
    fc.assert(
      fc.property(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.nat(62), (value, shift) => {
        const number = value >> BigInt(shift);
        assert.equal(decodedValue(Oid.int8, 'text', String(number)), number);
        assert.equal(decodedValue(Oid.int8, 'binary', int8Bytes(number)), number);
      }),
      { numRuns: 5000 },
    );
    for (const text of [
      '9223372036854775808',
      '-9223372036854775809',
      '',
      '-',
      '1x',
      '9999999999999999999',
      '1'.repeat(20),
    ]) {
      assert.throws(() => decodedValue(Oid.int8, 'text', text), { code: 'ERR_DECODE' });
    }
  });

  test('int4, int2 and oid', () => {
    fc.assert(
      fc.property(fc.integer(), (value) => {
        const bytes = Buffer.alloc(4);
        bytes.writeInt32BE(value);
        assert.equal(decodedValue(Oid.int4, 'text', String(value)), value);
        assert.equal(decodedValue(Oid.int4, 'binary', bytes), value);
        assert.equal(decodedValue(Oid.oid, 'text', String(value >>> 0)), value >>> 0);
        assert.equal(decodedValue(Oid.oid, 'binary', bytes), value >>> 0);
        assert.equal(decodedValue(Oid.int2, 'text', String(value >> 16)), value >> 16);
        assert.equal(decodedValue(Oid.int2, 'binary', bytes.subarray(0, 2)), value >> 16);
      }),
    );
    for (const [oid, text] of [
      [Oid.int2, '32768'],
      [Oid.int4, '2147483648'],
      [Oid.int4, '-2147483649'],
      [Oid.oid, '-1'],
      [Oid.oid, '4294967296'],
    ] as const) {
      assert.throws(() => decodedValue(oid, 'text', text), { code: 'ERR_DECODE' });
    }
  });
});

describe('floats', () => {
  test('float8: every double', () => {
    fc.assert(
      fc.property(anyDouble, (value) => {
        assert.ok(Object.is(decodedValue(Oid.float8, 'text', postgresFloat(value)), value));
        assert.ok(Object.is(decodedValue(Oid.float8, 'binary', float8Bytes(value)), value));
      }),
      { numRuns: 20_000 },
    );
  });

  test('float8: any decimal is rounded as Number rounds it', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 10n ** 18n), fc.nat(25), fc.boolean(), (digits, places, negative) => {
        const padded = String(digits).padStart(places + 1, '0');
        const cut = padded.length - places;
        const text = `${negative ? '-' : ''}${padded.slice(0, cut)}${places === 0 ? '' : `.${padded.slice(cut)}`}`;
        assert.ok(Object.is(decodedValue(Oid.float8, 'text', text), Number(text)), text);
      }),
      { numRuns: 20_000 },
    );
  });

  test('float4: the shortest decimal that identifies it', () => {
    fc.assert(
      fc.property(fc.oneof(fc.float(), anyDouble.map(Math.fround)), (single) => {
        const value = decodedValue(Oid.float4, 'binary', float4Bytes(single));
        assert.equal(typeof value, 'number');
        assert.ok(Object.is(Math.fround(Number(value)), single));
        assert.ok(
          String(value)
            .replace(/e.*|\D/g, '')
            .replace(/^0+|0+$/g, '').length <= 9,
        );
      }),
      { numRuns: 20_000 },
    );
    assert.equal(decodedValue(Oid.float4, 'binary', float4Bytes(1.1)), 1.1);
  });
});

/** numeric_send, the other way round: from the text. */
function numericBytes(text: string): Buffer {
  const [, sign = '', integer = '', fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  const padded =
    integer.padStart(Math.ceil(integer.length / 4) * 4, '0') + fraction.padEnd(Math.ceil(fraction.length / 4) * 4, '0');
  const digits = (padded.match(/\d{4}/g) ?? []).map(Number);
  let weight = Math.ceil(integer.length / 4) - 1;
  while (digits[0] === 0) {
    digits.shift();
    weight--;
  }
  while (digits.at(-1) === 0) {
    digits.pop();
  }
  const words = [
    digits.length,
    digits.length === 0 ? 0 : weight & 0xffff,
    sign === '' ? 0 : 0x4000,
    fraction.length,
    ...digits,
  ];
  return Buffer.from(Uint8Array.from(words.flatMap((word) => [word >> 8, word & 0xff])));
}

test('numeric: every digit as sent', () => {
  const digits = fc.string({ unit: fc.constantFrom(...'00000123456789'), maxLength: 60 });
  fc.assert(
    fc.property(fc.boolean(), digits, digits, (negative, integer, fraction) => {
      const body = `${integer.replace(/^0+/, '') || '0'}${fraction === '' ? '' : `.${fraction}`}`;
      const text = negative && /[1-9]/.test(body) ? `-${body}` : body;
      assert.equal(decodedValue(Oid.numeric, 'text', text), text);
      assert.equal(decodedValue(Oid.numeric, 'binary', numericBytes(text)), text);
    }),
    { numRuns: 5000 },
  );
});

/** What the server's date means, through JavaScript's own calendar where that reaches. */
const MILLISECONDS_2000 = Date.UTC(2000, 0, 1);

test('dates and timestamps agree with the calendar of JavaScript', () => {
  // JavaScript's years are those of ISO 8601 with six digits; its range ends at 275760.
  fc.assert(
    fc.property(fc.bigInt(-205_000_000_000_000_000n, 8_639_000_000_000_000_000n), (microseconds) => {
      const fraction = ((microseconds % 1_000_000n) + 1_000_000n) % 1_000_000n;
      const date = new Date(Number((microseconds - fraction) / 1000n) + MILLISECONDS_2000);
      const digits = String(fraction).padStart(6, '0').replace(/0+$/, '');
      const iso = date.toISOString().replace(/\.000Z$/, digits === '' ? '' : `.${digits}`);
      assert.equal(decodedValue(Oid.timestamp, 'binary', int8Bytes(microseconds)), iso);
      assert.equal(decodedValue(Oid.timestamptz, 'binary', int8Bytes(microseconds)), `${iso}Z`);
      const days = Buffer.alloc(4);
      days.writeInt32BE(Math.floor((date.getTime() - MILLISECONDS_2000) / 86_400_000));
      assert.equal(decodedValue(Oid.date, 'binary', days), iso.replace(/T.*/, ''));
      const year = date.getUTCFullYear();
      const server = `${String(year > 0 ? year : 1 - year).padStart(4, '0')}${iso.replace(/^[+-]?\d+/, '').replace('T', ' ')}`;
      const era = year > 0 ? '' : ' BC';
      assert.equal(decodedValue(Oid.timestamp, 'text', server + era), iso);
      assert.equal(decodedValue(Oid.timestamptz, 'text', `${server}+00${era}`), `${iso}Z`);
      assert.equal(decodedValue(Oid.date, 'text', server.replace(/ .*/, '') + era), iso.replace(/T.*/, ''));
    }),
    { numRuns: 10_000 },
  );
});

test('zones', () => {
  assert.equal(decodedValue(Oid.timestamptz, 'text', '2024-01-01 01:02:03.5+05:30'), '2024-01-01T01:02:03.5+05:30');
  assert.equal(decodedValue(Oid.timestamptz, 'text', '0044-03-15 01:02:03-08 BC'), '-000043-03-15T01:02:03-08:00');
  assert.equal(
    decodedValue(Oid.timestamptz, 'text', '294276-12-31 23:59:59.999999-15:59:59'),
    '+294276-12-31T23:59:59.999999-15:59:59',
  );
  assert.equal(decodedValue(Oid.timetz, 'text', '01:02:03+00'), '01:02:03+00:00');
  for (const text of [
    '2024-01-01 01:02:03',
    '2024-01-01 01:02:03+0',
    '2024-01-01 01:02:03+00:0',
    '2024-01-01',
    'inf',
  ]) {
    assert.throws(() => decodedValue(Oid.timestamptz, 'text', text), { code: 'ERR_DECODE' });
  }
});

type Nested = string | null | readonly Nested[];

/** array_out: quotes everything, which the server only does where it must. */
function arrayText(value: Nested): string {
  if (value === null) {
    return 'NULL';
  }
  return typeof value === 'string' ? `"${value.replace(/["\\]/g, '\\$&')}"` : `{${value.map(arrayText).join(',')}}`;
}

function arrayBytes(values: readonly (readonly (string | null)[])[]): Buffer {
  const rows = values.length;
  const columns = values[0]?.length ?? 0;
  const header = Buffer.alloc(28);
  [2, 1, Oid.text, rows, 1, columns, 1].forEach((word, index) => {
    header.writeInt32BE(word, index * 4);
  });
  const elements = values.flat().map((value) => {
    const bytes = Buffer.from(value ?? '');
    const length = Buffer.alloc(4);
    length.writeInt32BE(value === null ? -1 : bytes.length);
    return Buffer.concat([length, bytes]);
  });
  return Buffer.concat([header, ...elements]);
}

test('arrays of hostile strings', () => {
  const hostile = fc.oneof(
    fc.constantFrom(
      '',
      'NULL',
      'null',
      '"',
      '\\',
      '\\"',
      '{',
      '}',
      ',',
      '{}',
      '😀',
      ' ',
      '\u0000x'.slice(1),
      '[0:1]={',
    ),
    fc.string({ unit: 'binary' }).map((text) => Buffer.from(text).toString().replaceAll('\0', '')),
  );
  const element = fc.oneof(hostile, fc.constant(null));
  const matrix = fc
    .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }))
    .chain(([rows, columns]) =>
      fc.array(fc.array(element, { minLength: columns, maxLength: columns }), { minLength: rows, maxLength: rows }),
    );
  fc.assert(
    fc.property(matrix, (values) => {
      assert.deepEqual(decodedValue(1009, 'text', arrayText(values)), values);
      assert.deepEqual(decodedValue(1009, 'text', `[0:3][-1:2]=${arrayText(values)}`), values);
      assert.deepEqual(decodedValue(1009, 'binary', arrayBytes(values)), values);
    }),
    { numRuns: 5000 },
  );
});

test('types that nobody knows', () => {
  assert.equal(decodedValue(99_999, 'text', 'größe'), 'größe');
  assert.deepEqual(decodedValue(99_999, 'binary', Buffer.from([0, 255])), Buffer.from([0, 255]));
});

test('bytea: hex and escape', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (value) => {
      const bytes = Buffer.from(value);
      const escaped = Array.from(bytes, (byte) =>
        byte === 0x5c
          ? '\\\\'
          : byte < 0x20 || byte > 0x7e
            ? `\\${byte.toString(8).padStart(3, '0')}`
            : String.fromCharCode(byte),
      ).join('');
      assert.deepEqual(decodedValue(Oid.bytea, 'text', `\\x${bytes.toString('hex')}`), bytes);
      assert.deepEqual(decodedValue(Oid.bytea, 'text', escaped), bytes);
      assert.deepEqual(decodedValue(Oid.bytea, 'binary', bytes), bytes);
    }),
  );
});
