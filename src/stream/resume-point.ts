import { SlotError } from '../errors.js';
import { Lsn, maxLsn } from '../lsn.js';
import type { TimelineSwitch } from '../protocol/timeline-history.js';

/** How far a stream has come. */
export interface ResumePosition {
  /** Where it goes on: whatever ends before it was received, or concerns nobody. */
  readonly lsn: bigint;
  /** End of the last transaction that was received whole; `0n` while there is none. */
  readonly receivedLsn: bigint;
  /** LSN of the commit or prepare record of the transaction that was received half-way. */
  readonly partLsn: bigint | undefined;
}

/** Where a stream goes on after its connection was lost. */
export interface ResumePoint extends ResumePosition {
  readonly systemIdentifier: string;
  readonly timeline: number;
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
  const received = furthestReceived(point);
  if (found.timeline === point.timeline) {
    const wanted = maxLsn(received, point.lsn);
    if (found.inRecovery || found.walEnd >= wanted) return undefined;
    return mismatch(
      slotName,
      `the server's WAL ends at ${Lsn.format(found.walEnd)}, before ${Lsn.format(wanted)}, up to where it was received: the server was restored to an earlier state`,
    );
  }
  const left = leftAt(point, found);
  if (left === undefined) {
    return mismatch(
      slotName,
      `the server is on timeline ${found.timeline}, which does not come from timeline ${point.timeline}, where the stream was`,
    );
  }
  if (left >= received) return undefined;
  return mismatch(
    slotName,
    `the server was promoted at ${Lsn.format(left)}, and transactions up to ${Lsn.format(received)} were received that it does not have`,
  );
}

/**
 * Where to go on there. A server that was promoted may have left the old timeline before our position, when only what
 * concerns nobody lay between: what it wrote there since is new.
 */
export function resumeLsn(point: ResumePoint, found: FoundSystem): bigint {
  const left = found.timeline === point.timeline ? undefined : leftAt(point, found);
  return left !== undefined && left < point.lsn ? left : point.lsn;
}

/** Of the transactions that were received, whole and half. The record of the latter ends after its LSN. */
function furthestReceived({ receivedLsn, partLsn }: ResumePoint): bigint {
  return partLsn === undefined || partLsn < receivedLsn ? receivedLsn : partLsn + 1n;
}

function leftAt(point: ResumePoint, found: FoundSystem): bigint | undefined {
  return found.history.find(({ timeline }) => timeline === point.timeline)?.switchLsn;
}

function mismatch(slotName: string, message: string): SlotError {
  return new SlotError(message, { slotName, reason: 'mismatch' });
}
