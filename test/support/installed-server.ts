import { dirname } from 'node:path';
import { after, before } from 'node:test';
import pg from 'pg';
import { DatabaseCluster } from '../../src/cli/database-cluster.js';
import { findFreePort } from '../../src/cli/embedded-server.js';
import { findPostgresBinaries, POSTGRES_MAJORS } from '../../src/cli/postgres-binaries.js';
import { Postmaster } from '../../src/cli/postmaster.js';
import { findClientTool, toolMajor } from './client-tools.js';

/** A server of the distribution's PostgreSQL, built with what the embedded ones lack, such as lz4 and zstd. */
export class InstalledServer implements AsyncDisposable {
  readonly #cluster: DatabaseCluster;
  readonly #postmaster: Postmaster;
  readonly #port: number;

  private constructor(cluster: DatabaseCluster, postmaster: Postmaster, port: number) {
    this.#cluster = cluster;
    this.#postmaster = postmaster;
    this.#port = port;
  }

  /** `undefined` where none is installed that these tests know. */
  static async start(): Promise<InstalledServer | undefined> {
    const path = findClientTool('postgres');
    const major = POSTGRES_MAJORS.find((known) => known === installedMajor);
    if (path === undefined || major === undefined || major < 15) return undefined;
    const binaries = { ...(await findPostgresBinaries(major)), binDirectory: dirname(path) };
    const cluster = await DatabaseCluster.make(binaries, undefined);
    await cluster.initialise({ settings: { unix_socket_directories: cluster.directory } });
    const port = await findFreePort();
    const server = new InstalledServer(cluster, new Postmaster(cluster, port, () => {}), port);
    await server.#postmaster.ready();
    return server;
  }

  connectionString(): string {
    return `postgresql://postgres@127.0.0.1:${this.#port}/postgres`;
  }

  async sql(text: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.connectionString() });
    await client.connect();
    await client.query(text);
    await client.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#postmaster.end();
    await this.#cluster.remove();
  }
}

const postgres = findClientTool('postgres');
const installedMajor = postgres === undefined ? undefined : await toolMajor(postgres);

/** For `skip` of tests that need {@link InstalledServer}. */
export const needsInstalledServer: string | false =
  installedMajor !== undefined && installedMajor >= 15 && POSTGRES_MAJORS.some((known) => known === installedMajor)
    ? false
    : 'no PostgreSQL of the distribution is installed, and the embedded ones have neither lz4 nor zstd';

/** One for all tests of the suite that calls this. */
export function sharedInstalledServer(): () => InstalledServer {
  let server: InstalledServer | undefined;
  before(async () => {
    server = await InstalledServer.start();
  });
  after(() => server?.[Symbol.asyncDispose]());
  return () => {
    if (server === undefined) throw new Error('the shared server is there while the tests run');
    return server;
  };
}
