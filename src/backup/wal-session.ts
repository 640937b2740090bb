import { slotErrorFrom } from '../catalog/slot-errors.js';
import type { ConnectionConfig } from '../connection/connection-options.js';
import { PgConnection } from '../connection/pg-connection.js';
import type { ServerNotice } from '../connection/server-error.js';
import type { SystemIdentity } from '../connection/system-identity.js';
import { BackupError } from '../errors.js';
import { createReplicationSlot, timelineHistory } from '../protocol/commands.js';
import { historyFileName, parseSegmentSize } from './wal-segment.js';

export interface WalSessionOptions {
  /** Bound on each question. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly onNotice?: (notice: ServerNotice) => void;
}

/** A connection that WAL is to come over, and what is asked before. */
export class WalSession {
  readonly connection: PgConnection;
  readonly system: SystemIdentity;
  readonly segmentBytes: number;
  /** 0: none. */
  readonly walSenderTimeoutMs: number;
  readonly #options: WalSessionOptions;

  static async open(config: ConnectionConfig, options: WalSessionOptions): Promise<WalSession> {
    const { timeoutMs, signal, onNotice } = options;
    const connection = await PgConnection.connect(config, {
      mode: 'physical',
      signal,
      ...(onNotice !== undefined && { onNotice }),
    });
    try {
      const query = { timeoutMs, ...(signal !== undefined && { signal }) };
      const show = async (name: string) => (await connection.query(`SHOW ${name}`, query))[0]?.rows[0]?.[0];
      return new WalSession(connection, options, {
        system: await connection.identifySystem(query),
        segmentBytes: parseSegmentSize(await show('wal_segment_size')),
        walSenderTimeoutMs: durationMs((await show('wal_sender_timeout')) ?? ''),
      });
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  private constructor(
    connection: PgConnection,
    options: WalSessionOptions,
    facts: Pick<WalSession, 'system' | 'segmentBytes' | 'walSenderTimeoutMs'>,
  ) {
    this.connection = connection;
    this.#options = options;
    this.system = facts.system;
    this.segmentBytes = facts.segmentBytes;
    this.walSenderTimeoutMs = facts.walSenderTimeoutMs;
  }

  /** Rows of the first result. */
  async query(command: string): Promise<readonly (readonly (string | null)[])[]> {
    const { timeoutMs, signal } = this.#options;
    const [result] = await this.connection.query(command, { timeoutMs, ...(signal !== undefined && { signal }) });
    return result?.rows ?? [];
  }

  /** A physical slot that keeps WAL from now on; what the server refuses is a SlotError where it can be. */
  async createSlot(name: string, temporary: boolean): Promise<void> {
    const { serverVersion } = this.connection;
    try {
      await this.query(createReplicationSlot({ kind: 'physical', name, temporary, reserveWal: true }, serverVersion));
    } catch (error) {
      throw slotErrorFrom(error, name);
    }
  }

  /** Where the timelines before this one were left; timeline 1 has none before it. */
  async readHistory(timeline: number): Promise<{ readonly name: string; readonly content: string }> {
    const name = historyFileName(timeline);
    const [given, content] = (await this.query(timelineHistory(timeline)))[0] ?? [];
    if (given !== name || !content) {
      throw new BackupError(`the server gives no history of timeline ${timeline}`, { path: name });
    }
    return { name, content };
  }
}

/** What SHOW says of a time, `1min` or `500ms`, in milliseconds. */
function durationMs(text: string): number {
  const [, number, unit] = /^(\d{1,10})(ms|s|min|h|d)?$/.exec(text) ?? [];
  const unitMs = { ms: 1, s: 1_000, min: 60_000, h: 3_600_000, d: 86_400_000 }[unit ?? 'ms'] ?? 1;
  return Number(number ?? 0) * unitMs;
}
