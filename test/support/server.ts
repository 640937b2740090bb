import assert from 'node:assert/strict';
import { after, before, type TestContext } from 'node:test';
import pg from 'pg';
import { EmbeddedServer, type EmbeddedServerOptions } from '../../src/cli/embedded-server.js';
import { POSTGRES_MAJORS, type PostgresMajor } from '../../src/cli/postgres-binaries.js';

/** The major that this run is about: the environment's `PG_MAJOR`, or 18. A major that is not installed is a failure. */
export const PG_MAJOR: PostgresMajor = readMajor(process.env.PG_MAJOR ?? '18');

function readMajor(text: string): PostgresMajor {
  const major = POSTGRES_MAJORS.find((known) => String(known) === text);
  assert.ok(major !== undefined, `PG_MAJOR is '${text}', not one of ${POSTGRES_MAJORS.join(', ')}`);
  return major;
}

/**
 * For `skip` of a test: only for what this major does not have at all.
 *
 * @example test('prepared transactions', { skip: needsMajor(15, 'two_phase') }, ...)
 */
export function needsMajor(major: PostgresMajor, feature: string): string | false {
  return PG_MAJOR < major && `PostgreSQL ${PG_MAJOR} has no ${feature}, it came with ${major}`;
}

/** No transactions but those of the tests: 14 sends them all, empty ones too. */
function startServer({ settings, ...options }: EmbeddedServerOptions): Promise<EmbeddedServer> {
  return EmbeddedServer.start({ major: PG_MAJOR, settings: { autovacuum: 'off', ...settings }, ...options });
}

/** A server of this test's own; gone when the test has ended. */
export async function withServer(t: TestContext, options: EmbeddedServerOptions = {}): Promise<EmbeddedServer> {
  const server = await startServer(options);
  t.after(() => server[Symbol.asyncDispose]());
  return server;
}

/** One server for all tests of the file or suite that calls this; ask for it inside the tests. */
export function sharedServer(options: EmbeddedServerOptions = {}): () => EmbeddedServer {
  let server: EmbeddedServer | undefined;
  before(async () => {
    server = await startServer(options);
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
  });
  return () => {
    assert.ok(server !== undefined, 'the shared server is there while the tests run');
    return server;
  };
}

/** An open connection, to be ended by the caller. */
export async function connect(server: EmbeddedServer, database?: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: server.connectionString(database) });
  // A server that a test stops or kills is no reason for the process to end.
  client.on('error', () => {});
  await client.connect();
  return client;
}

export type SqlRow = Record<string, unknown>;

/** Runs SQL on a connection of its own; rows of the last statement. */
export async function sql(server: EmbeddedServer, text: string, values?: readonly unknown[]): Promise<SqlRow[]> {
  const client = await connect(server);
  try {
    const result: pg.QueryResult<SqlRow> | pg.QueryResult<SqlRow>[] = await client.query(text, values && [...values]);
    return (Array.isArray(result) ? result.at(-1) : result)?.rows ?? [];
  } finally {
    await client.end();
  }
}
