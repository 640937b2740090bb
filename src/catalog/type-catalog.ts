import { isListOf } from '../errors/option-checks.js';
import { quoteLiterals } from '../protocol/quoting.js';
import type { CompositeField, TypeDescriptor, TypeShape } from '../types/type-descriptor.js';
import { type CatalogRow, type QueryOptions, type QueryResult, type SqlSession, selectRows } from './sql-session.js';

/** Types described by one query; what is beyond stays unknown. */
export const MAX_TYPES = 10_000;

/** FirstGenbkiObjectId: OIDs below are the same everywhere and need no description. */
const FIRST_DESCRIBED_OID = 10_000;

/**
 * Describes types and the types that they are made of. Types that are not there, and pseudo-types, are left out.
 *
 * @see https://www.postgresql.org/docs/current/catalog-pg-type.html
 */
export async function readTypes(
  session: SqlSession,
  oids: readonly number[],
  options?: QueryOptions,
): Promise<TypeDescriptor[]> {
  if (oids.length === 0) return [];
  return describe(session, `SELECT unnest('{${oids.join(',')}}'::oid[])`, options);
}

/** Describes the types of the columns of published tables, those that are not built in. */
export async function readPublishedTypes(
  session: SqlSession,
  publications: readonly string[],
  options?: QueryOptions,
): Promise<TypeDescriptor[]> {
  return describe(session, publishedTypes(publications), options);
}

/** The same as the server says it, for whoever keeps it. */
export async function queryPublishedTypes(
  session: SqlSession,
  publications: readonly string[],
): Promise<QueryResult | undefined> {
  const [result] = await session.query(typesQuery(publishedTypes(publications)));
  return result;
}

function publishedTypes(publications: readonly string[]): string {
  const names = quoteLiterals(publications, 'publications');
  return `SELECT a.atttypid FROM pg_catalog.pg_publication_tables p
    JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
    WHERE p.pubname IN (${names}) AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= ${FIRST_DESCRIBED_OID}`;
}

async function describe(session: SqlSession, seed: string, options?: QueryOptions): Promise<TypeDescriptor[]> {
  const rows = await selectRows(session, typesQuery(seed), options);
  return rows.flatMap((row) => {
    const shape = shapeFrom(row);
    if (shape === undefined) return [];
    return [{ oid: row.number('oid'), schema: row.text('schema'), name: row.text('name'), ...shape }];
  });
}

/**
 * UNION drops what was found before, so that the recursion ends. Functions are known by the symbol that they call
 * (languages 12 and 13 are internal and C), since extensions give them names of their own.
 */
function typesQuery(seed: string): string {
  return `WITH RECURSIVE wanted (oid) AS (
  ${seed}
  UNION
  SELECT part.oid FROM wanted JOIN pg_catalog.pg_type t USING (oid) CROSS JOIN LATERAL (
    SELECT t.typbasetype WHERE t.typtype = 'd'
    UNION ALL SELECT e.oid FROM pg_catalog.pg_type e WHERE e.typarray = t.oid
    UNION ALL SELECT rngsubtype FROM pg_catalog.pg_range WHERE rngtypid = t.oid
    UNION ALL SELECT rngtypid FROM pg_catalog.pg_range WHERE rngmultitypid = t.oid
    UNION ALL SELECT atttypid FROM pg_catalog.pg_attribute
      WHERE t.typtype = 'c' AND attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped
  ) part (oid) WHERE part.oid >= ${FIRST_DESCRIBED_OID}
)
SELECT t.oid::int8 AS oid, n.nspname AS schema, t.typname AS name, t.typtype AS kind,
  (SELECT prosrc FROM pg_catalog.pg_proc WHERE oid = t.typsend AND prolang IN (12, 13)) AS send, t.typbasetype::int8 AS base,
  e.oid::int8 AS element, e.typdelim AS delimiter, r.rngsubtype::int8 AS subtype, m.rngtypid::int8 AS range,
  (SELECT json_agg(json_build_object('name', attname, 'typeOid', atttypid::int8) ORDER BY attnum)
    FROM pg_catalog.pg_attribute WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped) AS fields
FROM wanted JOIN pg_catalog.pg_type t USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_type e ON e.typarray = t.oid
LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
LEFT JOIN pg_catalog.pg_range m ON m.rngmultitypid = t.oid
LIMIT ${MAX_TYPES}`;
}

function shapeFrom(row: CatalogRow): TypeShape | undefined {
  const elementOid = row.optionalNumber('element');
  if (elementOid !== undefined) return { kind: 'array', elementOid, delimiter: row.text('delimiter') };
  switch (row.text('kind')) {
    case 'b':
      return { kind: 'base', send: row.optionalText('send') ?? '' };
    case 'e':
      return { kind: 'enum' };
    case 'd':
      return { kind: 'domain', baseOid: row.number('base') };
    case 'c':
      return { kind: 'composite', fields: row.optionalJson('fields', areFields) ?? [], earlierFields: [] };
    case 'r':
      return { kind: 'range', subtypeOid: row.number('subtype') };
    case 'm':
      return { kind: 'multirange', rangeOid: row.number('range') };
    default:
      return undefined;
  }
}

function areFields(value: unknown): value is CompositeField[] {
  return isListOf(value, isField);
}

function isField(value: unknown): value is CompositeField {
  if (typeof value !== 'object' || value === null) return false;
  const { name, typeOid } = value as Partial<CompositeField>;
  return typeof name === 'string' && Number.isSafeInteger(typeOid);
}
