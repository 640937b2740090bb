import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import {
  type ChangeEvent,
  type ChangeTransform,
  InsertEvent,
  isChangeOf,
  isRowEvent,
  type RangeValue,
  type Row,
  type RowEvent,
  type TableType,
  type Transaction,
  UNCHANGED,
  type Unchanged,
  type WalEvent,
  WalStream,
} from '../../src/index.js';
import { FakeWalSender, truncate, WalTape } from '../../src/testing/index.js';

/*
 * What must not compile is marked by @ts-expect-error: the build fails where it does. What must, is checked to be of
 * exactly the type that is named. The same events then come from a server of the tape.
 */

interface Orders {
  id: bigint;
  total: string;
  note: string | null | Unchanged;
}

interface Customers {
  id: bigint;
  name: string;
}

interface Tables {
  'public.orders': TableType<Orders, 'id'>;
  'sales.orders': { code: string; during: RangeValue<number> | null };
  'public.customers': TableType<Customers, 'id' | 'name'>;
  'public.log': TableType<{ line: string }>;
  'public.dotted.name': { only: boolean };
}

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Compiles only where `Given`, the type of what is passed, is exactly `Wanted`. */
function isExactly<Wanted>() {
  return <Given>(_value: Given, ..._same: Same<Given, Wanted> extends true ? [] : [never]): void => {};
}

function tape(): WalTape {
  const wal = new WalTape();
  const orders = wal.relation({
    table: 'orders',
    columns: { id: 'int8', total: 'numeric', note: 'text' },
    key: ['id'],
  });
  const sales = wal.relation({ schema: 'sales', table: 'orders', columns: { code: 'text' }, key: ['code'] });
  const dotted = wal.relation({ table: 'dotted.name', columns: { only: 'bool' }, key: ['only'] });
  wal.transaction([
    orders.insert({ id: 1, total: '9.50', note: 'first' }),
    sales.insert({ code: 'a' }),
    dotted.insert({ only: 't' }),
    orders.delete({ id: 1 }),
  ]);
  return wal;
}

async function open(t: TestContext): Promise<{ options: ConstructorParameters<typeof WalStream>[0] }> {
  const wal = tape();
  const sender = await FakeWalSender.listen({ wal, slots: ['typed'], publications: ['typed'] });
  t.after(() => sender.close());
  const connection = sender.connectionString();
  return { options: { connection, slot: 'typed', publications: 'typed', stopLsn: wal.endLsn } };
}

/** Every way to tell events apart, all of them types alone. */
function narrowed(event: WalEvent<Tables>): string {
  // @ts-expect-error not every event has a table
  event.table;
  switch (event.kind) {
    case 'insert':
      isExactly<'public' | 'sales'>()(event.schema);
      isExactly<'orders' | 'customers' | 'log' | 'dotted.name'>()(event.table);
      // @ts-expect-error there is no such table
      if (event.table === 'order') return 'none';
      if (event.schema === 'sales') {
        isExactly<RangeValue<number> | null>()(event.new.during);
        return event.new.code;
      }
      if (event.table === 'orders') {
        isExactly<bigint>()(event.new.id);
        isExactly<string | null>()(event.new.note);
        // @ts-expect-error an insert has no rows of before
        event.old;
        // @ts-expect-error there is no such column
        return event.new.nothing;
      }
      return event.table;
    case 'update':
      if (event.table === 'customers') {
        isExactly<string>()(event.new.name);
        isExactly<{ id: bigint; name: string } | undefined>()(event.key);
        return event.new.name;
      }
      if (event.schema === 'public' && event.table === 'orders') {
        isExactly<string | null | Unchanged>()(event.new.note);
        isExactly<string | null | undefined>()(event.old?.note);
        isExactly<{ id: bigint } | undefined>()(event.key);
        isExactly<{ id: bigint } | undefined>()(event.identity);
        // @ts-expect-error not sent with every update
        const note: string | null = event.new.note;
        return String(note);
      }
      return '';
    case 'delete':
      // @ts-expect-error there is no row after it
      event.new;
      if (event.table === 'dotted.name') {
        isExactly<{ only?: boolean } | undefined>()(event.key);
        return String(event.old?.only);
      }
      if (event.table === 'log') {
        // biome-ignore lint/complexity/noBannedTypes: a table without a replica identity has no column in it.
        isExactly<{} | undefined>()(event.identity);
        // @ts-expect-error no replica identity
        event.identity?.line;
      }
      return event.schema;
    case 'relation':
      isExactly<string>()(event.table);
      return event.table;
    default:
      return event.kind;
  }
}

/** What takes any row takes these too. */
function anyRow(row: Row): number {
  return Object.keys(row).length;
}

function anyChange(change: RowEvent): string {
  return change.table;
}

