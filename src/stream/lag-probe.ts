import type { ConnectionConfig } from '../connection/connection-config.js';
import { PgConnection } from '../connection/pg-connection.js';
import { Lsn } from '../lsn.js';

const MIN_INTERVAL_MS = 1_000;
const QUERY_TIMEOUT_MS = 5_000;

/**
 * The end of the server's WAL, which no field of a logical stream tells. Asked for over an ordinary connection that is
 * opened when somebody wants to know; without a connection to spare there is no answer, and no error.
 */
export class LagProbe {
  readonly #config: ConnectionConfig;
  #connection: PgConnection | undefined;
  #walEnd: bigint | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;
  readonly #closed = new AbortController();

  constructor(config: ConnectionConfig) {
    this.#config = config;
  }

  /** The last answer; asks again when it is old. */
  walEnd(): bigint | undefined {
    const isOld = performance.now() - this.#askedAt >= MIN_INTERVAL_MS;
    if (isOld && this.#asking === undefined && !this.#closed.signal.aborted) this.#asking = this.#ask();
    return this.#walEnd;
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#connection?.close();
    await this.#asking;
  }

  async #ask(): Promise<void> {
    const { signal } = this.#closed;
    try {
      this.#connection ??= await PgConnection.connect(this.#config, { mode: 'sql', signal });
      if (signal.aborted) return;
      // A standby has no WAL of its own: what it has replayed is its end.
      const sql =
        'SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END';
      const [result] = await this.#connection.query(sql, { timeoutMs: QUERY_TIMEOUT_MS });
      const text = result?.rows[0]?.[0];
      if (typeof text === 'string') this.#walEnd = Lsn.parse(text);
    } catch {
      const broken = this.#connection;
      this.#connection = undefined;
      await broken?.close();
    } finally {
      this.#askedAt = performance.now();
      this.#asking = undefined;
      if (signal.aborted) await this.#connection?.close();
    }
  }
}
