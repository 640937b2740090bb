import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeError, ValidationError } from '../../src/errors.js';
import { decodeError, encodeError } from '../../src/threads/error-codec.js';

function roundTrip(error: unknown): Error {
  return decodeError(structuredClone(encodeError(error)));
}

test('a DecodeError keeps its class, code and place', () => {
  for (const location of [
    { offset: 7, tag: 'I', lsn: 2n ** 63n + 5n, relationId: 0xffffffff, relation: 's.t', column: 'c' },
    { offset: 0, tag: undefined, lsn: undefined, relationId: undefined, relation: undefined, column: undefined },
  ]) {
    const error = roundTrip(new DecodeError('what is wrong', location as { offset: number }));
    assert.ok(error instanceof DecodeError);
    const { message, name, code, retryable, offset, tag, lsn, relationId, relation, column } = error;
    assert.deepStrictEqual(
      { message, name, code, retryable, location: { offset, tag, lsn, relationId, relation, column } },
      { message: 'what is wrong', name: 'DecodeError', code: 'ERR_DECODE', retryable: false, location },
    );
  }
});

test('a ValidationError keeps its class, code and places', () => {
  for (const ordinal of [0, undefined]) {
    const place = { lsn: 2n ** 63n + 5n, relation: 's.t', ordinal, paths: ['', 'a.b[1]'] };
    const error = roundTrip(new ValidationError('what is wrong', place));
    assert.ok(error instanceof ValidationError);
    const { message, name, code, lsn, relation, paths } = error;
    assert.deepStrictEqual(
      { message, name, code, lsn, relation, ordinal: error.ordinal, paths },
      { message: 'what is wrong', name: 'ValidationError', code: 'ERR_VALIDATION', ...place },
    );
  }
});

test("other errors keep name, message and the worker's stack", () => {
  class UsersError extends TypeError {
    override name = 'UsersError';
  }
  const original = new UsersError('of the user');
  const error = roundTrip(original);
  assert.equal(error.name, 'UsersError');
  assert.equal(error.message, 'of the user');
  assert.equal(error.stack, original.stack);
});

test('what is thrown and no error is described by its type: it may be a row', () => {
  for (const [thrown, what] of [
    ['secret', 'a string'],
    [42, 'a number'],
    [{ secret: 1 }, 'a object'],
    [null, 'null'],
    [undefined, 'undefined'],
  ] as const) {
    assert.equal(roundTrip(thrown).message, `${what} was thrown`);
  }
});

test('an error without a stack', () => {
  const original = new Error('bare');
  delete original.stack;
  assert.equal(roundTrip(original).message, 'bare');
});
