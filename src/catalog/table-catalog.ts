import { ConfigurationError } from '../errors.js';
import { quoteLiteral, quoteLiterals } from '../protocol/quoting.js';
import { findPublication } from './publications.js';
import { type CatalogRow, type QueryOptions, type SqlSession, selectRows } from './sql-session.js';

/** Which tables: of publications, or of the whole database; of these, when any is named, only some. */
export interface TableSelection {
  /** Tables and columns that these publish. None: every table that could be published. */
  readonly publications: readonly string[];
  /** Every table of these. */
  readonly schemas: readonly string[];
  /** These tables; the names as in the catalog. */
  readonly tables: readonly { readonly schema: string; readonly table: string }[];
}

/** A column as the stream gives it. */
export interface TableColumn {
  readonly name: string;
  readonly typeOid: number;
  readonly typeModifier: number;
  /** SQL's name of the type, such as `numeric(10,2)`. */
  readonly typeName: string;
  /** Declared dimensions of an array. The server does not hold anybody to them. */
  readonly dimensions: number;
  readonly nullable: boolean;
  readonly generated: boolean;
  /** Whether the table may keep a value of it outside of the row, where an update that leaves it alone does not send it. */
  readonly toastable: boolean;
  readonly inIdentity: boolean;
}

export interface TableDescription {
  readonly schema: string;
  readonly table: string;
  /** The old row comes whole. */
  readonly identityIsFull: boolean;
  readonly columns: readonly TableColumn[];
}

/**
 * The tables as row events name them, by schema and table: of partitioned ones the partitions or, where a publication
 * says so, the root.
 *
 * @throws ConfigurationError for a publication or a named table that is not there
 */
export async function readTables(
  session: SqlSession,
  selection: TableSelection,
  options?: QueryOptions,
): Promise<TableDescription[]> {
  for (const name of selection.publications) {
    if ((await findPublication(session, name, options)) !== undefined) continue;
    throw new ConfigurationError(`publication ${JSON.stringify(name)} does not exist`, { option: 'publications' });
  }
  const rows = await selectRows(session, tablesQuery(selection, session.serverVersion), options);
  const found = rows.map(tableFromRow);
  for (const { schema, table } of selection.tables) {
    if (found.some((one) => one.schema === schema && one.table === table)) continue;
    const where = selection.publications.length === 0 ? 'there' : `published by ${selection.publications.join(', ')}`;
    throw new ConfigurationError(`table ${schema}.${table} is not ${where}`, { option: 'tables' });
  }
  return found;
}

/** Labels of enums in their order, by the enum's OID. */
export async function readEnumLabels(
  session: SqlSession,
  oids: readonly number[],
  options?: QueryOptions,
): Promise<Map<number, readonly string[]>> {
  if (oids.length === 0) return new Map();
  const rows = await selectRows(
    session,
    `SELECT enumtypid::int8 AS oid, json_agg(enumlabel ORDER BY enumsortorder) AS labels
  FROM pg_catalog.pg_enum WHERE enumtypid IN (${oids.join(', ')}) GROUP BY enumtypid`,
    options,
  );
  return new Map(rows.map((row) => [row.number('oid'), JSON.parse(row.text('labels')) as string[]]));
}

/**
 * A column whose NOT NULL was added without a look at the rows (18) may hold nulls. A generated column is sent only where
 * the publication says so; virtual ones are nowhere. The replica identity of `default` is a primary key that is checked
 * at once.
 */
function tablesQuery({ publications, schemas, tables }: TableSelection, serverVersion: number): string {
  const published = `SELECT c.oid, ${serverVersion >= 150_000 ? 'p.attnames' : 'NULL::name[]'}
  FROM pg_catalog.pg_publication_tables p
  JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
  WHERE p.pubname IN (${quoteLiterals(publications, 'publications')})`;
  const publishable = `SELECT c.oid, NULL::name[] FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'`;
  const wanted = [
    ...(schemas.length === 0 ? [] : [`n.nspname IN (${quoteLiterals(schemas, 'schemas')})`]),
    ...tables.map(
      ({ schema, table }) =>
        `(n.nspname = ${quoteLiteral(schema, 'tables')} AND c.relname = ${quoteLiteral(table, 'tables')})`,
    ),
  ];
  return `WITH source (oid, columns) AS (
  ${publications.length === 0 ? publishable : published}
)
SELECT n.nspname AS schema, c.relname AS table, c.relreplident = 'f' AS identity_is_full,
  (SELECT json_agg(json_build_object(
      'name', a.attname, 'typeOid', a.atttypid::int8, 'typeModifier', a.atttypmod,
      'dimensions', greatest(a.attndims, t.typndims),
      'typeName', pg_catalog.format_type(a.atttypid, a.atttypmod), 'generated', a.attgenerated <> '',
      'nullable', NOT a.attnotnull OR EXISTS (SELECT FROM pg_catalog.pg_constraint k
        WHERE k.conrelid = c.oid AND k.contype = 'n' AND NOT k.convalidated AND k.conkey = ARRAY[a.attnum]),
      'toastable', a.attlen = -1 AND a.attstorage <> 'p' AND (c.reltoastrelid <> 0 OR c.relkind = 'p'),
      'inIdentity', c.relreplident = 'f' OR EXISTS (SELECT FROM pg_catalog.pg_index i
        WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate AND a.attnum = ANY (i.indkey)
          AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END)
    ) ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'
      AND EXISTS (SELECT FROM source s WHERE s.oid = c.oid
        AND CASE WHEN s.columns IS NULL THEN a.attgenerated = '' ELSE a.attname = ANY (s.columns) END)) AS columns
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid IN (SELECT oid FROM source) ${wanted.length === 0 ? '' : `AND (${wanted.join(' OR ')})`}
ORDER BY n.nspname, c.relname`;
}

function tableFromRow(row: CatalogRow): TableDescription {
  return {
    schema: row.text('schema'),
    table: row.text('table'),
    identityIsFull: row.boolean('identity_is_full'),
    // A table may have no columns.
    columns: JSON.parse(row.optionalText('columns') ?? '[]') as TableColumn[],
  };
}