function typed(stream: WalStream<Tables>, event: RowEvent<Tables>, transaction: Transaction<Tables>): void {
  if (event.kind === 'update') anyRow(event.new);
  anyChange(event);
  stream.ack(transaction);
  const asBefore: WalStream = stream;
  const changes: Iterable<ChangeEvent> = transaction.changes;
  assert.ok(asBefore && changes);
  // @ts-expect-error a name without its schema
  type _Unqualified = WalStream<{ orders: Orders }>;
  // @ts-expect-error a row is an object
  type _NoRow = WalStream<{ 'public.orders': string }>;
  // @ts-expect-error the column is not in the row
  type _NoColumn = TableType<Orders, 'key'>;
  if (event instanceof InsertEvent && event.schema === 'public' && event.table === 'orders') {
    isExactly<string>()(event.new.total);
  }
  if (isChangeOf(event, 'sales.orders')) {
    isExactly<'sales'>()(event.schema);
    if (event.kind !== 'delete') isExactly<string>()(event.new.code);
  }
  // @ts-expect-error there is no such table
  isChangeOf(event, 'sales.order');
}

/** A transform of these tables. */
const transform: ChangeTransform<Tables> = (event) =>
  event.kind === 'insert' && event.schema === 'public' && event.table === 'orders' ? event.new.total : undefined;

function untyped(event: WalEvent): void {
  if (isRowEvent(event)) isExactly<RowEvent>()(event);
  if (event.kind === 'insert') {
    isExactly<Row>()(event.new);
    isExactly<string>()(event.table);
  }
  if (isChangeOf(event, 'public.orders') && event.kind === 'insert') isExactly<unknown>()(event.new.id);
}

suite('typed tables', () => {
  test('for await: kind, schema and table tell the row; nothing changes when it runs', async (t) => {
    const { options } = await open(t);
    const seen: string[] = [];
    for await (const event of new WalStream<Tables>(options)) {
      isExactly<WalEvent<Tables>>()(event);
      if (isRowEvent(event)) seen.push(event.kind === 'delete' ? String(event.key?.constructor) : narrowed(event));
      if (event.kind === 'insert' && event.schema === 'public' && event.table === 'orders') {
        assert.deepEqual({ ...event.new }, { id: 1n, total: '9.50', note: 'first' });
        assert.notEqual(event.new.note, UNCHANGED);
      }
    }
    assert.deepEqual(seen.length, 4);
    assert.deepEqual(seen.slice(1, 3), ['a', 'dotted.name']);
    assert.ok(typed.length === 3 && untyped.length === 1 && transform.length === 1);
  });

  test('batches and nextEvent', async (t) => {
    const { options } = await open(t);
    const totals: string[] = [];
    for await (const batch of new WalStream<Tables>(options).batches()) {
      for (const event of batch) {
        isExactly<WalEvent<Tables>>()(event);
        if (isChangeOf(event, 'public.orders') && event.kind === 'insert') totals.push(event.new.total);
      }
    }
    assert.deepEqual(totals, ['9.50']);
    const polled = new WalStream<Tables>((await open(t)).options);
    const codes: string[] = [];
    for (let event = await polled.nextEvent(); event !== undefined; event = await polled.nextEvent()) {
      isExactly<WalEvent<Tables> | null>()(event);
      if (event?.kind === 'insert' && event.schema === 'sales') codes.push(event.new.code);
    }
    assert.deepEqual(codes, ['a']);
  });

  test('transactions', async (t) => {
    const { options } = await open(t);
    const names: string[] = [];
    for await (const item of new WalStream<Tables>(options).transactions()) {
      if (item.kind !== 'transaction') continue;
      isExactly<Transaction<Tables>>()(item);
      for (const change of item.changes) {
        isExactly<ChangeEvent<Tables>>()(change);
        if (isChangeOf(change, 'public.dotted.name') && change.kind === 'insert') names.push(String(change.new.only));
      }
      for await (const change of item.changes) {
        if (isChangeOf(change, 'public.orders')) names.push(`${change.kind} ${change.identity?.id}`);
      }
    }
    assert.deepEqual(names, ['true', 'insert 1', 'delete 1']);
  });

  test('isChangeOf: only that table, however the names are cut', async (t) => {
    const wal = new WalTape();
    const relations = [
      wal.relation({ schema: 'a', table: 'b.c', columns: { id: 'int4' }, key: ['id'] }),
      wal.relation({ schema: 'a', table: 'bxc', columns: { id: 'int4' }, key: ['id'] }),
      wal.relation({ schema: 'ab', table: 'c', columns: { id: 'int4' }, key: ['id'] }),
    ];
    wal.transaction([...relations.map((relation) => relation.insert({ id: 1 })), truncate(relations)]);
    await using sender = await FakeWalSender.listen({ wal, slots: ['typed'], publications: ['typed'] });
    const found: string[] = [];
    const connection = sender.connectionString();
    const stream = new WalStream({ connection, slot: 'typed', publications: 'typed', stopLsn: wal.endLsn });
    t.after(() => stream.stop({ drain: 'none' }));
    for await (const event of stream) {
      for (const name of ['a.b.c', 'a.bxc', 'ab.c', 'a.b', 'b.c'] as const) {
        if (isChangeOf(event, name)) found.push(`${name} is ${event.schema}|${event.table}`);
      }
    }
    assert.deepEqual(found, ['a.b.c is a|b.c', 'a.bxc is a|bxc', 'ab.c is ab|c']);
  });
});
