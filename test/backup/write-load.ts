import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { connect, sql } from '../support/server.js';

/** Rows that were committed before a backup began, and writers that go on while it is taken. */
export class WriteLoad implements AsyncDisposable {
  /** Rows with `kind = 'before'`. */
  static readonly ROWS_BEFORE = 20_000;
  readonly #writers: Promise<void>[];
  #writing = true;

  static async start(server: EmbeddedServer, writers = 2): Promise<WriteLoad> {
    await sql(
      server,
      "CREATE TABLE IF NOT EXISTS load (id bigserial PRIMARY KEY, kind text DEFAULT 'before', pad text)",
    );
    await sql(
      server,
      `INSERT INTO load (pad) SELECT repeat('x', 300) FROM generate_series(1, ${WriteLoad.ROWS_BEFORE})`,
    );
    return new WriteLoad(server, writers);
  }

  private constructor(server: EmbeddedServer, writers: number) {
    this.#writers = Array.from({ length: writers }, (_, number) => this.#write(server, number));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#writing = false;
    await Promise.all(this.#writers);
  }

  /** Transactions like pgbench's, and new segments now and then. */
  async #write(server: EmbeddedServer, number: number): Promise<void> {
    const client = await connect(server);
    for (let round = 1; this.#writing; round++) {
      await client.query('BEGIN');
      await client.query("INSERT INTO load (kind, pad) SELECT 'during', repeat('y', 300) FROM generate_series(1, 100)");
      await client.query('UPDATE load SET pad = md5(id::text) WHERE id % 1000 = $1', [round % 1000]);
      await client.query('COMMIT');
      if (number === 0 && round % 20 === 0) await client.query('SELECT pg_switch_wal()');
    }
    await client.end();
  }
}
