import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { inspect } from 'node:util';
import type { RowEvent, WalEvent } from '../../src/pgoutput/event.js';
import type { ReplicaIdentity } from '../../src/pgoutput/relation.js';
import { acknowledgementUnit } from '../../src/pgoutput/unit-event.js';
import { Oid } from '../../src/types/oids.js';
import { UNCHANGED } from '../../src/types/unchanged.js';
import * as wire from '../support/pgoutput-bytes.js';
import { decode } from './batches.js';

const COMMIT_LSN = 0xffff_ffff_0000_0100n;
const COMMIT_END_LSN = 0xffff_ffff_0000_0130n;
/** 2000-01-01 plus a day and 1,500 microseconds. */
const COMMIT_TIME_US = 86_400_001_500n;
const COMMIT_TIME = new Date(Date.UTC(2000, 0, 2, 0, 0, 0, 1));
const XID = 0xfffffff0;
const LSN = 0x1_0000_0010n;

const BEGIN = wire.xLogData(LSN, wire.begin({ commitLsn: COMMIT_LSN, commitTimeUs: COMMIT_TIME_US, xid: XID }));
const COMMIT = wire.xLogData(
  COMMIT_END_LSN,
  wire.commit({ commitLsn: COMMIT_LSN, commitEndLsn: COMMIT_END_LSN, commitTimeUs: COMMIT_TIME_US }),
);
const IN_TRANSACTION = { xid: XID, commitLsn: COMMIT_LSN };

/** The events of one transaction, without its begin and commit. */
function inTransaction(...messages: Buffer[]): WalEvent[] {
  const { events, error } = decode([
    BEGIN,
    ...messages.map((message, index) => wire.xLogData(LSN + BigInt(index + 1), message)),
    COMMIT,
  ]);
  assert.equal(error, undefined);
  assert.equal(events[0]?.kind, 'begin');
  assert.equal(events.at(-1)?.kind, 'commit');
  return events.slice(1, -1);
}

/** A table of an identity column, a second one and a note, and its row changes. */
function changes(replicaIdentity: ReplicaIdentity, identityColumns: readonly string[], ...messages: Buffer[]) {
  const columns = [
    { name: 'id', typeOid: Oid.int4 },
    { name: 'code', typeOid: Oid.text },
    { name: 'note', typeOid: Oid.text },
  ].map((column) => ({ ...column, isIdentity: identityColumns.includes(column.name) }));
  const relation = wire.relation({ id: 7, schema: 'app', table: 'items', replicaIdentity, columns });
  return inTransaction(relation, ...messages).slice(1) as RowEvent[];
}

