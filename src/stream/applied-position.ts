import { ConfigurationError } from '../errors.js';
import { Lsn } from '../lsn.js';
import { checkSlotName, quoteIdentifier } from '../protocol/quoting.js';
import type { TransactionItem } from './transaction-assembler.js';

/** What is needed of a connection to the consumer's database: a `Client` or `PoolClient` of node-postgres is one. */
export interface SqlClient {
  /** Runs one statement, with `values` for `$1` and so on. */
  query(text: string, values?: unknown[]): Promise<{ readonly rows: readonly unknown[] }>;
}

/** Whose position it is, and where it is kept. */
export interface AppliedPositionOptions {
  /** The slot that is streamed from. */
  readonly slot: string;
  /** The table that holds the positions, `table` or `schema.table`; created when it is missing. Default: `walstream_position`. */
  readonly table?: string;
}

const DEFAULT_TABLE = 'walstream_position';
/** Two that create the table at once would fail on a duplicate; the number is this library's own. */
const CREATE_LOCK = 7_825_190_613;

/**
 * How far a slot was applied, kept in the database that it is applied to: changes and position are committed together,
 * so that after a crash at any moment every transaction is there once. The recipe:
 *
 * ```js
 * const client = new pg.Client(sink);
 * await client.connect();
 * const position = await AppliedPosition.open(client, { slot: 'my_slot' });
 * const stream = new WalStream({
 *   slot: 'my_slot',
 *   publications: 'my_publication',
 *   startLsn: position.lsn,
 *   beforeIdleAck: (lsn) => position.advance(lsn),
 * });
 * for await (const item of stream.transactions()) {
 *   await position.apply(item, async (client) => {
 *     if (item.kind !== 'transaction') return;
 *     for await (const change of item.changes) await write(client, change);
 *   });
 * }
 * ```
 *
 * `startLsn` makes a position behind the slot's an error (SlotError, `gap`): a database restored from a backup, or a slot
 * that somebody advanced or made anew. `beforeIdleAck` keeps the position up with a slot that moves on while nothing is
 * published; without it that would look like a gap.
 *
 * The client must be the position's own: a statement from elsewhere would land in its transaction. A connection that was
 * lost is an error of `apply()`: open both again, because only the database knows whether the COMMIT arrived. With
 * synchronous_commit = off the database may forget commits in a crash that the slot was told of; leave it on.
 *
 * `twoPhase` is not for it: what was prepared is not sent again when it is committed, so its changes would have to be
 * kept in between.
 */
export class AppliedPosition<Client extends SqlClient = SqlClient> {
  /** The slot whose position it is: a row of the table. */
  readonly slot: string;
  readonly #client: Client;
  /** Quoted. */
  readonly #table: string;
  #lsn: bigint;
  /** Ends when the client is free. */
  #busy: Promise<unknown> = Promise.resolve();

  private constructor(client: Client, slot: string, table: string, lsn: bigint) {
    this.#client = client;
    this.slot = slot;
    this.#table = table;
    this.#lsn = lsn;
  }

  /**
   * Reads the position, 0 for a slot that nothing was applied of. ConfigurationError for names that cannot be and for a
   * pool in place of a client; errors of the client as they are.
   */
  static async open<Client extends SqlClient>(
    client: Client,
    options: AppliedPositionOptions,
  ): Promise<AppliedPosition<Client>> {
    const { slot, table = DEFAULT_TABLE } = options;
    checkSlotName(slot, 'slot');
    const quoted = table
      .split('.')
      .map((part) => quoteIdentifier(part, 'table'))
      .join('.');
    // Its statements go to whichever connection is free.
    if ('totalCount' in client) {
      throw new ConfigurationError('a transaction needs one connection: give a client, not a pool', {
        option: 'client',
      });
    }
    await client.query('BEGIN');
    try {
      await client.query(`SELECT pg_advisory_xact_lock(${CREATE_LOCK})`);
      const { rows: found } = await client.query('SELECT to_regclass($1) AS found', [quoted]);
      // Asked first: who may not create anything may still use what is there.
      if (textOf(found[0], 'found') === undefined) {
        await client.query(
          `CREATE TABLE ${quoted} (slot text PRIMARY KEY, lsn pg_lsn NOT NULL, updated_at timestamptz NOT NULL DEFAULT now())`,
        );
      }
      await client.query(`INSERT INTO ${quoted} (slot, lsn) VALUES ($1, '0/0') ON CONFLICT DO NOTHING`, [slot]);
      const { rows } = await client.query(`SELECT lsn::text FROM ${quoted} WHERE slot = $1`, [slot]);
      await client.query('COMMIT');
      return new AppliedPosition(client, slot, quoted, lsnFrom(rows[0], slot));
    } catch (error) {
      await rollBack(client);
      throw error;
    }
  }

