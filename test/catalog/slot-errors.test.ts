import assert from 'node:assert/strict';
import { test } from 'node:test';
import { slotErrorFrom } from '../../src/catalog/index.js';
import { ConfigurationError, ServerError, SlotError } from '../../src/errors.js';

function mapped(sqlState: string, message: string, detail?: string): unknown {
  const error = new ServerError(message, { sqlState, severity: 'ERROR', ...(detail !== undefined && { detail }) });
  const result = slotErrorFrom(error, 's');
  if (result !== error) assert.equal(result instanceof Error && result.cause, error, 'the cause is kept');
  return result;
}

/** Messages as servers of 14 to 18 send them. */
const SLOT_ERRORS: readonly (readonly [string, string, string | undefined, string])[] = [
  ['55006', 'replication slot "s" is active for PID 4711', undefined, 'in-use'],
  ['55006', 'Replikations-Slot »s« ist aktiv für PID 4711', undefined, 'in-use'],
  ['42704', 'replication slot "s" does not exist', undefined, 'missing'],
  ['42704', 'la ranura de replicación «s» no existe', undefined, 'missing'],
  [
    '55000',
    'cannot read from logical replication slot "s"',
    'This slot has been invalidated because it exceeded the maximum reserved size.',
    'invalidated',
  ],
  ['55000', 'can no longer get changes from replication slot "s"', undefined, 'invalidated'],
  [
    '55000',
    'can no longer access replication slot "s"',
    'This replication slot has been invalidated due to "wal_removed".',
    'invalidated',
  ],
  ['55000', 'cannot advance replication slot to 0/1, minimum is 0/2', undefined, 'gap'],
  ['58P01', 'requested WAL segment 000000010000000000000001 has already been removed', undefined, 'gap'],
];

for (const [sqlState, message, detail, reason] of SLOT_ERRORS) {
  test(`${sqlState} ${message}`, () => {
    const error = mapped(sqlState, message, detail);
    assert.ok(error instanceof SlotError, String(error));
    assert.deepEqual([error.reason, error.slotName], [reason, 's']);
    assert.equal(error.retryable, reason === 'in-use');
    if (reason === 'in-use') assert.match(error.message, /4711/);
  });
}

test('what is a matter of configuration', () => {
  const options = (
    [
      ['42710', 'replication slot "s" already exists'],
      ['53400', 'all replication slots are in use'],
      ['55000', 'replication slot "s" was not created in this database'],
      ['55000', 'cannot use physical replication slot for logical decoding'],
      ['55000', 'logical decoding requires "wal_level" >= "logical"'],
    ] as const
  ).map(([sqlState, message]) => {
    const error = mapped(sqlState, message);
    return error instanceof ConfigurationError ? error.option : error;
  });
  assert.deepEqual(options, ['slot.name', 'slot.create', 'slot.name', 'slot.name', 'connection']);
});

test('what is not about the slot comes back as it is', () => {
  assert.ok(mapped('42704', 'publication "s" does not exist') instanceof ServerError);
  assert.ok(mapped('57P01', 'terminating connection') instanceof ServerError);
  assert.ok(mapped('55000', 'something else') instanceof ServerError);
  const other = new Error('not of the server');
  assert.equal(slotErrorFrom(other, 's'), other);
});