suite('transaction', () => {
  test('begin and commit', () => {
    const [begin, commit] = decode([BEGIN, COMMIT]).events;
    assert.deepStrictEqual(begin?.toObject(), {
      kind: 'begin',
      lsn: LSN,
      ...IN_TRANSACTION,
      commitTime: COMMIT_TIME,
    });
    assert.deepStrictEqual(commit?.toObject(), {
      kind: 'commit',
      lsn: COMMIT_END_LSN,
      commitLsn: COMMIT_LSN,
      commitEndLsn: COMMIT_END_LSN,
      xid: XID,
      commitTime: COMMIT_TIME,
    });
    assert.deepStrictEqual(JSON.parse(JSON.stringify([begin, commit])), [
      {
        kind: 'begin',
        lsn: '1/10',
        commitLsn: 'FFFFFFFF/100',
        xid: XID,
        commitTime: '2000-01-02T00:00:00.001Z',
      },
      {
        kind: 'commit',
        lsn: 'FFFFFFFF/130',
        commitLsn: 'FFFFFFFF/100',
        commitEndLsn: 'FFFFFFFF/130',
        xid: XID,
        commitTime: '2000-01-02T00:00:00.001Z',
      },
    ]);
  });

  test('a commit time that no Date can hold has no effect but on itself', () => {
    const never = wire.begin({ commitLsn: 1n, commitTimeUs: 2n ** 63n - 1n, xid: 1 });
    const [begin] = decode([wire.xLogData(1n, never)]).events;
    assert.equal((JSON.parse(JSON.stringify(begin)) as { commitTime: unknown }).commitTime, null);
    assert.match(inspect(begin), /Invalid Date/);
  });

  test('before 2000, times are rounded down too', () => {
    const early = wire.begin({ commitLsn: 1n, commitTimeUs: -1n, xid: 1 });
    const [begin] = decode([wire.xLogData(1n, early)]).events;
    assert.ok(begin?.kind === 'begin');
    assert.equal(begin.commitTime.toISOString(), '1999-12-31T23:59:59.999Z');
  });

  test('origin and type', () => {
    const [origin, type, builtIn] = inTransaction(
      wire.origin({ originLsn: 0xabcdn, name: 'pg_16401' }),
      wire.type({ id: 0xfffffffe, schema: 'app', name: 'mood' }),
      wire.type({ id: 90_001, schema: '', name: 'odd' }),
    );
    assert.deepStrictEqual(origin?.toObject(), { kind: 'origin', name: 'pg_16401', originLsn: 0xabcdn });
    assert.deepStrictEqual(origin?.toJSON(), { kind: 'origin', name: 'pg_16401', originLsn: '0/ABCD' });
    assert.deepStrictEqual(type?.toJSON(), { kind: 'type', id: 0xfffffffe, schema: 'app', name: 'mood' });
    assert.deepStrictEqual(builtIn?.toObject(), { kind: 'type', id: 90_001, schema: 'pg_catalog', name: 'odd' });
  });

  test('a stray Stream Abort of PostgreSQL 18 is passed over', () => {
    const streamAbort = Buffer.concat([Buffer.from('A'), wire.uint32(700), wire.uint32(700)]);
    const { events, error } = decode([wire.xLogData(0n, streamAbort), BEGIN, COMMIT]);
    assert.equal(error, undefined);
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ['begin', 'commit'],
    );
  });
});

suite('relation', () => {
  test('every replica identity, column flags and type modifiers', () => {
    for (const replicaIdentity of ['default', 'nothing', 'full', 'index'] as const) {
      const [event] = inTransaction(
        wire.relation({
          id: 0xffffffff,
          schema: 'größe',
          table: '列',
          replicaIdentity,
          columns: [
            { name: 'id', typeOid: 0xfffffffd, isIdentity: true },
            { name: 'n', typeOid: Oid.numeric, typeModifier: 655_366 },
          ],
        }),
      );
      assert.ok(event?.kind === 'relation');
      const columns = [
        { name: 'id', typeOid: 0xfffffffd, typeModifier: -1, isIdentity: true },
        { name: 'n', typeOid: Oid.numeric, typeModifier: 655_366, isIdentity: false },
      ];
      assert.deepStrictEqual(event.toObject(), {
        kind: 'relation',
        schema: 'größe',
        table: '列',
        relation: { id: 0xffffffff, schema: 'größe', table: '列', replicaIdentity, columns },
      });
      assert.deepStrictEqual(JSON.parse(JSON.stringify(event)), {
        kind: 'relation',
        schema: 'größe',
        table: '列',
        id: 0xffffffff,
        replicaIdentity,
        columns,
      });
    }
  });

  test('pg_catalog is sent as an empty name; a table may have no columns', () => {
    const [event, insert] = inTransaction(
      wire.relation({ id: 1, schema: '', table: 'pg_thing', columns: [] }),
      wire.insert(1, []),
    );
    assert.ok(event?.kind === 'relation' && insert?.kind === 'insert');
    assert.equal(event.schema, 'pg_catalog');
    assert.deepStrictEqual(insert.new, {});
    assert.equal(insert.identity, undefined);
  });
});

