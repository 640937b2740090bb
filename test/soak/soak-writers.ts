import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { connect } from '../support/server.js';
import type { Random } from '../support/workload.js';

/** Ids that a writer has to itself. */
const IDS_PER_WRITER = 100_000_000;
/** Rows of a table that a writer leaves behind it, and rows of the ledger: a soak of hours stays small. */
const ROWS_KEPT = 2_000;
const NUMBERS_KEPT = 200;
const RECONNECT_PAUSE_MS = 50;
const TABLES = ['plain', 'plain', 'wide', 'shifting', 'emptied'] as const;

/** One connection that writes until it is stopped, whatever happens to the server. */
export class SoakWriter {
  readonly #server: EmbeddedServer;
  readonly #number: number;
  readonly #random: Random;
  #client: pg.Client | undefined;
  #nextId: number;
  /** Of the last transaction that is known to be committed. */
  #ledger = 0;
  #messages = 0;
  #columns: string[] = [];
  #columnsMade = 0;
  #stopped = false;
  #pause: Promise<void> | undefined;
  #idle: (() => void) | undefined;
  committed = 0;

  constructor(server: EmbeddedServer, number: number, random: Random) {
    this.#server = server;
    this.#number = number;
    this.#random = random;
    this.#nextId = number * IDS_PER_WRITER + 1;
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      this.#idle?.();
      await this.#pause;
      if (this.#stopped) break;
      try {
        this.#client ??= await this.#connect();
        await this.#transaction(this.#client);
        await sleep(this.#random.integer(0, 30));
      } catch (error) {
        await this.#recover(error);
      }
    }
    this.#idle?.();
    await this.#client?.end();
  }

  /** Resolves between two transactions; then nothing is written until the function it gives is called. */
  async pause(): Promise<() => void> {
    let resume = () => {};
    this.#pause = new Promise((resolve) => {
      resume = resolve;
    });
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
    this.#idle = undefined;
    return () => {
      this.#pause = undefined;
      resume();
    };
  }

  stop(): void {
    this.#stopped = true;
  }

  async #connect(): Promise<pg.Client> {
    const client = await connect(this.#server);
    // Whether the last COMMIT arrived, only the server knows.
    const { rows } = await client.query('SELECT coalesce(max(number), 0) AS last FROM ledger WHERE writer = $1', [
      this.#number,
    ]);
    this.#ledger = rows[0].last;
    const { rows: columns } = await client.query(
      "SELECT column_name AS name FROM information_schema.columns WHERE table_name = 'shifting'",
    );
    this.#columns = columns.map(({ name }) => name).filter((name) => name.startsWith('made_'));
    await client.query(`SET synchronous_commit = ${this.#random.pick(['on', 'on', 'off'])}`);
    return client;
  }

  /** A deadlock, or a connection that is gone: from a new one. */
  async #recover(error: unknown): Promise<void> {
    const isOurs = error instanceof pg.DatabaseError && /^(22|23|42)/.test(error.code ?? '');
    if (isOurs) throw error;
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => {});
    await sleep(RECONNECT_PAUSE_MS);
  }

  async #transaction(client: pg.Client): Promise<void> {
    const random = this.#random;
    if (random.chance(0.1)) await this.#message(client);
    await client.query('BEGIN');
    const columns = [...this.#columns];
    if (this.#number === 0 && random.chance(0.05)) await this.#alter(client);
    for (let step = random.integer(1, 5); step > 0; step--) {
      const savepoint = random.chance(0.4);
      if (savepoint) await client.query('SAVEPOINT s');
      await this.#change(client);
      if (random.chance(0.05)) await this.#message(client);
      if (random.chance(0.1)) await client.query(`SELECT pg_logical_emit_message(true, 'within', 'x')`);
      if (savepoint) await client.query(random.chance(0.5) ? 'ROLLBACK TO s' : 'RELEASE s');
    }
    if (random.chance(0.03)) await this.#large(client);
    if (random.chance(0.02)) await client.query('TRUNCATE emptied');
    if (random.chance(0.1)) {
      await client.query('ROLLBACK');
      this.#columns = columns;
      return;
    }
    await client.query('INSERT INTO ledger VALUES ($1, $2)', [this.#number, this.#ledger + 1]);
    if (this.#ledger % NUMBERS_KEPT === 0) await this.#prune(client);
    await client.query('COMMIT');
    this.#ledger++;
    this.committed++;
  }

  /** Outside of what is rolled back to a savepoint: PostgreSQL 18 fails when it streams that. */
  async #alter(client: pg.Client): Promise<void> {
    // A name is never used again: rows that a consumer has would seem to have values.
    if (this.#columns.length < 3 || this.#random.chance(0.5)) {
      const type = this.#random.pick(['int', 'text', 'numeric']);
      const name = `made_${Date.now().toString(36)}_${this.#columnsMade++}`;
      await client.query(`ALTER TABLE shifting ADD COLUMN ${name} ${type}`);
      this.#columns.push(name);
    } else {
      await client.query(`ALTER TABLE shifting DROP COLUMN ${this.#columns.shift()}`);
    }
  }

  async #message(client: pg.Client): Promise<void> {
    const content = `${this.#number} ${this.#messages++}`;
    await client.query(`SELECT pg_logical_emit_message(false, 'alone', $1)`, [content]);
  }

  async #change(client: pg.Client): Promise<void> {
    const random = this.#random;
    const table = random.pick(TABLES);
    const first = random.integer(Math.max(this.#nextId - 300, this.#number * IDS_PER_WRITER), this.#nextId);
    const some = `id BETWEEN ${first} AND ${first + random.integer(0, 10)}`;
    switch (random.integer(0, 5)) {
      case 0:
        await client.query(`DELETE FROM ${table} WHERE ${some}`);
        return;
      case 1:
        // Keys change beyond those that are inserted.
        await client.query(
          `UPDATE ${table} SET id = id + ${IDS_PER_WRITER / 2} WHERE ${some} AND id % ${IDS_PER_WRITER} < ${IDS_PER_WRITER / 2}`,
        );
        return;
      case 2:
      case 3:
        await this.#update(client, table, some);
        return;
      default:
        await this.#insert(client, table, random.integer(1, 10));
    }
  }

  async #update(client: pg.Client, table: (typeof TABLES)[number], some: string): Promise<void> {
    const text = this.#random.text(20);
    const assignment = {
      plain: `counter = counter + 1, note = '${text}'`,
      // The large column stays as it is.
      wide: `exact = exact + 0.01, yes = NOT yes, words = words || '${text}'::text`,
      shifting: `note = '${text}'`,
      emptied: `note = '${text}'`,
    }[table];
    await client.query(`UPDATE ${table} SET ${assignment} WHERE ${some}`);
  }

  async #insert(client: pg.Client, table: (typeof TABLES)[number], rows: number): Promise<void> {
    const random = this.#random;
    const from = this.#nextId;
    this.#nextId += rows;
    const text = random.text(random.integer(1, 60));
    const large = `repeat(md5(g::text), ${random.pick([1, 10, 100])})`;
    const values = {
      plain: `g, 0, '${text}'`,
      wide: `g, g / 7.0, ${large}, decode(md5(g::text), 'hex'), jsonb_build_object('id', g, 'text', '${text}', 'list', '[1, null]'::jsonb),
        '2020-01-01 00:00+00'::timestamptz + g * interval '1.000001 s', g / 3.0::float8, g % 2 = 0, ARRAY['${text}', NULL, 'a "b" \\c']`,
      shifting: `g, ${large}, '${text}'`,
      emptied: `g, '${text}'`,
    }[table];
    await client.query(`INSERT INTO ${table} SELECT ${values} FROM generate_series(${from}, ${this.#nextId - 1}) g`);
  }

  /** Beyond logical_decoding_work_mem, and beyond what a consumer keeps in memory. */
  async #large(client: pg.Client): Promise<void> {
    const from = this.#nextId;
    this.#nextId += this.#random.integer(500, 2_000);
    await client.query(
      `INSERT INTO plain SELECT g, 0, rpad(g::text, 200, '.') FROM generate_series(${from}, ${this.#nextId - 1}) g`,
    );
  }

  async #prune(client: pg.Client): Promise<void> {
    await client.query('DELETE FROM ledger WHERE writer = $1 AND number < $2', [
      this.#number,
      this.#ledger - NUMBERS_KEPT,
    ]);
    const oldest = this.#nextId - ROWS_KEPT;
    const first = this.#number * IDS_PER_WRITER;
    const half = IDS_PER_WRITER / 2;
    for (const table of new Set(TABLES)) {
      await client.query(
        `DELETE FROM ${table} WHERE id BETWEEN ${first} AND ${oldest} OR id BETWEEN ${first + half} AND ${oldest + half}`,
      );
    }
  }
}