  /** Everything that ends before it is applied: the stream's `startLsn`. */
  get lsn(): bigint {
    return this.#lsn;
  }

  /**
   * Runs `write` and moves the position on, in one SQL transaction; `false`, without running it, when the item was
   * applied before. Whatever is thrown rolls both back. A message that stands alone is an item like any other.
   *
   * ConfigurationError for what comes of `twoPhase`.
   */
  apply(item: TransactionItem, write: (client: Client) => unknown): Promise<boolean> {
    return this.#inTurn(async () => {
      const end = endOf(item);
      const client = this.#client;
      await client.query('BEGIN');
      try {
        // Another consumer of the slot, one that is taken for dead, waits here, and then sees what was done.
        const { rows } = await client.query(`SELECT lsn::text FROM ${this.#table} WHERE slot = $1 FOR UPDATE`, [
          this.slot,
        ]);
        const stored = lsnFrom(rows[0], this.slot);
        if (stored >= end) {
          await client.query('COMMIT');
          this.#lsn = stored;
          return false;
        }
        await write(client);
        await client.query(`UPDATE ${this.#table} SET lsn = $2, updated_at = now() WHERE slot = $1`, [
          this.slot,
          Lsn.format(end),
        ]);
        await client.query('COMMIT');
        this.#lsn = end;
        return true;
      } catch (error) {
        await rollBack(client);
        throw error;
      }
    });
  }

  /** Moves the position on to `lsn` where nothing lies before it that is not applied: for `beforeIdleAck`. */
  advance(lsn: bigint): Promise<void> {
    return this.#inTurn(async () => {
      const { rows } = await this.#client.query(
        `UPDATE ${this.#table} SET lsn = greatest(lsn, $2), updated_at = now() WHERE slot = $1 RETURNING lsn::text`,
        [this.slot, Lsn.format(lsn)],
      );
      this.#lsn = lsnFrom(rows[0], this.slot);
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#busy.then(work);
    this.#busy = done.catch(() => {});
    return done;
  }
}

/** Where the position is when the item is applied. */
function endOf(item: TransactionItem): bigint {
  switch (item.kind) {
    case 'transaction':
      return item.commitEndLsn;
    case 'message':
      // The end of its record; the next one may begin there.
      return item.lsn;
    case 'prepared':
    case 'commitPrepared':
    case 'rollbackPrepared':
      throw new ConfigurationError(
        'an applied position is not for twoPhase: the changes of a prepared transaction are not sent again when it is committed',
        { option: 'twoPhase' },
      );
    default:
      return item satisfies never;
  }
}

function lsnFrom(row: unknown, slot: string): bigint {
  const text = textOf(row, 'lsn');
  if (text === undefined) {
    throw new ConfigurationError(`the position of slot ${slot} is gone from its table`, { option: 'table' });
  }
  return Lsn.parse(text);
}

function textOf(row: unknown, column: string): string | undefined {
  if (typeof row !== 'object' || row === null || !(column in row)) return undefined;
  const value: unknown = row[column as keyof typeof row];
  return typeof value === 'string' ? value : undefined;
}

/** The error that led here matters more than one of this. */
async function rollBack(client: SqlClient): Promise<void> {
  try {
    await client.query('ROLLBACK');
  } catch {}
}
