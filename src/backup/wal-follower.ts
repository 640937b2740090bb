import { setTimeout as delay } from 'node:timers/promises';
import type { ConnectionConfig } from '../connection/connection-options.js';
import type { ServerNotice } from '../connection/server-error.js';
import { ProtocolError, SlotError } from '../errors.js';
import { Lsn } from '../lsn.js';
import { WalCopy } from './wal-copy.js';
import type { WalStart } from './wal-resume.js';
import { segmentStart } from './wal-segment.js';
import { WalSession } from './wal-session.js';
import type { WalWriter } from './wal-writer.js';

/** How often a slot that our last connection used is tried for the next timeline. */
const MAX_SWITCH_ATTEMPTS = 50;
const SWITCH_DELAY_MS = 100;

export interface WalFollowerOptions {
  readonly connection: ConnectionConfig;
  readonly synchronous: boolean;
  readonly feedbackIntervalMs: number;
  readonly livenessTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly endLsn?: bigint | undefined;
  /** Decides where the WAL of the next connection begins and goes: `next` is known after a timeline's end. */
  readonly open: (session: WalSession, next: WalStart | undefined) => Promise<WalOpening>;
  /** The server has begun to send. */
  readonly onStreaming?: () => void;
  readonly onNotice?: (notice: ServerNotice) => void;
}

export interface WalOpening {
  /** Where a segment starts. */
  readonly start: WalStart;
  readonly writer: WalWriter;
  readonly slot: string | undefined;
}

/** How far the WAL was received. */
export interface WalFollowed {
  readonly timeline: number;
  /** Everything before it, from where it started, was written. */
  readonly endLsn: bigint;
}

/** Receives WAL into writers, from one timeline to the next, each over a connection of its own. */
export class WalFollower {
  readonly #options: WalFollowerOptions;
  #endLsn: bigint | undefined;
  #copy: WalCopy | undefined;
  #stopped = false;

  constructor(options: WalFollowerOptions) {
    this.#options = options;
    this.#endLsn = options.endLsn;
  }

  /** Until everything before `endLsn` has come, {@link stop} is called, or an error comes. Once only. */
  async run(): Promise<WalFollowed> {
    const { signal } = this.#options;
    let next: WalStart | undefined;
    let switchAttempts = 0;
    for (;;) {
      const { session, opening } = await this.#open(next);
      const { writer } = opening;
      const { timeline } = opening.start;
      if (this.#stopped || (this.#endLsn !== undefined && writer.writtenLsn >= this.#endLsn)) {
        await session.connection.close();
        return { timeline, endLsn: writer.writtenLsn };
      }
      let after: WalStart | undefined;
      try {
        after = await this.#receive(session, opening);
      } catch (error) {
        // The server may not have noticed yet that our connection of the timeline before has ended.
        const ours = next !== undefined && error instanceof SlotError && error.reason === 'in-use';
        if (!ours || ++switchAttempts > MAX_SWITCH_ATTEMPTS) throw error;
        await delay(SWITCH_DELAY_MS, undefined, { signal });
        continue;
      }
      if (after === undefined || this.#stopped) return { timeline, endLsn: writer.writtenLsn };
      if (after.timeline <= timeline || after.startLsn > writer.writtenLsn) {
        const position = Lsn.format(after.startLsn);
        throw new ProtocolError(`timeline ${timeline} is followed by ${after.timeline} at ${position}`, { offset: 0 });
      }
      // The segment in which the timelines part is received again, under the new one's name.
      next = { timeline: after.timeline, startLsn: segmentStart(after.startLsn, session.segmentBytes) };
    }
  }

  /** Ends it in order: what was received is written and confirmed. */
  stop(): void {
    this.#stopped = true;
    this.#copy?.stop();
  }

  /** Everything before `endLsn` is enough. */
  stopAt(endLsn: bigint): void {
    this.#endLsn = endLsn;
    this.#copy?.stopAt(endLsn);
  }

  async #open(next: WalStart | undefined): Promise<{ session: WalSession; opening: WalOpening }> {
    const { connection, livenessTimeoutMs: timeoutMs, signal, open, onNotice } = this.#options;
    const session = await WalSession.open(connection, { timeoutMs, signal, ...(onNotice && { onNotice }) });
    try {
      return { session, opening: await open(session, next) };
    } catch (error) {
      await session.connection.close();
      throw error;
    }
  }

  #receive(session: WalSession, { start, writer, slot }: WalOpening): Promise<WalStart | undefined> {
    const { synchronous, feedbackIntervalMs, livenessTimeoutMs, signal, onStreaming } = this.#options;
    const { walSenderTimeoutMs } = session;
    this.#copy = new WalCopy(
      {
        timeline: start.timeline,
        slot,
        endLsn: this.#endLsn,
        synchronous,
        // As asked, but well inside the server's limit.
        feedbackIntervalMs:
          walSenderTimeoutMs === 0
            ? feedbackIntervalMs
            : Math.min(feedbackIntervalMs, Math.max(walSenderTimeoutMs / 4, 1)),
        livenessTimeoutMs,
        signal,
        ...(onStreaming !== undefined && { onStreaming }),
      },
      writer,
    );
    return this.#copy.run(session.connection);
  }
}
