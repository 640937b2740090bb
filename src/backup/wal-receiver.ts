import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { slotErrorFrom, slotMissingError } from '../catalog/slot-errors.js';
import { PgConnection } from '../connection/pg-connection.js';
import type { SystemIdentity } from '../connection/system-identity.js';
import { BackupError, ConfigurationError, ServerError, SlotError } from '../errors.js';
import { Lsn } from '../lsn.js';
import { createReplicationSlot, readReplicationSlot, timelineHistory } from '../protocol/commands.js';
import { writeDurably } from './durable-write.js';
import { SEGMENT_MODE, SegmentWriter } from './segment-writer.js';
import { isMissing, pathFailure } from './system-reason.js';
import { WalCopy } from './wal-copy.js';
import {
  type ResolvedReceiverOptions,
  resolveReceiverOptions,
  type WalReceiverOptions,
} from './wal-receiver-options.js';
import { judgeWalStart, type WalFileFound, type WalStart } from './wal-resume.js';
import { historyFileName, parseSegmentSize, segmentStart } from './wal-segment.js';

const DUPLICATE_OBJECT = '42710';
const READS_SLOTS_SINCE = 150_000;
/** How often a slot that our last connection used is tried for the next timeline. */
const MAX_SWITCH_ATTEMPTS = 50;
const SWITCH_DELAY_MS = 100;

/** How far the WAL was received. */
export interface WalReceiverResult {
  readonly timeline: number;
  /** Everything before it, from where it started, is in the folder. */
  readonly endLsn: bigint;
}

/**
 * Receives WAL into segment files, as pg_receivewal does: each byte as on the server, `.partial` until a segment is
 * complete, on from what the folder holds, and from one timeline to the next. A lost connection ends it with an
 * error that is `retryable`; run another then.
 *
 * @see https://www.postgresql.org/docs/current/app-pgreceivewal.html
 */
export class WalReceiver {
  readonly #options: ResolvedReceiverOptions;
  #copy: WalCopy | undefined;
  #stopped = false;
  #running: Promise<WalReceiverResult> | undefined;

  /** Checks the options: {@link ConfigurationError} names the one at fault. Nothing is connected before {@link run}. */
  constructor(options: WalReceiverOptions) {
    this.#options = resolveReceiverOptions(options);
  }

  /**
   * Runs until `endLsn` is received or {@link stop} is called. Errors: BackupError (the folder), SlotError,
   * ConnectionError, TimeoutError, AuthenticationError, ServerError, ProtocolError; the signal's reason after an abort.
   */
  run(): Promise<WalReceiverResult> {
    this.#running ??= this.#run();
    return this.#running;
  }

