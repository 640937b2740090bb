import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EventPrinter } from '../../src/cli/event-printer.js';
import { paletteFor } from '../../src/cli/palette.js';
import { prettyEvent } from '../../src/cli/pretty-event.js';
import { TableFilter } from '../../src/cli/table-filter.js';
import type { WalEvent } from '../../src/pgoutput/event.js';
import { UNCHANGED } from '../../src/types/unchanged.js';
import * as wire from '../support/pgoutput-bytes.js';
import * as uncommitted from '../support/uncommitted-bytes.js';
import { alone, table, transaction } from './events.js';

const MESSAGE = { lsn: 0x105n, prefix: 'p', content: 'hi' };

describe('pretty', () => {
  const plain = paletteFor({});
  const lines = (events: readonly WalEvent[]) => events.map((event) => prettyEvent(event, plain));

  test('every kind', () => {
    const events = transaction(
      0x200n,
      wire.origin({ originLsn: 0x10n, name: 'elsewhere' }),
      wire.type({ id: 90_000, schema: 'public', name: 'mood' }),
      table(1, 'public', 'Weird table'),
      wire.insert(1, ['1', 'it"s\n\u001b[2J\u009b']),
      wire.update(1, ['2', UNCHANGED], { key: ['1', null] }),
      wire.update(1, ['2', null]),
      wire.deleteRow(1, { old: ['2', 'x'.repeat(200)] }),
      wire.truncate([1], { cascade: true, restartIdentity: true }),
      wire.message({ transactional: true, ...MESSAGE }),
    );
    assert.deepEqual(lines(events), [
      'begin xid 700  2000-01-01T00:00:00.000Z',
      '  origin elsewhere 0/10',
      '  type public.mood',
      '  relation public."Weird table" (id, note)',
      '  insert public."Weird table"#0 id=1 note="it\\"s\\n\\u001b[2J\\u009b"',
      '  update public."Weird table"#1 id=1 → id=2 note=(unchanged)',
      '  update public."Weird table"#2 id=2 note=null',
      `  delete public."Weird table"#3 id=2 note="${'x'.repeat(119)}…`,
      '  truncate public."Weird table"#4 restart identity cascade',
      '  message p "hi"',
      'commit xid 700  up to 0/230',
    ]);
    assert.deepEqual(lines(alone(wire.message({ transactional: false, ...MESSAGE }))), ['message p "hi"']);
  });
});

const PREPARED = { xid: 700, gid: "it's", prepareLsn: 0x200n, prepareEndLsn: 0x230n };
const UNCOMMITTED = [
  uncommitted.streamStart({ xid: 700, isFirst: true }),
  uncommitted.inBlock(701, table(1, 'a', 'wanted')),
  uncommitted.inBlock(701, wire.insert(1, ['1', null])),
  uncommitted.streamStop(),
  uncommitted.streamStart({ xid: 700, isFirst: false }),
  uncommitted.streamStop(),
  uncommitted.streamAbort({ xid: 700, subxid: 701 }),
  uncommitted.streamCommit({ xid: 700, commitLsn: 0x200n, commitEndLsn: 0x230n }),
  uncommitted.streamPrepare(PREPARED),
  uncommitted.beginPrepare(PREPARED),
  uncommitted.prepare(PREPARED),
  uncommitted.commitPrepared({ ...PREPARED, commitLsn: 0x300n, commitEndLsn: 0x330n }),
  uncommitted.rollbackPrepared({ ...PREPARED, rollbackEndLsn: 0x330n }),
];

