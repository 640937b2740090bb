/** A table of the bench, and what its rows hold. */
export interface RowShape {
  readonly name: ShapeName;
  readonly columns: string;
  /** Values of row `i`, a bigint, as a select list. */
  readonly values: string;
}

export type ShapeName = 'narrow' | 'mixed';

export const ROW_SHAPES: Readonly<Record<ShapeName, RowShape>> = {
  narrow: {
    name: 'narrow',
    columns: 'id bigint PRIMARY KEY, body text NOT NULL, created_at timestamptz NOT NULL',
    values: `i, 'row ' || i || ' of the backlog', timestamptz '2024-01-01 00:00:00.123456Z' + i * interval '1 second'`,
  },
  mixed: {
    name: 'mixed',
    columns: `id bigint PRIMARY KEY, quantity integer NOT NULL, name text NOT NULL, price numeric(12,2) NOT NULL,
      score float8 NOT NULL, active boolean NOT NULL, created_at timestamptz NOT NULL, attributes jsonb NOT NULL, note text`,
    values: `i, (i % 1000)::integer, 'article number ' || i, (i % 100000) / 7.0, sqrt(i), i % 3 = 0,
      timestamptz '2024-01-01 00:00:00.123456Z' + i * interval '1 second',
      jsonb_build_object('colour', 'blue', 'size', i % 50, 'tags', jsonb_build_array('a', 'b')),
      CASE WHEN i % 2 = 0 THEN 'a note on ' || i END`,
  },
};

/** Reads every column, so that nothing stays undecoded; gives the id, whose sum proves that all rows came. */
export type RowToucher = (row: Record<string, unknown>) => number;

/** What the columns held, so that no reading of them can be optimised away. */
let sink = 0;

export const ROW_TOUCHERS: Readonly<Record<ShapeName, RowToucher>> = {
  narrow(row) {
    touch(row.body);
    touch(row.created_at);
    return Number(row.id);
  },
  mixed(row) {
    touch(row.quantity);
    touch(row.name);
    touch(row.price);
    touch(row.score);
    touch(row.active);
    touch(row.created_at);
    touch(row.attributes);
    touch(row.note);
    return Number(row.id);
  },
};

function touch(value: unknown): void {
  if (value === undefined) throw new Error('a column is missing');
  sink += value === null ? 1 : 2;
}

/** Something that depends on all values read. */
export function touched(): number {
  return sink;
}
