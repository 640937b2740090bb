import type { TestContext } from 'node:test';
import pg from 'pg';
import type { QueryOptions, QueryResult, SqlSession } from '../../src/catalog/sql-session.js';
import { AuthenticationError, ServerError } from '../../src/errors.js';

/** A session over pg.Client: the catalog must not depend on our own connection to be tested. */
export interface ClientSession extends SqlSession {
  readonly client: pg.Client;
  readonly backendPid: number;
  end(): Promise<void>;
}

const AS_TEXT = { getTypeParser: () => (text: string) => text };

/** Ends with the test. By default a logical replication connection, which takes SQL too. */
export async function openSession(
  t: TestContext,
  connectionString: string,
  options: { readonly replication?: 'database' | undefined } = { replication: 'database' },
): Promise<ClientSession> {
  const client = new pg.Client({ connectionString, ...options });
  client.on('error', () => {});
  await client.connect();
  let open = true;
  const end = async (): Promise<void> => {
    if (open) await client.end();
    open = false;
  };
  t.after(end);

  const query = async (sql: string, queryOptions: QueryOptions = {}): Promise<QueryResult[]> => {
    queryOptions.signal?.throwIfAborted();
    try {
      const result: unknown = await client.query({ text: sql, rowMode: 'array', types: AS_TEXT });
      const results = Array.isArray(result) ? result : [result];
      return results.map((one: pg.QueryArrayResult<(string | null)[]>) => ({
        columns: one.fields.map((field) => field.name),
        rows: one.rows,
        command: one.command,
      }));
    } catch (error) {
      throw asServerError(error);
    }
  };
  const [version] = await query("SELECT current_setting('server_version_num'), pg_backend_pid()");
  const row = version?.rows[0] ?? [];
  return { client, serverVersion: Number(row[0]), backendPid: Number(row[1]), query, end };
}

function asServerError(error: unknown): unknown {
  if (!(error instanceof pg.DatabaseError)) return error;
  const sqlState = error.code ?? '';
  if (sqlState === '42501') return new AuthenticationError(error.message, { method: 'privilege', sqlState });
  return new ServerError(error.message, {
    sqlState,
    severity: error.severity ?? '',
    ...(error.detail !== undefined && { detail: error.detail }),
  });
}
