import { UNCHANGED } from '../../src/index.js';
import { canonical, keyOf, SOAK_TABLES, type SoakRow } from './soak-schema.js';

/** A change of a row, as a consumer or its transform made it of an event. */
export interface RowChange {
  readonly kind: 'insert' | 'update' | 'delete';
  readonly table: string;
  readonly ordinal: number | undefined;
  readonly new: SoakRow | undefined;
  readonly identity: SoakRow | undefined;
}

export interface TruncateChange {
  readonly kind: 'truncate';
  readonly tables: readonly string[];
  readonly ordinal: number | undefined;
}

export type SoakChange = RowChange | TruncateChange;

/** The tables as a consumer has them. What it is told that cannot be is an error. */
export class Replica {
  readonly #tables = new Map(Object.keys(SOAK_TABLES).map((table) => [table, new Map<string, SoakRow>()]));

  apply(change: SoakChange): void {
    if (change.kind === 'truncate') {
      for (const table of change.tables) this.#rows(table).clear();
      return;
    }
    const { kind, table } = change;
    const rows = this.#rows(table);
    let before: SoakRow = {};
    if (kind !== 'insert') {
      if (change.identity === undefined) throw new Error(`${kind} of ${table} names no row`);
      const key = keyOf(table, change.identity);
      const found = rows.get(key);
      if (found === undefined) throw new Error(`${kind} of ${table} ${key}, which is not there`);
      rows.delete(key);
      before = found;
    }
    if (kind === 'delete') return;
    const row: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(change.new ?? {})) {
      row[name] = value === UNCHANGED ? before[name] : value;
    }
    const key = keyOf(table, row);
    if (rows.has(key)) throw new Error(`${kind} of ${table} ${key}, which is there already`);
    rows.set(key, row);
  }

  has(table: string, key: string): boolean {
    return this.#rows(table).has(key);
  }

  /** The first difference to what the source has. */
  difference(table: string, source: readonly SoakRow[]): string | undefined {
    const rows = this.#rows(table);
    for (const expected of source) {
      const key = keyOf(table, expected);
      const row = rows.get(key);
      if (row === undefined) return `${table} ${key} is missing`;
      for (const [name, value] of Object.entries(expected)) {
        if (canonical(row[name]) !== canonical(value)) return `${table} ${key}: column ${name} differs`;
      }
    }
    return rows.size === source.length ? undefined : `${table} has ${rows.size} rows in place of ${source.length}`;
  }

  #rows(table: string): Map<string, SoakRow> {
    const rows = this.#tables.get(table);
    if (rows === undefined) throw new Error(`no table of the soak: ${table}`);
    return rows;
  }
}
