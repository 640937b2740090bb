import type { ConnectionConfig } from '../connection/connection-config.js';
import { PgConnection } from '../connection/pg-connection.js';
import { pinnedTo } from '../connection/pinned-host.js';
import { ServerError } from '../errors.js';

const QUERY_TIMEOUT_MS = 5_000;
/** cannot_connect_now: while a session streams, the server that says so is in shutdown. */
const CANNOT_CONNECT_NOW = '57P03';

/**
 * Asks a server of which the stream is not read, because its consumer is busy, whether it is in shutdown: what it says in
 * the stream lies behind everything else, and it waits, for ever, until all of that is read. Over a session of its own,
 * which a server in shutdown ends, and does not open again.
 */
export class ShutdownProbe {
  readonly #config: ConnectionConfig;
  readonly #onShutdown: (host: string) => void;
  #session: PgConnection | undefined;
  #asking: Promise<void> | undefined;
  #closed = new AbortController();

  /** `onShutdown`: the server refuses new sessions. */
  constructor(config: ConnectionConfig, onShutdown: (host: string) => void) {
    this.#config = config;
    this.#onShutdown = onShutdown;
  }

  /** Asks the server that streams, unless that is being done. */
  ask(host: string): void {
    this.#asking ??= this.#ask(host, this.#closed.signal);
  }

  /** The stream is read again: nothing is asked any more. It may be later. */
  async rest(): Promise<void> {
    if (this.#asking === undefined && this.#session === undefined) return;
    this.#closed.abort();
    this.#closed = new AbortController();
    const session = this.#session;
    this.#session = undefined;
    await Promise.all([session?.close(), this.#asking]);
  }

  async #ask(host: string, signal: AbortSignal): Promise<void> {
    try {
      if (!(await this.#answers())) await this.#connect(host, signal);
    } catch (error) {
      if (!signal.aborted && refusesSessions(error)) this.#onShutdown(host);
    } finally {
      this.#asking = undefined;
    }
  }

  async #answers(): Promise<boolean> {
    const session = this.#session;
    if (session === undefined) return false;
    try {
      await session.query('SELECT 1', { timeoutMs: QUERY_TIMEOUT_MS });
      return true;
    } catch {
      this.#session = undefined;
      await session.close();
      return false;
    }
  }

  async #connect(host: string, signal: AbortSignal): Promise<void> {
    // Another server than the one that streams is not asked.
    const config = pinnedTo(this.#config, host);
    if (config === undefined) return;
    const session = await PgConnection.connect(config, { mode: 'sql', signal });
    if (signal.aborted) await session.close();
    else this.#session = session;
  }
}

function refusesSessions(error: unknown): boolean {
  if (error instanceof ServerError) return error.sqlState === CANNOT_CONNECT_NOW;
  if (error instanceof AggregateError) return error.errors.some(refusesSessions);
  return error instanceof Error && error.cause !== undefined && refusesSessions(error.cause);
}