  /** Ends it in order: what was received is written, made safe and confirmed, and {@link run} resolves. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#copy?.stop();
    await this.#running?.catch(() => {});
  }

  async #run(): Promise<WalReceiverResult> {
    const { endLsn, signal } = this.#options;
    const files = await this.#listFiles();
    let start: WalStart | undefined;
    let switchAttempts = 0;
    for (;;) {
      const connection = await PgConnection.connect(this.#options.connection, { mode: 'physical', signal });
      const opened = await this.#open(connection, files, start).catch(async (error: unknown) => {
        await connection.close();
        throw error;
      });
      const { writer, segmentBytes, feedbackIntervalMs } = opened;
      const { timeline } = opened.start;
      if (this.#stopped || (endLsn !== undefined && writer.writtenLsn >= endLsn)) {
        await connection.close();
        return { timeline, endLsn: writer.writtenLsn };
      }
      this.#copy = new WalCopy(this.#options, writer);
      let next: WalStart | undefined;
      try {
        next = await this.#copy.run(connection, timeline, feedbackIntervalMs);
      } catch (error) {
        // The server may not have noticed yet that our connection of the timeline before has ended.
        const ours = start !== undefined && error instanceof SlotError && error.reason === 'in-use';
        if (!ours || ++switchAttempts > MAX_SWITCH_ATTEMPTS) throw error;
        await delay(SWITCH_DELAY_MS, undefined, { signal });
        continue;
      }
      if (next === undefined || this.#stopped) return { timeline, endLsn: writer.writtenLsn };
      if (next.timeline <= timeline || next.startLsn > writer.writtenLsn) {
        throw new BackupError(`timeline ${timeline} is followed by ${next.timeline} at ${Lsn.format(next.startLsn)}`, {
          path: this.#options.directory,
        });
      }
      // The segment in which the timelines part is received again, under the new one's name.
      start = { timeline: next.timeline, startLsn: segmentStart(next.startLsn, segmentBytes) };
    }
  }

  async #open(connection: PgConnection, files: readonly WalFileFound[], next: WalStart | undefined) {
    const { directory, livenessTimeoutMs: timeoutMs, signal } = this.#options;
    const query = { timeoutMs, signal };
    const system = await connection.identifySystem(query);
    const segmentBytes = parseSegmentSize(await this.#show(connection, 'wal_segment_size'));
    await this.#ensureSlot(connection);
    const start =
      next ?? judgeWalStart(files, segmentBytes) ?? (await this.#firstStart(connection, system, segmentBytes));
    await this.#writeHistory(connection, start.timeline);
    return {
      start,
      segmentBytes,
      feedbackIntervalMs: await this.#feedbackIntervalMs(connection),
      writer: new SegmentWriter(directory, segmentBytes, start.timeline, start.startLsn),
    };
  }

  /** Where nothing was received yet. */
  async #firstStart(connection: PgConnection, system: SystemIdentity, segmentBytes: number): Promise<WalStart> {
    const { startLsn } = this.#options;
    const kept = startLsn === undefined ? await this.#readSlot(connection) : undefined;
    const lsn = startLsn ?? kept?.startLsn ?? system.xLogPos;
    return { timeline: kept?.timeline ?? system.timeline, startLsn: segmentStart(lsn, segmentBytes) };
  }

  async #readSlot(connection: PgConnection): Promise<WalStart | undefined> {
    const { slot, livenessTimeoutMs: timeoutMs, signal } = this.#options;
    const { serverVersion } = connection;
    if (slot === undefined || serverVersion < READS_SLOTS_SINCE) return undefined;
    const [result] = await connection.query(readReplicationSlot(slot.name, serverVersion), { timeoutMs, signal });
    const [type, restartLsn, timeline] = result?.rows[0] ?? [];
    if (!type) throw slotMissingError(slot.name);
    if (!restartLsn || !timeline) return undefined;
    return { timeline: Number(timeline), startLsn: Lsn.parse(restartLsn) };
  }

  async #ensureSlot(connection: PgConnection): Promise<void> {
    const { slot, livenessTimeoutMs: timeoutMs, signal } = this.#options;
    if (slot === undefined || slot.create === 'never') return;
    const { name, temporary } = slot;
    const command = createReplicationSlot(
      { kind: 'physical', name, temporary, reserveWal: true },
      connection.serverVersion,
    );
    try {
      await connection.query(command, { timeoutMs, signal });
    } catch (error) {
      const exists = error instanceof ServerError && error.sqlState === DUPLICATE_OBJECT;
      if (!exists || temporary) throw slotErrorFrom(error, name);
    }
  }

  /** Who restores from the folder needs to know where the timelines before were left. */
  async #writeHistory(connection: PgConnection, timeline: number): Promise<void> {
    const { directory, livenessTimeoutMs: timeoutMs, signal } = this.#options;
    const name = historyFileName(timeline);
    if (timeline === 1 || (await isThere(join(directory, name)))) return;
    const [result] = await connection.query(timelineHistory(timeline), { timeoutMs, signal });
    const [given, content] = result?.rows[0] ?? [];
    if (given !== name || !content) {
      throw new BackupError(`the server gives no history of timeline ${timeline}`, { path: name });
    }
    await writeDurably(directory, name, content, SEGMENT_MODE);
  }

  /** As asked, but well inside the server's `wal_sender_timeout` (0: none). */
  async #feedbackIntervalMs(connection: PgConnection): Promise<number> {
    const { feedbackIntervalMs } = this.#options;
    const timeoutMs = durationMs(await this.#show(connection, 'wal_sender_timeout'));
    return timeoutMs === 0 ? feedbackIntervalMs : Math.min(feedbackIntervalMs, Math.max(timeoutMs / 4, 1));
  }

  async #show(connection: PgConnection, setting: 'wal_segment_size' | 'wal_sender_timeout'): Promise<string> {
    const { livenessTimeoutMs: timeoutMs, signal } = this.#options;
    const [result] = await connection.query(`SHOW ${setting}`, { timeoutMs, signal });
    return result?.rows[0]?.[0] ?? '';
  }

  async #listFiles(): Promise<WalFileFound[]> {
    const { directory } = this.#options;
    try {
      const names = await readdir(directory);
      return await Promise.all(
        names.map(async (name) => ({ name, byteCount: (await stat(join(directory, name))).size })),
      );
    } catch (cause) {
      if (isMissing(cause)) {
        throw new ConfigurationError(`directory ${directory} does not exist`, { option: 'directory', cause });
      }
      throw pathFailure('read', directory, cause);
    }
  }
}

/** What SHOW says of a time, `1min` or `500ms`, in milliseconds. */
function durationMs(text: string): number {
  const [, number, unit] = /^(\d{1,10})(ms|s|min|h|d)?$/.exec(text) ?? [];
  const unitMs = { ms: 1, s: 1_000, min: 60_000, h: 3_600_000, d: 86_400_000 }[unit ?? 'ms'] ?? 1;
  return Number(number ?? 0) * unitMs;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
