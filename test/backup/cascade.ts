import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { TestContext } from 'node:test';
import { BaseBackup } from '../../src/backup/base-backup.js';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { eventually } from '../support/eventually.js';
import { sql, withServer } from '../support/server.js';
import { RestoredServer } from './restored-server.js';

/** A primary, a standby of it, and a standby of that, which follows it to another timeline. */
export class Cascade {
  readonly #primary: EmbeddedServer;
  readonly first: RestoredServer;
  readonly second: RestoredServer;

  static async start(t: TestContext): Promise<Cascade> {
    const settings = { wal_keep_size: '256MB', full_page_writes: 'on' };
    const primary = await withServer(t, { settings });
    await sql(primary, 'CREATE TABLE kept AS SELECT generate_series(1, 500) AS n');
    const first = await RestoredServer.prepare(t);
    await standbyOf(primary.connectionString(), first);
    const second = await RestoredServer.prepare(t);
    await standbyOf(first.connectionString(), second);
    return new Cascade(primary, first, second);
  }

  private constructor(primary: EmbeddedServer, first: RestoredServer, second: RestoredServer) {
    this.#primary = primary;
    this.first = first;
    this.second = second;
  }

  /**
   * Promotes the first standby, between rows of both timelines; resolves when the second has written what it got of the new
   * one.
   */
  async promote(): Promise<void> {
    // Within a segment: both timelines have one of that number then.
    await sql(this.#primary, 'INSERT INTO kept SELECT generate_series(501, 1000)');
    await eventually('the rows of the first timeline', async () => (await rowsOf(this.second)) === 1000);
    await this.first.sql('SELECT pg_promote()');
    await this.first.sql('INSERT INTO kept SELECT generate_series(1001, 2000)');
    const [inserted] = await this.first.sql('SELECT pg_current_wal_lsn()::text AS lsn');
    // Where a backup of a standby ends is what its control file says.
    await eventually('the rows of the second timeline, for good', async () => {
      await this.first.sql('CHECKPOINT');
      await this.second.sql('CHECKPOINT');
      const [row] = await this.second.sql(
        `SELECT min_recovery_end_timeline = 2 AND min_recovery_end_lsn >= '${inserted?.lsn}' AS there FROM pg_control_recovery()`,
      );
      return row?.there === true;
    });
  }
}

/** How many rows it has. */
export async function rowsOf(server: RestoredServer): Promise<number> {
  return Number((await server.sql('SELECT count(*) AS n FROM kept'))[0]?.n);
}

async function standbyOf(connection: string, standby: RestoredServer): Promise<void> {
  const directory = standby.dataDirectory;
  await new BaseBackup({ connection, directory, checkpoint: 'fast', sync: false, writeRecoveryConf: true }).run();
  await standby.start();
}

export interface HoldingProxy {
  readonly port: number;
  /** Resolves when something is held back. */
  readonly held: Promise<void>;
  release(): void;
}

/** Leads to a server, and holds back what comes over its first connection when so much has come. */
export async function holdingProxy(t: TestContext, toPort: number, afterBytes: number): Promise<HoldingProxy> {
  let connections = 0;
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let onHeld = () => {};
  const held = new Promise<void>((resolve) => {
    onHeld = resolve;
  });
  const proxy = createServer((client) => {
    const isFirst = connections++ === 0;
    const server = connect(toPort, '127.0.0.1');
    let bytes = 0;
    client.on('error', () => server.destroy()).pipe(server);
    server.on('error', () => client.destroy());
    server.on('end', () => client.end());
    server.on('data', (piece) => {
      bytes += piece.length;
      const isFull = !client.write(piece);
      if (isFirst && bytes >= afterBytes && bytes - piece.length < afterBytes) {
        server.pause();
        onHeld();
        void released.then(() => server.resume());
      } else if (isFull) {
        server.pause();
        client.once('drain', () => server.resume());
      }
    });
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => {
    release();
    proxy.close();
  });
  const address = proxy.address();
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return { port: address.port, held, release };
}