describe('transactions that are sent before they commit', () => {
  test('pretty', () => {
    const plain = paletteFor({});
    assert.deepEqual(
      alone(...UNCOMMITTED).map((event) => prettyEvent(event, plain)),
      [
        'stream start xid 700  first',
        '  relation a.wanted (id, note)',
        '  insert a.wanted/701 id=1 note=null',
        'stream stop xid 700',
        'stream start xid 700',
        'stream stop xid 700',
        'stream abort xid 700/701',
        'stream commit xid 700  up to 0/230',
        'stream prepare "it\'s" xid 700  up to 0/230',
        'begin prepare "it\'s" xid 700  2000-01-01T00:00:00.000Z',
        'prepare "it\'s" xid 700  up to 0/230',
        'commit prepared "it\'s" xid 700  up to 0/330',
        'rollback prepared "it\'s" xid 700  up to 0/330',
      ],
    );
  });

  test('every end of one is acknowledged', () => {
    const printer = new EventPrinter({ format: 'jsonl', tables: [], maxEvents: Number.POSITIVE_INFINITY });
    const { text, acknowledge } = printer.print(alone(...UNCOMMITTED));
    assert.equal(text.trim().split('\n').length, UNCOMMITTED.length);
    assert.deepEqual(
      acknowledge.map(({ kind }) => kind),
      ['streamCommit', 'streamPrepare', 'prepare', 'commitPrepared', 'rollbackPrepared'],
    );
  });

  test('--table shows blocks with the table, and what became of every transaction', () => {
    const filter = new TableFilter([{ schema: 'a', table: 'wanted' }]);
    assert.deepEqual(
      alone(...UNCOMMITTED).flatMap((event) => filter.take(event).map(({ kind }) => kind)),
      [
        ...['streamStart', 'insert', 'streamStop', 'streamAbort', 'streamCommit', 'streamPrepare'],
        ...['commitPrepared', 'rollbackPrepared'],
      ],
    );
  });
});

describe('--table', () => {
  const filter = new TableFilter([{ schema: 'a', table: 'wanted' }]);
  const kinds = (events: readonly WalEvent[]) => events.flatMap((event) => filter.take(event)).map(({ kind }) => kind);
  const tables = [table(1, 'a', 'wanted'), table(2, 'b', 'wanted'), table(3, 'a', 'other')];

  test('a transaction without the table is not shown', () => {
    assert.deepEqual(kinds(transaction(0x200n, ...tables, wire.insert(2, ['1', null]), wire.truncate([2, 3]))), []);
    assert.deepEqual(kinds(transaction(0x300n)), []);
  });

  test('one with it is shown without the others, its begin and origin first', () => {
    const events = transaction(
      0x400n,
      wire.origin({ originLsn: 1n, name: 'o' }),
      ...tables,
      wire.insert(3, ['1', null]),
      wire.insert(1, ['1', null]),
      wire.message({ transactional: true, ...MESSAGE }),
      wire.update(2, ['1', null]),
      wire.truncate([3, 1]),
    );
    assert.deepEqual(kinds(events), ['begin', 'origin', 'insert', 'truncate', 'commit']);
  });

  test('messages are not shown', () => {
    assert.deepEqual(kinds(alone(wire.message({ transactional: false, ...MESSAGE }))), []);
  });
});

describe('a batch', () => {
  const events = [
    ...transaction(0x200n, table(1, 'a', 't'), wire.insert(1, ['1', null])),
    ...alone(wire.message({ transactional: false, ...MESSAGE })),
    ...transaction(0x300n, wire.message({ transactional: true, ...MESSAGE })),
  ];
  const printer = (maxEvents = Number.POSITIVE_INFINITY, tables: { schema: string; table: string }[] = []) =>
    new EventPrinter({ format: 'jsonl', tables, maxEvents });

  test('is lines, and what may be acknowledged once they are written', () => {
    const { text, acknowledge, full } = printer().print(events);
    assert.equal(text.split('\n').length, events.length + 1);
    assert.deepEqual(
      acknowledge.map(({ kind, lsn }) => [kind, lsn]),
      [events[3], events[4], events[7]].map((event) => [
        event?.kind,
        event?.kind === 'commit' || event?.kind === 'message' ? event.lsn : 0n,
      ]),
    );
    assert.equal(full, false);
  });

  test('ends at the last event that is wanted, whose transaction is acknowledged only when it is whole', () => {
    const half = printer(3).print(events);
    assert.deepEqual([half.text.split('\n').length - 1, half.acknowledge.length, half.full], [3, 0, true]);
    const whole = printer(4).print(events);
    assert.deepEqual([whole.text.split('\n').length - 1, whole.acknowledge.length, whole.full], [4, 1, true]);
  });

  test('is acknowledged also when nothing of it is shown', () => {
    const { text, acknowledge } = printer(1, [{ schema: 'a', table: 'other' }]).print(events);
    assert.deepEqual([text, acknowledge.length], ['', 3]);
  });
});