suite('row changes', () => {
  test('insert', () => {
    const [event] = changes('default', ['id'], wire.insert(7, ['1', 'a', null]));
    assert.ok(event?.kind === 'insert');
    assert.deepStrictEqual(event.toObject(), {
      kind: 'insert',
      schema: 'app',
      table: 'items',
      relation: event.relation,
      lsn: LSN + 2n,
      ...IN_TRANSACTION,
      ordinal: 0,
      new: { id: 1, code: 'a', note: null },
      identity: { id: 1 },
    });
    assert.deepStrictEqual(JSON.parse(JSON.stringify(event)), {
      kind: 'insert',
      lsn: '1/12',
      commitLsn: 'FFFFFFFF/100',
      xid: XID,
      ordinal: 0,
      schema: 'app',
      table: 'items',
      new: { id: 1, code: 'a', note: null },
    });
    assert.equal(event.value, undefined);
    assert.equal(event.new, event.new, 'unpacked once');
  });

  test('update without, with a key and with an old row', () => {
    const [plain] = changes('default', ['id'], wire.update(7, ['1', 'b', 'n']));
    assert.ok(plain?.kind === 'update');
    assert.deepStrictEqual([plain.key, plain.old, plain.identity], [undefined, undefined, { id: 1 }]);

    // The placeholders of a key are nulls, not values.
    const [moved] = changes('default', ['id'], wire.update(7, ['2', 'b', 'n'], { key: ['1', null, null] }));
    assert.ok(moved?.kind === 'update');
    assert.deepStrictEqual([moved.key, moved.old, moved.identity], [{ id: 1 }, undefined, { id: 1 }]);
    assert.deepStrictEqual(moved.new, { id: 2, code: 'b', note: 'n' });
    assert.deepStrictEqual(moved.toJSON().key, { id: 1 });
    assert.ok(!('old' in moved.toJSON()));

    const old = { id: 1, code: 'a', note: null };
    const [full] = changes('full', ['id', 'code', 'note'], wire.update(7, ['1', 'b', 'n'], { old: ['1', 'a', null] }));
    assert.ok(full?.kind === 'update');
    assert.deepStrictEqual([full.key, full.old, full.identity], [undefined, old, old]);
    assert.deepStrictEqual(full.toJSON().old, old);
  });

  test('delete with a key and with an old row', () => {
    const [byKey] = changes('default', ['id'], wire.deleteRow(7, { key: ['1', null, null] }));
    assert.ok(byKey?.kind === 'delete');
    assert.deepStrictEqual([byKey.key, byKey.old, byKey.identity], [{ id: 1 }, undefined, { id: 1 }]);
    assert.ok(!('new' in byKey.toObject()));
    assert.ok(!('new' in byKey.toJSON()));

    const [whole] = changes('full', ['id', 'code', 'note'], wire.deleteRow(7, { old: ['1', 'a', null] }));
    assert.ok(whole?.kind === 'delete');
    const old = { id: 1, code: 'a', note: null };
    assert.deepStrictEqual([whole.key, whole.old, whole.identity], [undefined, old, old]);
  });

  test('the identity of each kind of change, by replica identity', () => {
    const row = ['1', 'a', 'n'];
    const [indexInsert, indexUpdate, indexMoved, indexDelete] = changes(
      'index',
      ['code'],
      wire.insert(7, row),
      wire.update(7, ['1', 'a', 'm']),
      wire.update(7, ['1', 'b', 'm'], { key: [null, 'a', null] }),
      wire.deleteRow(7, { key: [null, 'b', null] }),
    );
    assert.deepStrictEqual(
      [indexInsert?.identity, indexUpdate?.identity, indexMoved?.identity, indexDelete?.identity],
      [{ code: 'a' }, { code: 'a' }, { code: 'a' }, { code: 'b' }],
    );
    const [fullInsert] = changes('full', ['id', 'code', 'note'], wire.insert(7, row));
    assert.deepStrictEqual(fullInsert?.identity, { id: 1, code: 'a', note: 'n' });
    const [nothing] = changes('nothing', [], wire.insert(7, row));
    assert.equal(nothing?.identity, undefined);
    // A table without a primary key: the default identity has no columns.
    const [keyless] = changes('default', [], wire.insert(7, row));
    assert.equal(keyless?.identity, undefined);
  });

  test('an unchanged TOAST column is UNCHANGED, and in JSON it is listed, not null', () => {
    const [event] = changes('default', ['id'], wire.update(7, ['1', UNCHANGED, null]));
    assert.ok(event?.kind === 'update');
    assert.deepStrictEqual(event.new, { id: 1, code: UNCHANGED, note: null });
    assert.deepStrictEqual(event.toJSON().new, { id: 1, note: null });
    assert.deepStrictEqual(event.toJSON().unchanged, ['code']);
    assert.match(inspect(event), /UpdateEvent .*code: Symbol\(pg-walstream.unchanged\)/s);
  });

  test('under REPLICA IDENTITY FULL it is filled from the old row', () => {
    const [event] = changes(
      'full',
      ['id', 'code', 'note'],
      wire.update(7, [UNCHANGED, 'b', UNCHANGED], { old: ['1', 'a', 'long'] }),
    );
    assert.ok(event?.kind === 'update');
    assert.deepStrictEqual(event.new, { id: 1, code: 'b', note: 'long' });
    assert.ok(!('unchanged' in event.toJSON()));
  });

  test('a key does not fill it: it holds the replica identity only', () => {
    const [event] = changes('default', ['id'], wire.update(7, ['2', UNCHANGED, 'n'], { key: ['1', null, null] }));
    assert.ok(event?.kind === 'update');
    assert.equal(event.new.code, UNCHANGED);
  });

  test('text and binary columns in one row', () => {
    const columns = [
      { name: 'a', typeOid: Oid.int8 },
      { name: 'b', typeOid: Oid.bytea },
      { name: 'c', typeOid: Oid.jsonb },
      { name: 'd', typeOid: Oid.float8 },
    ];
    const eight = Buffer.alloc(8);
    eight.writeBigInt64BE(-(2n ** 63n));
    const events = inTransaction(
      wire.relation({ id: 1, columns }),
      wire.insert(1, [eight, '\\x00ff', Buffer.from('\x01{"a":[1,null]}'), 'NaN']),
      wire.insert(1, ['9007199254740993', Buffer.of(0, 255), '{"b":1e3}', '-Infinity']),
    );
    const [, first, second] = events;
    assert.ok(first?.kind === 'insert' && second?.kind === 'insert');
    assert.deepStrictEqual(first.new, { a: -(2n ** 63n), b: Buffer.of(0, 255), c: { a: [1, null] }, d: Number.NaN });
    assert.deepStrictEqual(JSON.parse(JSON.stringify(first)).new, {
      a: '-9223372036854775808',
      b: '\\x00ff',
      c: { a: [1, null] },
      d: 'NaN',
    });
    assert.deepStrictEqual(second.toJSON().new, {
      a: '9007199254740993',
      b: '\\x00ff',
      c: { b: 1000 },
      d: '-Infinity',
    });
  });

  test('columns keep their names, __proto__ and numbers too, in rows, keys, identities, JSON and toObject', () => {
    const names = ['__proto__', 'toString', '2', '1', 'constructor', 'kind'];
    const columns = names.map((name) => ({ name, isIdentity: name !== 'kind' }));
    const events = inTransaction(
      wire.relation({ id: 1, columns }),
      wire.insert(1, ['p', 't', 'two', 'one', 'c', 'k']),
      wire.update(1, ['P', 'T', UNCHANGED, 'ONE', 'C', 'K'], { key: ['p', 't', 'two', 'one', 'c', null] }),
    );
    const [, insert, update] = events;
    assert.ok(insert?.kind === 'insert' && update?.kind === 'update');
    const expected = (values: readonly unknown[]) =>
      Object.fromEntries(values.map((value, index) => [names[index], value]));
    const before = ['p', 't', 'two', 'one', 'c'];
    for (const row of [insert.new, update.new, update.key, insert.identity, update.identity]) {
      assert.equal(Object.getPrototypeOf(row), Object.prototype);
    }
    assert.deepStrictEqual(insert.new, expected([...before, 'k']));
    assert.deepStrictEqual(insert.identity, expected(before));
    assert.deepStrictEqual(update.key, expected(before));
    assert.deepStrictEqual(update.new, expected(['P', 'T', UNCHANGED, 'ONE', 'C', 'K']));
    assert.ok(Object.hasOwn(insert.toObject().new as object, '__proto__'));
    assert.match(JSON.stringify(insert), /"__proto__":"p"/);
    assert.deepStrictEqual(update.toJSON().unchanged, ['2']);
    assert.equal(insert.kind, 'insert');
  });
});

