import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeError } from '../../src/errors.js';
import { BinaryText } from '../../src/types/binary-text.js';
import { type ColumnFormat, ColumnWriters } from '../../src/types/column-writer.js';
import { Oid } from '../../src/types/oids.js';
import { PackWriter } from '../../src/types/pack-writer.js';
import type { TypeDescriptor } from '../../src/types/type-descriptor.js';
import { TypeRules } from '../../src/types/type-rules.js';
import fc from '../support/properties.js';
import { readValue, startRow } from './packed.js';

const NESTED = 20_001;
const PAIR = 20_002;
const PAIRS = 20_003;
const RANGE = 20_004;
const MULTIRANGE = 20_005;
const HSTORE = 20_006;
const DOMAIN = 20_007;
const LOOP = 20_008;

const named = (oid: number) => ({ oid, schema: 'public', name: `type_${oid}` });
const composite = (oid: number, fields: readonly (readonly [string, number])[]): TypeDescriptor => ({
  ...named(oid),
  kind: 'composite',
  fields: fields.map(([name, typeOid]) => ({ name, typeOid })),
  earlierFields: [],
});

const TYPES: readonly TypeDescriptor[] = [
  composite(PAIR, [
    ['a', Oid.text],
    ['b', Oid.text],
  ]),
  { ...named(PAIRS), kind: 'array', elementOid: PAIR, delimiter: ',' },
  { ...named(RANGE), kind: 'range', subtypeOid: Oid.text },
  { ...named(MULTIRANGE), kind: 'multirange', rangeOid: RANGE },
  { ...named(HSTORE), kind: 'base', send: 'hstore_send' },
  { ...named(DOMAIN), kind: 'domain', baseOid: PAIRS },
  composite(NESTED, [
    ['pairs', DOMAIN],
    ['range', RANGE],
    ['ranges', MULTIRANGE],
    ['store', HSTORE],
    ['__proto__', Oid.text],
  ]),
  composite(LOOP, [['again', LOOP]]),
];
const OIDS = TYPES.map(({ oid }) => oid);

function decoded(oid: number, format: ColumnFormat, bytes: Buffer | string, types = TYPES): unknown {
  const source = Buffer.from(bytes);
  // In the middle of other bytes that would go on with a value.
  const slab = Buffer.concat([Buffer.from('((""{['), source, Buffer.from('")]}),,')]);
  const out = new PackWriter(64);
  startRow(out);
  new ColumnWriters('lossless', types).writer(oid, format)(slab, 6, 6 + source.length, out);
  return readValue(out.take());
}

type Text = string | null;
interface Pair {
  readonly a: Text;
  readonly b: Text;
}
type Range = { lower: Text; upper: Text; lowerInclusive: boolean; upperInclusive: boolean } | { empty: true };
interface Nested {
  readonly pairs: readonly (Pair | null)[] | null;
  readonly range: Range | null;
  readonly ranges: readonly Range[] | null;
  readonly store: Readonly<Record<string, Text>> | null;
  readonly proto: Text;
}

const string = fc.oneof(
  fc.string({ unit: fc.constantFrom('"', '\\', ',', '(', ')', '{', '}', '[', ']', ' ', 'a', '=', '>', 'ü', '\n') }),
  fc.constantFrom('', 'NULL', 'empty', '""', '()', '\\"'),
);
const text = fc.option(string);
const plain = { noNullPrototype: true } as const;
const pair = fc.record({ a: text, b: text }, plain);
const range: fc.Arbitrary<Range> = fc.oneof(
  fc.record({ lower: text, upper: text, lowerInclusive: fc.boolean(), upperInclusive: fc.boolean() }, plain),
  fc.constant({ empty: true } as const),
);
const nested: fc.Arbitrary<Nested> = fc.record({
  pairs: fc.option(fc.array(fc.option(pair), { maxLength: 3 })),
  range: fc.option(range),
  ranges: fc.option(fc.array(range, { maxLength: 3 })),
  store: fc.option(fc.dictionary(string, text, { maxKeys: 3, noNullPrototype: true })),
  proto: text,
});

