import type { TestContext } from 'node:test';
import type { SqlSession } from '../../src/catalog/index.js';
import { resolveConnectionConfig } from '../../src/connection/connection-config.js';
import { PgConnection } from '../../src/connection/pg-connection.js';
import type { ServerNotice } from '../../src/connection/server-error.js';
import type { ConnectionMode } from '../../src/connection/session-start.js';

/** A session that ends with the test; by default of the kind that streams. */
export async function openSession(
  t: TestContext,
  connectionString: string,
  options: { readonly mode?: ConnectionMode; readonly onNotice?: (notice: ServerNotice) => void } = {},
): Promise<PgConnection & SqlSession> {
  const config = resolveConnectionConfig(connectionString, {});
  const connection = await PgConnection.connect(config, { mode: 'logical', ...options });
  t.after(() => connection.close());
  return connection;
}
