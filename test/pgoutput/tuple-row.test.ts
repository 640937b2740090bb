import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { DecodeError } from '../../src/errors.js';
import type { Relation } from '../../src/pgoutput/relation.js';
import { keyFromTuple, rowFromTuple } from '../../src/pgoutput/tuple-row.js';
import { TupleValue } from '../../src/pgoutput/tuple-value.js';
import { Oid } from '../../src/types/oids.js';
import { UNCHANGED } from '../../src/types/unchanged.js';

function relationOf(...columns: readonly (readonly [name: string, typeOid: number, isIdentity?: boolean])[]): Relation {
  return {
    id: 1,
    schema: 's',
    table: 't',
    replicaIdentity: 'default',
    columns: columns.map(([name, typeOid, isIdentity = false]) => ({ name, typeOid, typeModifier: -1, isIdentity })),
  };
}

const text = (value: string) => TupleValue.fromText(value);

suite('rows of tuples', () => {
  test('have the lossless values of row events, by column name', () => {
    const relation = relationOf(['__proto__', Oid.int8], ['doc', Oid.jsonb], ['none', Oid.text], ['toast', Oid.text]);
    const row = rowFromTuple([text('9007199254740993'), text('{"a":[1]}'), null, UNCHANGED], relation);
    assert.deepEqual(Object.entries(row), [
      ['__proto__', 9007199254740993n],
      ['doc', { a: [1] }],
      ['none', null],
      ['toast', UNCHANGED],
    ]);
    assert.equal(Object.getPrototypeOf(row), Object.prototype);
  });

  test('are the same in binary', () => {
    const relation = relationOf(['n', Oid.int4], ['b', Oid.bytea]);
    const binary = [TupleValue.fromBinary(Uint8Array.of(255, 255, 255, 254)), TupleValue.fromBinary(Uint8Array.of(0))];
    assert.deepStrictEqual(rowFromTuple(binary, relation), { n: -2, b: Buffer.of(0) });
    assert.deepStrictEqual(rowFromTuple([text('-2'), text('\\x00')], relation), { n: -2, b: Buffer.of(0) });
  });

  test("as the server's text", () => {
    const relation = relationOf(['n', Oid.int4], ['j', Oid.json]);
    assert.deepStrictEqual(rowFromTuple([text('-2'), text('{ }')], relation, 'text'), { n: '-2', j: '{ }' });
  });

  test('large values, and many columns', () => {
    const names = Array.from({ length: 1600 }, (_, at) => [`c${at}`, Oid.text] as const);
    const row = rowFromTuple(
      names.map(([name]) => text(name.repeat(200))),
      relationOf(...names),
    );
    assert.equal(row.c1599, 'c1599'.repeat(200));
  });

  test('of a key: the replica identity only', () => {
    const relation = relationOf(['a', Oid.int4], ['b', Oid.int4, true], ['c', Oid.text, true]);
    assert.deepStrictEqual(keyFromTuple([null, text('7'), null], relation), { b: 7, c: null });
  });

  test('an error names the column, and no value', () => {
    const relation = relationOf(['ok', Oid.text], ['n', Oid.int4], ['j', Oid.json]);
    for (const [tuple, name] of [
      [[text('x'), text('12secret'), null], 'n'],
      [[text('x'), null, text('{"secret')], 'j'],
      [[text('x'), TupleValue.fromBinary(Buffer.from('secret')), null], 'n'],
      [[new TupleValue('text', Buffer.of(0xff)), null, null], 'ok'],
    ] as const) {
      assert.throws(
        () => rowFromTuple(tuple, relation),
        (error) => {
          assert.ok(error instanceof DecodeError);
          assert.equal(error.message, `column "${name}" cannot be decoded`);
          assert.equal(error.relationId, 1);
          assert.ok(error.cause instanceof DecodeError);
          assert.doesNotMatch(`${error.stack}${error.cause.stack}`, /secret/);
          return true;
        },
      );
    }
    assert.throws(() => rowFromTuple([null], relation), /tuple of 1 columns; its relation has 3/);
  });
});
