import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serverErrorFrom, serverNoticeFrom } from '../../src/connection/server-error.js';
import { AuthenticationError, ServerError } from '../../src/errors.js';

const fields = (sqlState: string) => ({ sqlState, severity: 'ERROR', message: 'm', detail: 'd', hint: 'h' });

test('class 28 and missing privileges are about who we are; the rest is the server’s', () => {
  const wrongPassword = serverErrorFrom(fields('28P01'), { method: 'md5' });
  assert.ok(wrongPassword instanceof AuthenticationError);
  assert.equal(wrongPassword.method, 'md5');
  const noPrivilege = serverErrorFrom(fields('42501'));
  assert.ok(noPrivilege instanceof AuthenticationError);
  assert.equal(noPrivilege.method, 'privilege');
  const inUse = serverErrorFrom(fields('55006'));
  assert.ok(inUse instanceof ServerError);
  assert.deepEqual([inUse.detail, inUse.hint, inUse.retryable], ['d', 'h', true]);
});

test('details that may show rows are dropped', () => {
  for (const sqlState of ['22P02', '23505']) {
    const error = serverErrorFrom(fields(sqlState));
    assert.ok(error instanceof ServerError);
    assert.equal(error.detail, undefined);
    assert.equal(serverNoticeFrom(fields(sqlState)).detail, undefined);
  }
  assert.equal(serverNoticeFrom(fields('01000')).detail, 'd');
});

test('a walsender says where it was, and text that is not UTF-8 is not quoted', () => {
  const where = 'slot "s", output plugin "pgoutput", in the change callback, associated LSN 1A/0F00BA12';
  const message = 'invalid byte sequence for encoding "UTF8": 0xe9 0x20 0x6d';
  const error = serverErrorFrom({ ...fields('22021'), message, hint: undefined, where });
  assert.ok(error instanceof ServerError);
  assert.equal(error.message, 'invalid byte sequence for encoding "UTF8" at 1A/F00BA12');
  assert.equal(error.lsn, 0x1a_0f00_ba12n);
  assert.match(error.hint ?? '', /SQL_ASCII/);
  const elsewhere = serverErrorFrom({ ...fields('22021'), message, where: 'PL/pgSQL function f() line 1' });
  assert.ok(elsewhere instanceof ServerError);
  assert.deepEqual([elsewhere.lsn, elsewhere.message, elsewhere.hint], [undefined, message.slice(0, -16), 'h']);
});

test('messages of data exceptions do not quote the value', () => {
  for (const [text, shown] of [
    ['invalid input syntax for type integer: "a "b" c"', 'invalid input syntax for type integer: "..."'],
    ['value "123" is out of range for type integer', 'value "..." is out of range for type integer'],
    ['ungültige Eingabesyntax für Typ integer: »4711«', 'ungültige Eingabesyntax für Typ integer: "..."'],
    ['division by zero', 'division by zero'],
  ] as const) {
    assert.equal(serverErrorFrom({ ...fields('22P02'), message: text }).message, shown);
    assert.equal(serverNoticeFrom({ ...fields('22P02'), message: text }).message, shown);
  }
  const name = 'relation "t" does not exist';
  assert.equal(serverErrorFrom({ ...fields('42P01'), message: name }).message, name);
});
