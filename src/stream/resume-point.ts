import { SlotError } from '../errors.js';
import { Lsn } from '../lsn.js';
import type { TimelineSwitch } from '../protocol/timeline-history.js';

/** Where a stream goes on after its connection was lost. */
export interface ResumePoint {
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** Every transaction that ends before it was received. */
  readonly lsn: bigint;
}

/** What the server says of itself when a stream comes back. */
export interface FoundSystem {
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** End of its WAL. */
  readonly walEnd: bigint;
  /** A standby that was restarted may still have to replay what it had. */
  readonly inRecovery: boolean;
  /** How its timeline came about; empty when that is the one that was left. */
  readonly history: readonly TimelineSwitch[];
}

/**
 * Whether the stream can go on there. Another cluster, one that was restored to an earlier state, or a standby that was
 * promoted without having everything that was received, would go on with other changes, and nobody would notice.
 */
export function judgeResume(point: ResumePoint, found: FoundSystem, slotName: string): SlotError | undefined {
  if (found.systemIdentifier !== point.systemIdentifier) {
    return mismatch(
      slotName,
      `the server is another one than before: its system identifier is ${found.systemIdentifier}, and was ${point.systemIdentifier}`,
    );
  }
  if (found.timeline === point.timeline) {
    if (found.inRecovery || found.walEnd >= point.lsn) return undefined;
    return mismatch(
      slotName,
      `the server's WAL ends at ${Lsn.format(found.walEnd)}, before ${Lsn.format(point.lsn)}, up to where it was received: the server was restored to an earlier state`,
    );
  }
  const left = found.history.find(({ timeline }) => timeline === point.timeline);
  if (left === undefined) {
    return mismatch(
      slotName,
      `the server is on timeline ${found.timeline}, which does not come from timeline ${point.timeline}, where the stream was`,
    );
  }
  if (left.switchLsn >= point.lsn) return undefined;
  return mismatch(
    slotName,
    `the server was promoted at ${Lsn.format(left.switchLsn)}, and transactions up to ${Lsn.format(point.lsn)} were received that it does not have`,
  );
}

function mismatch(slotName: string, message: string): SlotError {
  return new SlotError(message, { slotName, reason: 'mismatch' });
}
