import type { ConnectionConfig } from '../connection/connection-options.js';
import { PgConnection } from '../connection/pg-connection.js';
import type { ServerNotice } from '../connection/server-error.js';
import { BackupError, ConnectionError, type WalStreamError } from '../errors.js';
import { dropReplicationSlot } from '../protocol/commands.js';
import type { BackupPositions } from './backup-layout.js';
import type { ResolvedBackupSlot } from './backup-options.js';
import { WalFollower, type WalOpening } from './wal-follower.js';
import type { WalStart } from './wal-resume.js';
import { segmentStart } from './wal-segment.js';
import type { WalSession } from './wal-session.js';
import type { WalStore } from './wal-store.js';

const FEEDBACK_INTERVAL_MS = 10_000;
/** Bound on removing a slot when the backup has failed. */
const DROP_TIMEOUT_MS = 5_000;

export interface BackupWalOptions {
  readonly connection: ConnectionConfig;
  readonly slot: ResolvedBackupSlot;
  /** Of the server that is backed up: a name may lead to another one now. */
  readonly systemId: string;
  readonly start: { readonly lsn: bigint; readonly timeline: number };
  readonly segmentBytes: number;
  readonly store: WalStore;
  readonly sync: boolean;
  readonly livenessTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly onNotice: (notice: ServerNotice) => void;
}

/**
 * The WAL that a backup needs, over a connection of its own while the backup is taken: so the server cannot remove it
 * before it was sent, which a temporary slot sees to.
 */
export class BackupWal {
  readonly #options: BackupWalOptions;
  readonly #follower: WalFollower;
  readonly #abort = new AbortController();
  readonly #running: Promise<void>;
  #streaming = false;
  #host = '';
  #onStreaming: (() => void) | undefined;
  #createdSlot: string | undefined;

  /** Connects. */
  constructor(options: BackupWalOptions) {
    this.#options = options;
    const { connection, livenessTimeoutMs, signal, onNotice } = options;
    this.#follower = new WalFollower({
      connection,
      synchronous: false,
      feedbackIntervalMs: FEEDBACK_INTERVAL_MS,
      livenessTimeoutMs,
      signal: signal === undefined ? this.#abort.signal : AbortSignal.any([signal, this.#abort.signal]),
      open: (session, next) => this.#open(session, next),
      onStreaming: () => {
        this.#streaming = true;
        this.#onStreaming?.();
      },
      onNotice,
    });
    this.#running = this.#run();
    // Whoever waits for it is told.
    this.#running.catch(() => {});
  }

  /** Resolves when the server sends; rejects when it does not. */
  async started(): Promise<void> {
    const streaming = new Promise<void>((resolve) => {
      this.#onStreaming = resolve;
      if (this.#streaming) resolve();
    });
    await Promise.race([streaming, this.#running]);
  }

  /** Rejects when WAL stops coming; never resolves. */
  async failure(): Promise<never> {
    await this.#running;
    return new Promise(() => {});
  }

  /** Resolves when all WAL of the backup has come and lies where it belongs. */
  async finish(positions: BackupPositions): Promise<void> {
    const { store, sync } = this.#options;
    this.#follower.stopAt(positions.endLsn);
    await this.#running;
    await store.finish(sync);
    const missing = await store.findMissing(positions);
    if (missing !== undefined) throw missing;
  }

  /** Ends it whatever it does; nothing is written afterwards. */
  async close(): Promise<void> {
    this.#abort.abort(new Error('the backup is over'));
    await this.#running.catch(() => {});
    await this.#options.store.close();
  }

  /** After {@link close}, when the backup has failed: the slot that was made for it would hold WAL back for nobody. */
  async dropCreatedSlot(): Promise<void> {
    const name = this.#createdSlot;
    if (name === undefined) return;
    const signal = AbortSignal.timeout(DROP_TIMEOUT_MS);
    await using connection = await PgConnection.connect(this.#options.connection, { mode: 'physical', signal });
    await connection.query(dropReplicationSlot(name, { wait: true }), { signal });
  }

  async #run(): Promise<void> {
    try {
      await this.#follower.run();
    } catch (error) {
      throw this.#streaming && isLoss(error) ? walLost(this.#host, error) : error;
    }
  }

  async #open(session: WalSession, next: WalStart | undefined): Promise<WalOpening> {
    const { systemId, start, segmentBytes, store } = this.#options;
    this.#host = session.connection.host;
    if (session.system.systemId !== systemId) {
      throw new BackupError(
        `the connection for WAL leads to another system: ${session.system.systemId}, and the backup is of ${systemId}`,
        { path: 'pg_wal' },
      );
    }
    const slot = await this.#slot(session);
    const opened = next ?? { timeline: start.timeline, startLsn: segmentStart(start.lsn, segmentBytes) };
    if (opened.timeline > 1) {
      const { name, content } = await session.readHistory(opened.timeline);
      await store.keepHistory(name, content);
    }
    return { start: opened, writer: store.begin(opened), slot };
  }

  /** A temporary one ends with its connection: the next timeline's gets another. */
  async #slot(session: WalSession): Promise<string | undefined> {
    const { slot } = this.#options;
    switch (slot.kind) {
      case 'none':
        return undefined;
      case 'temporary': {
        const name = `pg_walstream_${session.connection.processId}`;
        await session.createSlot(name, true);
        return name;
      }
      case 'named':
        if (slot.create && this.#createdSlot === undefined) {
          await session.createSlot(slot.name, false);
          this.#createdSlot = slot.name;
        }
        return slot.name;
      default:
        return slot satisfies never;
    }
  }
}

function isLoss(error: unknown): error is WalStreamError {
  return error instanceof Error && 'retryable' in error && error.retryable === true;
}

/** Says which of the two connections it was. */
function walLost(host: string, cause: WalStreamError): ConnectionError {
  const message = `the connection to ${host} for the WAL of the backup was lost`;
  return new ConnectionError(message, { host, phase: 'streaming', cause });
}
