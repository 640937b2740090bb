import assert from 'node:assert/strict';
import pg from 'pg';
import { UNCHANGED } from '../../src/index.js';
import type { Comparable } from './oracle.js';

/*
 * A third opinion, which knows nothing of logical decoding: whoever applies the events to the rows that there were
 * before must end with the rows that the database has.
 */

/** A table by its names, and the columns that tell its rows apart. */
export interface ReplayedTable {
  readonly schema: string;
  readonly table: string;
  readonly key: readonly string[];
}

type TextRow = Map<string, unknown>;
type TableRows = Map<string, TextRow>;

/** All rows of a table by key, as the server's text. */
export async function readTable(client: pg.Client, { schema, table, key }: ReplayedTable): Promise<TableRows> {
  const result = await client.query({
    text: `SELECT * FROM ${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`,
    rowMode: 'array',
    types: { getTypeParser: () => (text: string) => text },
  });
  const names = result.fields.map((field) => field.name);
  const rows = result.rows.map((values): TextRow => new Map(names.map((name, index) => [name, values[index]])));
  return new Map(rows.map((row) => [keyOf(row, key), row]));
}

function keyOf(row: ReadonlyMap<string, unknown>, key: readonly string[]): string {
  return JSON.stringify(
    key.map((name) => {
      const value = row.get(name);
      assert.equal(typeof value, 'string', `${name} is part of the key`);
      return value;
    }),
  );
}

/** Rows that change as events come, of a stream with `types: 'text'`. */
export class Replay {
  readonly #tables = new Map<string, { readonly key: readonly string[]; readonly rows: TableRows }>();

  /** The rows at the position where the stream begins. */
  add(table: ReplayedTable, rows: TableRows): void {
    this.#tables.set(nameOf(table), { key: table.key, rows });
  }

  rows(table: ReplayedTable): TableRows | undefined {
    return this.#tables.get(nameOf(table))?.rows;
  }

  apply(event: Comparable): void {
    if (event.kind === 'truncate') {
      for (const relation of event.relations as { schema: string; table: string }[])
        this.rows({ ...relation, key: [] })?.clear();
      return;
    }
    if (event.kind !== 'insert' && event.kind !== 'update' && event.kind !== 'delete') return;
    const [[, schema, name]] = JSON.parse(event.relation as string) as [[number, string, string]];
    const table = this.#tables.get(nameOf({ schema, table: name }));
    if (table === undefined) return;
    const { key, rows } = table;
    let before: TextRow | undefined;
    if (event.kind !== 'insert') {
      const oldKey = keyOf(new Map(event.identity as [string, unknown][]), key);
      before = rows.get(oldKey);
      assert.ok(before !== undefined, `${name} has the row ${oldKey} that is changed`);
      rows.delete(oldKey);
    }
    if (event.kind === 'delete') return;
    const row = new Map(event.new as [string, unknown][]);
    for (const [column, value] of row) if (value === UNCHANGED) row.set(column, before?.get(column));
    const newKey = keyOf(row, key);
    assert.ok(!rows.has(newKey), `${name} has no row ${newKey} yet`);
    rows.set(newKey, row);
  }
}

function nameOf({ schema, table }: Pick<ReplayedTable, 'schema' | 'table'>): string {
  return JSON.stringify([schema, table]);
}

/** Compares row by row, in any order of rows and columns. */
export function assertSameRows(actual: TableRows | undefined, expected: TableRows, title: string): void {
  assert.ok(actual !== undefined);
  const sorted = (row: TextRow | undefined) => row && [...row].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [key, row] of expected) assert.deepStrictEqual(sorted(actual.get(key)), sorted(row), `${title} ${key}`);
  assert.equal(actual.size, expected.size, title);
}
