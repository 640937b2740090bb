import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorFields } from '../../src/connection/backend-message.js';
import { walSenderErrorFrom } from '../../src/connection/wal-sender-errors.js';
import { AuthenticationError, ConfigurationError, ServerError } from '../../src/errors.js';

function mapped(sqlState: string, message: string, detail?: string) {
  const fields: ErrorFields = { severity: 'FATAL', sqlState, message, detail, hint: undefined };
  return walSenderErrorFrom(fields, 'the "reader"');
}

/** As servers of 14 to 18 say it. */
const REFUSALS: readonly (readonly [message: string, detail?: string])[] = [
  ['must be superuser or replication role to start walsender'],
  [
    'permission denied to start WAL sender',
    'Only roles with the REPLICATION attribute may start a WAL sender process.',
  ],
  ['keine Berechtigung, um WAL-Sender zu starten'],
  ['ne parle aucune langue connue', 'Seuls les rôles disposant de l’attribut REPLICATION le peuvent.'],
];

for (const [message, detail] of REFUSALS) {
  test(`a role that may not: ${message}`, () => {
    const error = mapped('42501', message, detail);
    assert.ok(error instanceof AuthenticationError);
    assert.deepEqual([error.method, error.sqlState], ['privilege', '42501']);
    assert.ok(error.message.startsWith(message));
    assert.match(error.message, /ALTER ROLE "the ""reader""" REPLICATION/);
  });
}

test('a server that is to have no walsenders is not waited for', () => {
  for (const message of [
    'number of requested standby connections exceeds max_wal_senders (currently 0)',
    'number of requested standby connections exceeds "max_wal_senders" (currently 0)',
    'Anzahl angeforderter Standby-Verbindungen überschreitet »max_wal_senders« (aktuell 0)',
  ]) {
    const error = mapped('53300', message);
    assert.ok(error instanceof ConfigurationError);
    assert.equal(error.retryable, false);
    assert.match(error.message, /SET wal_level = 'logical'.*SET max_wal_senders = 10.*restart/);
    assert.ok(error.cause instanceof ServerError);
  }
});

test('one whose walsenders are all taken may have one later', () => {
  const error = mapped('53300', 'number of requested standby connections exceeds "max_wal_senders" (currently 10)');
  assert.ok(error instanceof ServerError);
  assert.deepEqual([error.sqlState, error.retryable], ['53300', true]);
  assert.match(error.message, /currently 10\)\. What mends it: ALTER SYSTEM SET max_wal_senders = 20/);
});

test('what is about something else', () => {
  assert.equal(
    mapped('42501', 'permission denied for database "d"', 'User does not have CONNECT privilege.'),
    undefined,
  );
  assert.equal(mapped('42501', 'permission denied for database "walsender"'), undefined);
  assert.equal(mapped('53300', 'sorry, too many clients already'), undefined);
  assert.equal(mapped('57P03', 'the database system is starting up'), undefined);
});
