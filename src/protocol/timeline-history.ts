import { ProtocolError } from '../errors.js';
import { Lsn } from '../lsn.js';

/** A timeline that was left, and where. */
export interface TimelineSwitch {
  /** The one that was left. */
  readonly timeline: number;
  /** What comes from here on is on the next. */
  readonly switchLsn: bigint;
}

/**
 * Reads a timeline history file: one line for each timeline that came before, `timeline <tab> switchLsn <tab> reason`,
 * empty lines and comments apart. ProtocolError when a line is none.
 *
 * @see https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-TIMELINE-HISTORY
 */
export function parseTimelineHistory(content: string): TimelineSwitch[] {
  const switches: TimelineSwitch[] = [];
  for (const line of content.split('\n')) {
    const text = line.trim();
    if (text === '' || text.startsWith('#')) continue;
    const [, timeline, lsn] = /^(\d{1,10})\s+([0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8})(?:\s|$)/.exec(text) ?? [];
    if (timeline === undefined || lsn === undefined) {
      throw new ProtocolError('a line of a timeline history that cannot be read', { offset: 0 });
    }
    switches.push({ timeline: Number(timeline), switchLsn: Lsn.parse(lsn) });
  }
  return switches;
}
