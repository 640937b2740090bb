import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionConfig } from '../connection/connection-config.js';
import { PgConnection } from '../connection/pg-connection.js';
import { pinnedTo } from '../connection/pinned-host.js';
import { Lsn } from '../lsn.js';

const INTERVAL_MS = 1_000;
/** Without an answer: a server that is full is not asked for a connection every second. */
const RETRY_MS = 10_000;
const QUERY_TIMEOUT_MS = 5_000;
/** Longer than any scraper of figures waits between two looks. */
const FORGOTTEN_MS = 5 * 60_000;

/** A standby has no WAL of its own: what it has replayed is its end. */
const WAL_END =
  'SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END';

/** Where a stream is. */
export interface StreamPlace {
  /** Of the server that streams, as in messages. */
  readonly host: string;
  /** Up to where it was confirmed; `0n` while that is unknown. */
  readonly flushedLsn: bigint;
}

/**
 * How far a stream is behind the end of the server's WAL, which no field of a logical stream tells. Asked for every second
 * over an ordinary connection, from when somebody wants to know until nobody has for some minutes; without a
 * connection to spare there is no answer, and no error.
 */
export class LagProbe {
  readonly #config: ConnectionConfig;
  readonly #place: () => StreamPlace | undefined;
  #session: PgConnection | undefined;
  #lagBytes: bigint | undefined;
  #wantedAt = 0;
  #asking: Promise<void> | undefined;
  readonly #closed = new AbortController();

  /** `place`: where the stream is now; `undefined` while it has no connection. */
  constructor(config: ConnectionConfig, place: () => StreamPlace | undefined) {
    this.#config = config;
    this.#place = place;
  }

  /** When the server was asked last; `undefined` while it has not answered. */
  lagBytes(): bigint | undefined {
    this.#wantedAt = performance.now();
    if (!this.#closed.signal.aborted) this.#asking ??= this.#askOn();
    return this.#lagBytes;
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#session?.close();
    await this.#asking;
  }

  async #askOn(): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted && performance.now() - this.#wantedAt < FORGOTTEN_MS) {
      this.#lagBytes = await this.#ask().catch(() => undefined);
      if (this.#lagBytes === undefined) await this.#hangUp();
      const failed = this.#session === undefined && this.#place() !== undefined;
      await sleep(failed ? RETRY_MS : INTERVAL_MS, undefined, { signal, ref: false }).catch(() => {});
    }
    this.#lagBytes = undefined;
    this.#asking = undefined;
    await this.#hangUp();
  }

  async #ask(): Promise<bigint | undefined> {
    const { host } = this.#place() ?? {};
    const session = host === undefined ? undefined : await this.#sessionWith(host);
    const [result] = (await session?.query(WAL_END, { timeoutMs: QUERY_TIMEOUT_MS })) ?? [];
    const text = result?.rows[0]?.[0];
    const { flushedLsn = 0n } = this.#place() ?? {};
    if (typeof text !== 'string' || flushedLsn === 0n) return undefined;
    const walEnd = Lsn.parse(text);
    return walEnd > flushedLsn ? walEnd - flushedLsn : 0n;
  }

  /** The server that streams, and no other of several. */
  async #sessionWith(host: string): Promise<PgConnection | undefined> {
    if (this.#session?.host !== host) {
      await this.#hangUp();
      const config = pinnedTo(this.#config, host);
      this.#session = config && (await PgConnection.connect(config, { mode: 'sql', signal: this.#closed.signal }));
    }
    return this.#session;
  }

  async #hangUp(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.close();
  }
}
