import { maxLsn } from '../lsn.js';
import type { StandbyPositions } from '../protocol/replication-message.js';

/** What is known of the stream when a status is due. */
export interface FeedbackFacts {
  /** Furthest position received. */
  readonly received: bigint;
  /** Position of the last keepalive: everything before it was sent before it. */
  readonly keepalive: bigint;
  /** End of the contiguous run of finished units; `0n` while there is none. */
  readonly acknowledged: bigint;
  /** Units of acknowledgement that were received and are not finished. */
  readonly unfinishedUnits: number;
  /** A transaction was received half-way; not one that is streamed, which comes again whole. */
  readonly inTransaction: boolean;
  /** What was reported last. */
  readonly reported: StandbyPositions;
}

/**
 * What to report. Flush is the acknowledged frontier, never what was merely received; when nothing is unfinished it
 * follows the keepalives, so that an idle slot does not pin the cluster's WAL. No position ever goes back.
 *
 * @see https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-STANDBY-STATUS-UPDATE
 */
export function standbyPositions(facts: FeedbackFacts): StandbyPositions {
  const idle = facts.unfinishedUnits === 0 && !facts.inTransaction;
  const safe = idle ? maxLsn(facts.acknowledged, facts.keepalive) : facts.acknowledged;
  const flush = maxLsn(facts.reported.flush, safe);
  const write = maxLsn(maxLsn(facts.reported.write, facts.received), flush);
  return { write, flush, apply: flush };
}

/** How often to report, in milliseconds: as asked, but well inside the server's `wal_sender_timeout` (0: none). */
export function feedbackIntervalMs(wantedMs: number, walSenderTimeoutMs: number): number {
  return walSenderTimeoutMs === 0 ? wantedMs : Math.min(wantedMs, Math.max(walSenderTimeoutMs / 4, 1));
}
