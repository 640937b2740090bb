import { appendFile, chown, lchown, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import pg from 'pg';
import { DatabaseCluster } from '../../src/cli/database-cluster.js';
import { findFreePort } from '../../src/cli/embedded-server.js';
import { findPostgresBinaries } from '../../src/cli/postgres-binaries.js';
import { Postmaster } from '../../src/cli/postmaster.js';
import { PG_MAJOR } from '../support/server.js';

/** A place for a backup from which a server of the tested major can be started; gone when the test has ended. */
export class RestoredServer {
  readonly #cluster: DatabaseCluster;
  #postmaster: Postmaster | undefined;
  #port = 0;

  static async prepare(t: TestContext): Promise<RestoredServer> {
    const restored = new RestoredServer(await DatabaseCluster.make(await findPostgresBinaries(PG_MAJOR), undefined));
    t.after(() => restored.#remove());
    return restored;
  }

  private constructor(cluster: DatabaseCluster) {
    this.#cluster = cluster;
  }

  /** Where the backup goes; it is not there yet. */
  get dataDirectory(): string {
    return this.#cluster.dataDirectory;
  }

  /** A folder beside it, for tablespaces. */
  beside(name: string): string {
    return join(this.#cluster.directory, name);
  }

  /** Recovers from the backup, with further lines of configuration. */
  async start(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    const { identity } = this.#cluster.binaries;
    if (identity !== undefined) await giveTo(this.#cluster.directory, identity);
    await this.#cluster.clearLog();
    this.#port = await findFreePort();
    const lines = { unix_socket_directories: this.#cluster.directory, ...settings };
    const text = Object.entries(lines).map(([name, value]) => `${name} = '${value}'\n`);
    await appendFile(join(this.dataDirectory, 'postgresql.conf'), `\n${text.join('')}`);
    this.#postmaster = new Postmaster(this.#cluster, this.#port, () => {});
    await this.#postmaster.ready();
  }

  async sql(text: string): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ host: '127.0.0.1', port: this.#port, user: 'postgres', database: 'postgres' });
    client.on('error', () => {});
    await client.connect();
    try {
      return (await client.query(text)).rows;
    } finally {
      await client.end();
    }
  }

  async stop(): Promise<void> {
    await this.#postmaster?.stop('fast');
  }

  log(): Promise<string> {
    return this.#cluster.log();
  }

  async #remove(): Promise<void> {
    await this.#postmaster?.end();
    await this.#cluster.remove();
  }
}

/** To the user that PostgreSQL runs as, links themselves and not what they lead to. */
async function giveTo(directory: string, { uid, gid }: { uid: number; gid: number }): Promise<void> {
  await chown(directory, uid, gid);
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    await lchown(join(entry.parentPath ?? entry.path, entry.name), uid, gid);
  }
}
