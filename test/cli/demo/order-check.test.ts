import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DemoOrderCheck, OrderCheck } from '../../../src/cli/demo/order-check.js';
import type { WalEvent } from '../../../src/pgoutput/event.js';
import { Oid } from '../../../src/types/oids.js';
import * as wire from '../../support/pgoutput-bytes.js';
import { alone, table, transaction } from '../events.js';

const EVENTS = wire.relation({
  id: 1,
  table: 'events',
  columns: [
    { name: 'writer', typeOid: Oid.int4, isIdentity: true },
    { name: 'sequence', typeOid: Oid.int8, isIdentity: true },
  ],
});
const ACCOUNTS = wire.relation({
  id: 2,
  table: 'accounts',
  columns: [
    { name: 'id', typeOid: Oid.int4, isIdentity: true },
    { name: 'version', typeOid: Oid.int8 },
  ],
});
const END = wire.message({ transactional: true, lsn: 1n, prefix: 'demo', content: 'that was all' });

const changes = (commitLsn: bigint, count = 3) =>
  transaction(commitLsn, table(3, 'a', 't'), ...Array.from({ length: count }, () => wire.insert(3, ['1', null])));

describe('order of any stream', () => {
  const problemOf = (events: readonly WalEvent[]) => {
    const check = new OrderCheck();
    for (const event of events) check.see(event);
    return check.problem;
  };

  test('is right', () => {
    const check = new OrderCheck();
    const events = [
      ...changes(0x200n),
      ...alone(wire.message({ transactional: false, lsn: 1n, prefix: 'demo', content: 'that was all' })),
      ...transaction(0x300n, table(3, 'a', 't'), wire.truncate([3]), wire.deleteRow(3, { key: ['1', null] })),
    ];
    for (const event of events) check.see(event);
    assert.deepEqual([check.problem, check.changes, check.transactions, check.complete], [undefined, 5, 2, false]);
  });

  test('transactions out of order', () => {
    assert.match(problemOf([...changes(0x300n), ...changes(0x200n)]) ?? '', /^transaction 700 comes after a later one/);
    assert.match(problemOf([...changes(0x300n), ...changes(0x300n)]) ?? '', /./);
  });

  test('a change that is missing, doubled or in another place', () => {
    const events = changes(0x200n);
    const without = events.filter((_, index) => index !== 3);
    const doubled = events.flatMap((event, index) => (index === 3 ? [event, event] : [event]));
    const swapped = events.map((event, index) => events[index === 3 ? 4 : index === 4 ? 3 : index] ?? event);
    for (const wrong of [without, doubled, swapped])
      assert.match(problemOf(wrong) ?? '', /^change \d at 0\/\w+ comes where \d was due/);
  });

  test('a begin, a commit or a change by itself', () => {
    const events = changes(0x200n);
    assert.match(problemOf(events.slice(1)) ?? '', /comes where 0 was due/);
    assert.match(problemOf([...events.slice(0, -1), ...changes(0x300n)]) ?? '', /begins within/);
    assert.match(problemOf(events.slice(-1)) ?? '', /commits without a begin/);
  });
});

describe('order of the demo', () => {
  const run = (lastSequences: readonly number[], ...messages: Buffer[]) => {
    const check = new DemoOrderCheck(2);
    for (const event of transaction(0x200n, EVENTS, ACCOUNTS, ...messages, END)) {
      assert.equal(check.complete, false);
      check.see(event);
    }
    check.seeAll(lastSequences);
    return check;
  };
  const row = (writer: number, sequence: number) => wire.insert(1, [String(writer), String(sequence)]);
  const account = (id: number, version: number) => wire.update(2, [String(id), String(version)]);

  test('is right', () => {
    const check = run([2, 1], row(0, 1), row(1, 1), row(0, 2), account(7, 1), account(8, 1), account(7, 2));
    assert.deepEqual([check.problem, check.rows, check.complete], [undefined, 3, true]);
  });

  test('is wrong', () => {
    assert.equal(run([3], row(0, 1), row(0, 3)).problem, 'row 3 of writer 0 comes where 2 was due');
    assert.equal(run([2], row(0, 1), row(0, 1)).problem, 'row 1 of writer 0 comes where 2 was due');
    assert.equal(run([1, 1], row(0, 1)).problem, '1 rows of writer 1 are missing');
    assert.equal(run([0], account(7, 1), account(7, 3)).problem, 'version 3 of account 7 comes where 2 was due');
  });
});
