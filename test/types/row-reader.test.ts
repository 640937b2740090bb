import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DecodeError } from '../../src/errors.js';
import { Oid } from '../../src/types/oids.js';
import { PackSource } from '../../src/types/pack-source.js';
import { PackWriter } from '../../src/types/pack-writer.js';
import { createRowReader, ROW_HEADER } from '../../src/types/row-reader.js';
import { UNCHANGED } from '../../src/types/unchanged.js';
import fc from '../support/properties.js';
import { packedValue, readValue, startRow } from './packed.js';

function packIntegers(count: number): Buffer {
  const out = new PackWriter(16);
  startRow(out);
  for (let index = 0; index < count; index++) {
    out.writeInteger(index);
  }
  return out.take();
}

/** Read more often than it takes until a reader is compiled. */
const READS = 6;

function checkNames(names: readonly string[]): void {
  const reader = createRowReader(names);
  const packed = packIntegers(names.length);
  for (let read = 0; read < READS; read++) {
    const row = reader.read(new PackSource(packed), 0, packed.length);
    assert.equal(Object.getPrototypeOf(row), Object.prototype);
    assert.equal(Object.keys(row).length, names.length);
    names.forEach((name, index) => {
      assert.ok(Object.hasOwn(row, name), name);
      assert.equal(Object.getOwnPropertyDescriptor(row, name)?.value, index);
    });
  }
}

test('columns keep their names, whatever these are', () => {
  checkNames(['id', 'constructor', 'toString', '__defineGetter__', 'hasOwnProperty', 'class', '0', '17', '-1', '1e3']);
  checkNames(['a"b', "a'b", 'a\\b', 'a\nb', 'a b', '\u2028', '`$x`', 'größe', '列', '😀', 'x'.repeat(63)]);
  checkNames(['a', '__proto__', '__proto_', 'b']);
  checkNames(['__proto__']);
  checkNames([]);
});

test('1,600 columns', () => {
  checkNames(Array.from({ length: 1600 }, (_, index) => `column_${index}`));
  checkNames(['__proto__', ...Array.from({ length: 1599 }, (_, index) => `${index}`)]);
});

test('many readers do not disturb each other', () => {
  const readers = Array.from({ length: 200 }, (_, index) => createRowReader([`a${index}`, 'b']));
  const packed = packIntegers(2);
  for (let read = 0; read < READS; read++) {
    readers.forEach((reader, index) => {
      assert.deepEqual(reader.read(new PackSource(packed), 0, packed.length), { [`a${index}`]: 0, b: 1 });
    });
  }
});

test('the caller keeps its array of names', () => {
  const names = Object.freeze(['a', 'b']);
  const packed = packIntegers(2);
  const reader = createRowReader(names);
  for (let read = 0; read < READS; read++) {
    assert.deepEqual(reader.read(new PackSource(packed), 0, packed.length), { a: 0, b: 1 });
  }
  assert.deepEqual(Object.keys(names), ['0', '1']);
});

test('values of every kind of PackWriter', () => {
  const out = new PackWriter(1);
  const source = Buffer.from('{"__proto__":1,"a":[null]}|text|größe 😀', 'utf8');
  startRow(out);
  out.writeNil();
  out.writeUnchanged();
  out.writeBoolean(true);
  out.writeBoolean(false);
  out.writeFloat64(-0);
  out.writeFloat64(Number.NaN);
  out.writeBigInt64(-(2n ** 63n));
  out.writeInt64(0x7fffffff, 0xffffffff);
  out.writeJson(source, 0, 26);
  out.writeUtf8Slice(source, 27, 31);
  out.writeUtf8Slice(source, 32, source.length);
  out.writeString('größe');
  out.writeBinary(source, 27, 31);
  const header = out.writeArrayHeader(0);
  out.writeInteger(64);
  out.setArrayLength(header, 1);
  const packed = out.take();
  const reader = createRowReader(Array.from({ length: 14 }, (_, index) => `c${index}`));
  const row = reader.read(new PackSource(packed), 0, packed.length);
  assert.deepEqual(Object.values(row), [
    null,
    UNCHANGED,
    true,
    false,
    -0,
    Number.NaN,
    -(2n ** 63n),
    2n ** 63n - 1n,
    JSON.parse('{"__proto__":1,"a":[null]}'),
    'text',
    'größe 😀',
    'größe',
    Buffer.from('text'),
    [64],
  ]);
  assert.equal(UNCHANGED, Symbol.for('pg-walstream.unchanged'));
});

test('integers around every size', () => {
  const bounds = [0, 0x3f, 0x40, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0xffffffff];
  const negative = [-1, -32, -33, -0x80, -0x81, -0x8000, -0x8001, -0x80000000];
  for (const value of [...bounds, ...negative]) {
    const out = new PackWriter(1);
    startRow(out);
    out.writeInteger(value);
    assert.equal(readValue(out.take()), value);
  }
});

test('bytes read from a row are their own', () => {
  const packed = packedValue(Oid.bytea, 'binary', Buffer.from([1, 2, 3]));
  const value = readValue(packed);
  packed.fill(0);
  assert.ok(Buffer.isBuffer(value));
  assert.deepEqual(value, Buffer.from([1, 2, 3]));
  assert.equal(value.buffer.byteLength, 3);
});