suite('truncate', () => {
  const relations = [1, 2, 3].map((id) => wire.relation({ id, schema: `s${id}`, columns: [] }));

  test('several relations, every option', () => {
    for (const cascade of [false, true]) {
      for (const restartIdentity of [false, true]) {
        const event = inTransaction(...relations, wire.truncate([3, 1], { cascade, restartIdentity })).at(-1);
        assert.ok(event?.kind === 'truncate');
        const facts = {
          relations: [
            { schema: 's3', table: 'table_3' },
            { schema: 's1', table: 'table_1' },
          ],
          cascade,
          restartIdentity,
        };
        assert.deepStrictEqual(event.toObject(), {
          kind: 'truncate',
          lsn: LSN + 4n,
          ...IN_TRANSACTION,
          ordinal: 0,
          ...facts,
        });
        assert.deepStrictEqual(JSON.parse(JSON.stringify(event)), {
          kind: 'truncate',
          lsn: '1/14',
          commitLsn: 'FFFFFFFF/100',
          xid: XID,
          ordinal: 0,
          ...facts,
        });
      }
    }
  });

  test('counts among the changes of its transaction', () => {
    const events = inTransaction(...relations, wire.insert(1, []), wire.truncate([1, 2, 3]), wire.insert(2, []));
    assert.deepEqual(
      events.slice(3).map((event) => ('ordinal' in event ? event.ordinal : undefined)),
      [0, 1, 2],
    );
  });
});

