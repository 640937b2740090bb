import { text } from '../errors/option-checks.js';
import { ConfigurationError, ServerError } from '../errors.js';
import { quoteLiteral } from '../protocol/quoting.js';
import {
  type CreatePublication,
  createPublicationStatement,
  dropPublicationStatement,
  type PublishedAction,
} from './publication-statements.js';
import { type CatalogRow, type QueryOptions, type SqlSession, selectRows } from './sql-session.js';

/** A table that a publication publishes. */
export interface PublishedTable {
  /** As in the catalog, unquoted. */
  readonly schema: string;
  /** As in the catalog, unquoted. */
  readonly table: string;
  /** Published columns; absent before 15, where all are. */
  readonly columns: readonly string[] | undefined;
  /** Its row filter as SQL; 15 and later. */
  readonly rowFilter: string | undefined;
}

/** @see https://www.postgresql.org/docs/current/catalog-pg-publication.html */
export interface Publication {
  /** As in the catalog, unquoted. */
  readonly name: string;
  /** The role that may alter and drop it. */
  readonly owner: string;
  /** FOR ALL TABLES. */
  readonly allTables: boolean;
  /** TABLES IN SCHEMA. */
  readonly schemas: readonly string[];
  /** The kinds of changes that it publishes. */
  readonly publish: readonly PublishedAction[];
  /** Whether changes of partitions appear as the partitioned table's (publish_via_partition_root). */
  readonly viaRoot: boolean;
  /** `none` before 18. */
  readonly generatedColumns: 'none' | 'stored';
  /** What it publishes now, whichever way a table came in; of partitioned tables the partitions, or with viaRoot the root. */
  readonly tables: readonly PublishedTable[];
}

/** The publications of the session's database, by name. */
export async function listPublications(session: SqlSession, options?: QueryOptions): Promise<Publication[]> {
  const rows = await selectRows(session, `${publicationQuery(session.serverVersion)} ORDER BY pubname`, options);
  return rows.map(publicationFromRow);
}

/** The publication of that name in the session's database; `undefined` when there is none. */
export async function findPublication(
  session: SqlSession,
  name: string,
  options?: QueryOptions,
): Promise<Publication | undefined> {
  const where = `WHERE pubname = ${quoteLiteral(text(name, 'name'), 'publications')}`;
  const [row] = await selectRows(session, `${publicationQuery(session.serverVersion)} ${where}`, options);
  return row === undefined ? undefined : publicationFromRow(row);
}

/**
 * Create it before the slot: a slot sees a publication only from where it was created on.
 *
 * @throws ConfigurationError when it exists, or a table does not; AuthenticationError without the privilege
 */
export async function createPublication(
  session: SqlSession,
  publication: CreatePublication,
  options?: QueryOptions,
): Promise<void> {
  const statement = createPublicationStatement(publication, session.serverVersion);
  try {
    await session.query(statement, options);
  } catch (error) {
    throw creationErrorFrom(error, publication.name);
  }
}

/** @throws ConfigurationError when there is none of this name; AuthenticationError for one of another owner */
export async function dropPublication(session: SqlSession, name: string, options?: QueryOptions): Promise<void> {
  try {
    await session.query(dropPublicationStatement(name), options);
  } catch (error) {
    if (error instanceof ServerError && error.sqlState === '42704') {
      throw new ConfigurationError(`publication ${JSON.stringify(name)} does not exist`, {
        option: 'publications',
        cause: error,
      });
    }
    throw error;
  }
}

/** 42710: exists; 42P01, 3F000, 42703: no such table, schema or column; 22023: a table or column that cannot be published. */
function creationErrorFrom(error: unknown, name: string): unknown {
  if (!(error instanceof ServerError)) return error;
  switch (error.sqlState) {
    case '42710':
      return new ConfigurationError(`publication ${JSON.stringify(name)} exists already`, {
        option: 'publications',
        cause: error,
      });
    case '42P01':
    case '42703':
    case '3F000':
    case '22023':
      return new ConfigurationError(`publication ${JSON.stringify(name)} was not created: ${error.message}`, {
        option: 'tables',
        cause: error,
      });
    default:
      return error;
  }
}

const PUBLICATION_DOES_NOT_EXIST = /^publication "(.*)" does not exist$/s;
const SKIPPED_PUBLICATION = /^skipped loading publication "(.*)"$/s;

/**
 * A stream's error, or notice, about a publication that decoding does not find: it was dropped before the position that
 * is being decoded, or created after it (up to 17 an error 42704; 18 skips the changes with a notice 55000, and they
 * would be lost in silence). Which of the two the server does not say. `undefined` for anything else.
 *
 * @see https://www.postgresql.org/docs/current/logical-replication-publication.html
 */
export function publicationErrorFrom(report: {
  readonly sqlState: string;
  readonly message: string;
}): ConfigurationError | undefined {
  const match =
    report.sqlState === '42704'
      ? PUBLICATION_DOES_NOT_EXIST.exec(report.message)
      : report.sqlState === '55000'
        ? SKIPPED_PUBLICATION.exec(report.message)
        : null;
  const name = match?.[1];
  if (name === undefined) return undefined;
  return new ConfigurationError(
    `publication ${JSON.stringify(name)} does not exist at the position that the slot has reached: it was dropped by then, or ` +
      'created only later. Create the publication first, then the slot anew; changes from between cannot be decoded',
    { option: 'publications', cause: report },
  );
}

/** Lists come as JSON: the text form of arrays would need a parser, for names that may hold anything. */
function publicationQuery(serverVersion: number): string {
  const since15 = serverVersion >= 150_000;
  const schemas = `SELECT json_agg(nspname ORDER BY nspname)
    FROM pg_catalog.pg_publication_namespace JOIN pg_catalog.pg_namespace n ON n.oid = pnnspid WHERE pnpubid = p.oid`;
  const columns = since15 ? 'attnames' : 'NULL';
  const rowFilter = since15 ? 'rowfilter' : 'NULL';
  return `SELECT pubname, pg_get_userbyid(pubowner) AS owner, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate,
  pubviaroot, ${serverVersion >= 180_000 ? 'pubgencols' : `'n'`} AS generated_columns,
  ${since15 ? `(${schemas})` : 'NULL'} AS schemas,
  (SELECT json_agg(json_build_array(schemaname, tablename, ${columns}, ${rowFilter}) ORDER BY schemaname, tablename)
    FROM pg_catalog.pg_publication_tables t WHERE t.pubname = p.pubname) AS tables
FROM pg_catalog.pg_publication p`;
}

type TableTuple = readonly [schema: string, table: string, columns: readonly string[] | null, rowFilter: string | null];

function publicationFromRow(row: CatalogRow): Publication {
  const schemas: readonly string[] = JSON.parse(row.optionalText('schemas') ?? '[]');
  const tables: readonly TableTuple[] = JSON.parse(row.optionalText('tables') ?? '[]');
  return {
    name: row.text('pubname'),
    owner: row.text('owner'),
    allTables: row.boolean('puballtables'),
    schemas,
    publish: publishedActions(row),
    viaRoot: row.boolean('pubviaroot'),
    generatedColumns: row.text('generated_columns') === 's' ? 'stored' : 'none',
    tables: tables.map(([schema, table, columns, rowFilter]) => ({
      schema,
      table,
      columns: columns ?? undefined,
      rowFilter: rowFilter ?? undefined,
    })),
  };
}

function publishedActions(row: CatalogRow): PublishedAction[] {
  const actions: readonly PublishedAction[] = ['insert', 'update', 'delete', 'truncate'];
  return actions.filter((action) => row.boolean(`pub${action}`));
}
