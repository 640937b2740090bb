import pg from 'pg';

/** What the writers write to and the consumers copy. */
export const SOAK_PUBLICATION = 'soak';
export const CHECKPOINT_WRITER = -1;

/** Columns that identify a row, by table. */
export const SOAK_TABLES: Readonly<Record<string, readonly string[]>> = {
  plain: ['id'],
  wide: ['id'],
  shifting: ['id'],
  emptied: ['id'],
  // One row per transaction of a writer, numbered without a gap.
  ledger: ['writer', 'number'],
};

export const SOAK_SCHEMA = `
  CREATE TABLE plain (id int PRIMARY KEY, counter int, note text);
  CREATE TABLE wide (id bigint PRIMARY KEY, exact numeric, body text, bytes bytea, document jsonb, moment timestamptz,
    double float8, yes boolean, words text[]);
  ALTER TABLE wide REPLICA IDENTITY FULL;
  ALTER TABLE wide ALTER body SET STORAGE EXTERNAL;
  CREATE TABLE shifting (id int PRIMARY KEY, body text, note text);
  ALTER TABLE shifting ALTER body SET STORAGE EXTERNAL;
  CREATE TABLE emptied (id int PRIMARY KEY, note text);
  CREATE TABLE ledger (writer int, number int, PRIMARY KEY (writer, number));
  CREATE PUBLICATION ${SOAK_PUBLICATION} FOR TABLE ${Object.keys(SOAK_TABLES).join(', ')}`;

export type SoakRow = Readonly<Record<string, unknown>>;

/** A value in the form that both the stream's and SQL's values are brought to. */
export function canonical(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`;
  if (typeof value === 'object') return JSON.stringify(value);
  return String(value);
}

export function keyOf(table: string, row: SoakRow): string {
  const columns = SOAK_TABLES[table];
  if (columns === undefined) throw new Error(`no table of the soak: ${table}`);
  return columns.map((column) => String(row[column])).join(' ');
}

const TIMESTAMPTZ = 1184;

/** Reads tables with values as the stream gives them. */
export async function readTable(client: pg.ClientBase, table: string): Promise<SoakRow[]> {
  const types: pg.CustomTypesConfig = {
    getTypeParser: (oid, format) =>
      oid === TIMESTAMPTZ
        ? (text: string) => text.replace(' ', 'T').replace(/\+00$/, 'Z')
        : pg.types.getTypeParser(oid, format as 'text'),
  };
  const { rows } = await client.query({ text: `SELECT * FROM ${table}`, types });
  return rows;
}
