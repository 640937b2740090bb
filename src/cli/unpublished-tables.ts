import { quoteLiteral, quoteLiterals } from '../protocol/quoting.js';
import { withSession } from './catalog-session.js';
import type { TableName } from './table-name.js';

const TIMEOUT_MS = 10_000;

/** Those of the tables that none of the publications has, as things are: nothing of them would ever be streamed. */
export async function unpublishedTables(
  dsn: string | undefined,
  publications: readonly string[],
  tables: readonly TableName[],
): Promise<readonly TableName[]> {
  const wanted = tables.map(
    ({ schema, table }) => `(${quoteLiteral(schema, '--table')}, ${quoteLiteral(table, '--table')})`,
  );
  const query = `SELECT schemaname, tablename FROM pg_catalog.pg_publication_tables
    WHERE pubname IN (${quoteLiterals(publications, '--publication')}) AND (schemaname, tablename) IN (${wanted.join(', ')})`;
  // A connection of the kind that the stream has: it may be the only one that the server allows.
  const [result] = await withSession(dsn, 'logical', (session) => session.query(query, { timeoutMs: TIMEOUT_MS }));
  const published = result?.rows ?? [];
  return tables.filter(({ schema, table }) => !published.some((row) => row[0] === schema && row[1] === table));
}