suite('message', () => {
  test('inside a transaction', () => {
    const [event] = inTransaction(
      wire.message({ transactional: true, lsn: 0x99n, prefix: 'outbox', content: Buffer.of(0, 1, 255) }),
    );
    assert.ok(event?.kind === 'message');
    assert.deepStrictEqual(event.toObject(), {
      kind: 'message',
      lsn: 0x99n,
      ...IN_TRANSACTION,
      prefix: 'outbox',
      content: Buffer.of(0, 1, 255),
      transactional: true,
    });
    assert.equal(acknowledgementUnit(event), undefined);
    assert.deepStrictEqual(JSON.parse(JSON.stringify(event)), {
      kind: 'message',
      lsn: '0/99',
      commitLsn: 'FFFFFFFF/100',
      xid: XID,
      transactional: true,
      prefix: 'outbox',
      content: '\\x0001ff',
    });
  });

  test('that stands alone: a unit of its own, of no transaction', () => {
    const alone = wire.message({ transactional: false, lsn: 0x99n, prefix: '', content: '' });
    const { events } = decode([wire.xLogData(0x99n, alone), BEGIN, COMMIT, wire.xLogData(0x9an, alone)]);
    const [first, , commit, last] = events;
    assert.ok(first?.kind === 'message' && commit?.kind === 'commit' && last?.kind === 'message');
    assert.deepStrictEqual(first.toObject(), {
      kind: 'message',
      lsn: 0x99n,
      commitLsn: undefined,
      xid: undefined,
      prefix: '',
      content: Buffer.alloc(0),
      transactional: false,
    });
    assert.deepEqual(
      [first, commit, last].map((event) => acknowledgementUnit(event)?.number),
      [0, 1, 2],
    );
  });

  test('its content is a copy', () => {
    const [event] = inTransaction(wire.message({ transactional: true, lsn: 1n, prefix: 'p', content: 'abc' }));
    assert.ok(event?.kind === 'message');
    event.content.fill(0);
    assert.equal(event.content.length, 3);
  });
});

test('every event can be spread, cloned and shown', () => {
  const columns = [{ name: 'id', isIdentity: true }];
  const { events } = decode([
    BEGIN,
    ...[
      wire.origin({ originLsn: 1n, name: 'o' }),
      wire.relation({ id: 1, columns }),
      wire.type({ id: 5, schema: 's', name: 't' }),
      wire.insert(1, ['1']),
      wire.update(1, ['2'], { key: ['1'] }),
      wire.deleteRow(1, { old: ['2'] }),
      wire.truncate([1]),
      wire.message({ transactional: true, lsn: 1n, prefix: 'p', content: 'x' }),
    ].map((message) => wire.xLogData(1n, message)),
    COMMIT,
  ]);
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ['begin', 'origin', 'relation', 'type', 'insert', 'update', 'delete', 'truncate', 'message', 'commit'],
  );
  for (const event of events) {
    const plain = event.toObject();
    assert.deepEqual(Object.keys(structuredClone(plain)), Object.keys(plain));
    assert.equal(plain.kind, event.kind);
    assert.match(inspect(event), new RegExp(`^${event.constructor.name} \\{`));
    const json = event.toJSON();
    assert.deepStrictEqual(JSON.parse(JSON.stringify(event)), JSON.parse(JSON.stringify(json)));
    assert.equal(json.kind, event.kind);
  }
});