const DOUBLED = /["\\]/g;

function recordText(fields: readonly Text[], always: boolean): string {
  const quote = (field: string) =>
    always || field === '' || /["\\(),\s]/.test(field) ? `"${field.replace(DOUBLED, '$&$&')}"` : field;
  return `(${fields.map((field) => (field === null ? '' : quote(field))).join(',')})`;
}

function rangeTextOf(value: Range): string {
  if ('empty' in value) return 'empty';
  const bound = (one: Text) => (one === null ? '' : `"${one.replace(DOUBLED, '$&$&')}"`);
  const { lower, upper, lowerInclusive, upperInclusive } = value;
  return `${lowerInclusive ? '[' : '('}${bound(lower)},${bound(upper)}${upperInclusive ? ']' : ')'}`;
}

const backslashed = (one: string) => `"${one.replace(DOUBLED, '\\$&')}"`;

function textOf({ pairs, range, ranges, store, proto }: Nested, always: boolean): string {
  return recordText(
    [
      pairs &&
        `{${pairs.map((one) => (one === null ? 'NULL' : backslashed(recordText([one.a, one.b], always)))).join(',')}}`,
      range && rangeTextOf(range),
      ranges && `{${ranges.map(rangeTextOf).join(',')}}`,
      store &&
        Object.entries(store)
          .map(([key, value]) => `${backslashed(key)}=>${value === null ? 'NULL' : backslashed(value)}`)
          .join(', '),
      proto,
    ],
    always,
  );
}

const int32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const part = (bytes: Buffer | null) => (bytes === null ? int32(-1) : Buffer.concat([int32(bytes.length), bytes]));
const utf8 = (value: Text) => (value === null ? null : Buffer.from(value));
const recordBytes = (fields: readonly (readonly [number, Buffer | null])[]) =>
  Buffer.concat([int32(fields.length), ...fields.flatMap(([oid, bytes]) => [int32(oid), part(bytes)])]);
const pairBytes = (value: Pair) =>
  recordBytes([
    [Oid.text, utf8(value.a)],
    [Oid.text, utf8(value.b)],
  ]);

function rangeBytes(value: Range): Buffer {
  if ('empty' in value) return Buffer.of(1);
  const { lower, upper, lowerInclusive, upperInclusive } = value;
  const flags =
    (lowerInclusive ? 2 : 0) | (upperInclusive ? 4 : 0) | (lower === null ? 8 : 0) | (upper === null ? 16 : 0);
  return Buffer.concat([Buffer.of(flags), ...[lower, upper].flatMap((one) => (one === null ? [] : [part(utf8(one))]))]);
}

function bytesOf({ pairs, range, ranges, store, proto }: Nested): Buffer {
  const header = pairs?.length === 0 ? [0, 0, PAIR] : [1, 1, PAIR, pairs?.length ?? 0, 1];
  const storeParts = Object.entries(store ?? {}).flatMap(([key, value]) => [part(utf8(key)), part(utf8(value))]);
  return recordBytes([
    [DOMAIN, pairs && Buffer.concat([...header.map(int32), ...pairs.map((one) => part(one && pairBytes(one)))])],
    [RANGE, range && rangeBytes(range)],
    [MULTIRANGE, ranges && Buffer.concat([int32(ranges.length), ...ranges.map((one) => part(rangeBytes(one)))])],
    [HSTORE, store && Buffer.concat([int32(storeParts.length / 2), ...storeParts])],
    [Oid.text, utf8(proto)],
  ]);
}

function expectedOf({ proto, ...rest }: Nested): unknown {
  return Object.fromEntries([...Object.entries(rest), ['__proto__', proto]]);
}

test('what is printed is read back: composites, arrays, ranges, multiranges and hstore in one another', () => {
  fc.assert(
    fc.property(nested, fc.boolean(), (value, always) => {
      const expected = expectedOf(value);
      assert.deepStrictEqual(decoded(NESTED, 'text', textOf(value, always)), expected);
      assert.deepStrictEqual(decoded(NESTED, 'binary', bytesOf(value)), expected);
      // The printer of binary values says it as the parser of text reads it.
      const printed = new BinaryText(new Map(TYPES.map((type) => [type.oid, type]))).find(NESTED)?.(bytesOf(value));
      assert.deepStrictEqual(decoded(NESTED, 'text', printed ?? ''), expected);
    }),
    { numRuns: 3000 },
  );
});

function outcome(oid: number, format: ColumnFormat, bytes: Buffer): void {
  try {
    decoded(oid, format, bytes);
  } catch (error) {
    assert.ok(error instanceof DecodeError, `${error instanceof Error ? error.stack : error}`);
  }
}

test('cut and damaged values are a value or a DecodeError', () => {
  const oid = fc.constantFrom(NESTED, ...OIDS);
  fc.assert(
    fc.property(nested, oid, fc.nat(), fc.nat(255), (value, oid, at, byte) => {
      for (const [format, whole] of [
        ['text', Buffer.from(textOf(value, false))],
        ['binary', bytesOf(value)],
      ] as const) {
        const damaged = Buffer.from(whole);
        damaged[at % whole.length] = byte;
        outcome(oid, format, damaged);
        outcome(oid, format, whole.subarray(0, at % whole.length));
        outcome(oid, format, whole.subarray(at % whole.length));
      }
    }),
    { numRuns: 5000 },
  );
});

test('any bytes are a value or a DecodeError', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.string({ unit: fc.constantFrom(...'(){}[],"\\=> NULempty'), maxLength: 30 }).map(Buffer.from),
  );
  fc.assert(
    fc.property(fc.constantFrom(...OIDS), fc.constantFrom('text', 'binary'), bytes, (oid, format, value) => {
      outcome(oid, format, Buffer.from(value));
    }),
    { numRuns: 20_000 },
  );
});