test('rows in the middle of a batch', () => {
  const out = new PackWriter(64);
  const text = Buffer.from('x'.repeat(300) + 'ü'.repeat(40));
  const ends = [0];
  for (let row = 0; row < 50; row++) {
    startRow(out);
    out.writeInteger(row);
    out.writeUtf8Slice(text, row, text.length);
    out.writeUtf8Slice(text, 0, row);
    ends.push(out.position);
  }
  const source = new PackSource(out.take());
  const reader = createRowReader(['a', 'b', 'c']);
  for (let row = 49; row >= 0; row--) {
    const value = reader.read(source, ends[row] ?? 0, ends[row + 1] ?? 0);
    assert.deepEqual(value, { a: row, b: text.toString('utf8', row), c: 'x'.repeat(row) });
  }
});

test('strings of every length, with and without a byte order mark', () => {
  for (const character of ['a', 'é', '列', '😀', '\ufeff']) {
    for (const length of [0, 1, 2, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 85, 86, 127, 255, 256, 257, 5000, 70000]) {
      for (const text of [
        character.repeat(length),
        `\ufeff${character.repeat(length)}`,
        `a${character.repeat(length)}`,
      ]) {
        assert.equal(readValue(packedValue(Oid.text, 'text', text)), text);
        const out = new PackWriter(1);
        startRow(out);
        out.writeString(text);
        assert.equal(readValue(out.take()), text);
      }
    }
  }
});

test('bytes that are not one row are an error without values', () => {
  const reader = createRowReader(['a', 'b']);
  const out = new PackWriter(64);
  startRow(out);
  out.writeString('secret');
  out.writeString('secret');
  out.writeString('secret');
  const packed = out.take();
  for (const [start, end] of [
    [0, packed.length],
    [0, packed.length - 8],
    [0, 5],
    [1, packed.length],
    [0, 0],
    [5, 4],
  ] as const) {
    assert.throws(
      () => reader.read(new PackSource(packed), start, end),
      (error) => error instanceof DecodeError && !/secret/.test(error.message) && error.cause === undefined,
    );
  }
  // The next row is read as if nothing had happened.
  assert.deepEqual(reader.read(new PackSource(packed), 0, packed.length - 7), { a: 'secret', b: 'secret' });
});

test('json that cannot be parsed is an error without its text', () => {
  const packed = packedValue(Oid.json, 'text', '{"secret": oops}');
  assert.throws(
    () => readValue(packed),
    (error) => error instanceof DecodeError && !/secret|oops/.test(error.message) && error.cause === undefined,
  );
});

test('what take() gives can be transferred and is the writer’s no longer', () => {
  const out = new PackWriter(128);
  out.writeString('first');
  const first = out.take();
  out.writeString('second');
  const moved = structuredClone(first.buffer, { transfer: [first.buffer as ArrayBuffer] });
  assert.equal(Buffer.from(moved, 0, 6).toString('latin1', 1), 'first');
  assert.equal(out.take().toString('latin1', 1), 'second');
});

const NO_CODE = '--disallow-code-generation-from-strings';

test('a second run may not make code from strings', { skip: !isSecondRun() }, () => {
  assert.throws(() => new Function('return 1'), EvalError);
});

test('where no code may be made from strings everything is the same', { skip: isSecondRun() }, () => {
  const result = spawnSync(process.execPath, [NO_CODE, fileURLToPath(import.meta.url)], {
    env: { ...process.env, NODE_TEST_CONTEXT: '' },
    encoding: 'utf8',
  });
  assert.equal(result.status, 0, result.stdout);
});

function isSecondRun(): boolean {
  return process.execArgv.includes(NO_CODE);
}

test('text around multi-byte characters, in rows of any order, and slices across the ends of windows', () => {
  const out = new PackWriter(64);
  const texts: string[][] = [];
  const ends = [0];
  for (let row = 0; row < 400; row++) {
    const text = `${row}`.padEnd(row % 90, 'abcdefghij');
    texts.push([text, row % 7 === 0 ? `${text}ü` : text, '列'.repeat(row % 5)]);
    startRow(out);
    for (const cell of texts[row] ?? []) out.writeString(cell);
    ends.push(out.position);
  }
  const source = new PackSource(out.take());
  const reader = createRowReader(['a', 'b', 'c']);
  const forwards = texts.map((_, row) => row);
  for (const row of [...forwards, ...forwards.toReversed(), ...forwards.map((at) => (at * 37) % 400)]) {
    const value = reader.read(source, ends[row] ?? 0, ends[row + 1] ?? 0);
    assert.deepEqual(Object.values(value), texts[row]);
  }
});

test('any bytes are a row or an error, and never read beyond their end', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (bytes) => {
      const packed = Buffer.from([ROW_HEADER, ...bytes, 0xa1, 0x78]);
      const reader = createRowReader(['a', 'b']);
      let row: Record<string, unknown>;
      try {
        row = reader.read(new PackSource(packed), 0, packed.length - 2);
      } catch (error) {
        assert.ok(error instanceof DecodeError, `${error}`);
        return;
      }
      // What comes after it makes no difference.
      const alone = Buffer.from(packed.subarray(0, packed.length - 2));
      assert.deepEqual(row, createRowReader(['a', 'b']).read(new PackSource(alone), 0, alone.length));
    }),
    { numRuns: 3000 },
  );
});
