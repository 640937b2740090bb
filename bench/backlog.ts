import type pg from 'pg';
import type { RowShape } from './row-shape.js';

/** What `pgbench`-like writers and batch jobs make: small enough to be decoded in memory. */
const MODERATE_ROWS_PER_TRANSACTION = 1000;

/** A position in a backlog: a client that stops there has seen the rows 1 to `rowCount`. */
export interface BacklogEnd {
  readonly rowCount: number;
  /** Crossed by the last transaction, which holds row `rowCount` alone. */
  readonly stopLsn: string;
}

export interface BacklogOptions {
  readonly table: string;
  /** 1000 by default. */
  readonly rowsPerTransaction?: number;
}

/** Committed changes that wait in a slot. The slot itself is never drained: its copies are. */
export class Backlog {
  readonly shape: RowShape;
  readonly table: string;
  readonly slot: string;
  readonly publication: string;
  readonly #client: pg.Client;
  readonly #rowsPerTransaction: number;
  #rowCount = 0;

  private constructor(client: pg.Client, shape: RowShape, { table, rowsPerTransaction }: BacklogOptions) {
    this.#client = client;
    this.#rowsPerTransaction = rowsPerTransaction ?? MODERATE_ROWS_PER_TRANSACTION;
    this.shape = shape;
    this.table = table;
    this.slot = `bench_${table}`;
    this.publication = `bench_${table}`;
  }

  static async create(client: pg.Client, shape: RowShape, options: BacklogOptions): Promise<Backlog> {
    const backlog = new Backlog(client, shape, options);
    const { table } = options;
    await client.query(`CREATE TABLE ${table} (${shape.columns})`);
    await client.query(`CREATE PUBLICATION ${backlog.publication} FOR TABLE ${table}`);
    await client.query(`SELECT pg_create_logical_replication_slot('${backlog.slot}', 'pgoutput')`);
    return backlog;
  }

  /** Lets the server remove the WAL. */
  async drop(): Promise<void> {
    await this.#client.query(`SELECT pg_drop_replication_slot('${this.slot}')`);
    await this.#client.query(`DROP PUBLICATION ${this.publication}`);
    await this.#client.query(`DROP TABLE ${this.table}`);
  }

  /** Writes rows until there are so many. */
  async writeUpTo(rowCount: number): Promise<BacklogEnd> {
    const { table, shape } = this;
    const { values } = shape;
    const step = Math.min(this.#rowsPerTransaction, rowCount);
    await this.#client.query(`
      DO $$ BEGIN
        FOR first_row IN ${this.#rowCount + 1}..${rowCount - 1} BY ${step} LOOP
          INSERT INTO ${table} SELECT ${values}
            FROM generate_series(first_row::bigint, least(first_row + ${step - 1}, ${rowCount - 1})) AS i;
          COMMIT;
        END LOOP;
      END $$`);
    await this.#client.query('BEGIN');
    await this.#client.query(
      `INSERT INTO ${table} SELECT ${values} FROM generate_series(${rowCount}::bigint, ${rowCount}) AS i`,
    );
    const { rows } = await this.#client.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
    await this.#client.query('COMMIT');
    // What a checkpoint has to write should not be written during a drain.
    await this.#client.query('CHECKPOINT');
    this.#rowCount = rowCount;
    const stopLsn = rows[0]?.lsn;
    if (stopLsn === undefined) throw new Error('the server does not tell where its WAL ends');
    return { rowCount, stopLsn };
  }
}