test('a description that leads to itself ends', () => {
  let literal = '()';
  for (let depth = 0; depth < 6; depth++) literal = recordText([literal], false);
  assert.equal(typeof decoded(LOOP, 'text', literal), 'object');
  let bytes = int32(0);
  for (let depth = 0; depth < 2000; depth++) bytes = recordBytes([[LOOP, bytes]]);
  outcome(LOOP, 'binary', bytes);
});

test('values with fields that no description has are the server’s text, and are reported', () => {
  const rules = new TypeRules('lossless');
  const writers = new ColumnWriters(rules, TYPES);
  const read = (format: ColumnFormat, value: Buffer) => {
    const out = new PackWriter(64);
    startRow(out);
    writers.writer(PAIR, format)(value, 0, value.length, out);
    return readValue(out.take());
  };
  assert.deepEqual(read('text', Buffer.from('(a,b)')), { a: 'a', b: 'b' });
  assert.deepEqual([...rules.mismatches], []);
  assert.equal(read('text', Buffer.from('(a,b,"c d")')), '(a,b,"c d")');
  assert.deepEqual([...rules.mismatches], [PAIR]);
  const three = recordBytes([
    [Oid.text, utf8('a')],
    [Oid.int4, int32(7)],
    [Oid.text, utf8('c d')],
  ]);
  assert.equal(read('binary', three), '(a,7,"c d")');
  // So are fields of other types, which bytes name, and fields that are no values of theirs.
  rules.mismatches.clear();
  assert.equal(
    read(
      'binary',
      recordBytes([
        [Oid.int4, int32(7)],
        [Oid.text, null],
      ]),
    ),
    '(7,)',
  );
  assert.deepEqual([...rules.mismatches], [PAIR]);
});
