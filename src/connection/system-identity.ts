import { ProtocolError } from '../errors.js';
import { Lsn } from '../lsn.js';
import type { QueryResult } from './query-result.js';

/** Answer to IDENTIFY_SYSTEM. */
export interface SystemIdentity {
  /** Text: it exceeds 2^53. */
  readonly systemId: string;
  /** The one that the server is on now. */
  readonly timeline: number;
  /** End of the WAL flushed so far, or replayed so far on a standby. */
  readonly xLogPos: bigint;
  /** `null` on a physical walsender. */
  readonly database: string | null;
}

/** Row: systemid text, timeline int8, xlogpos text, dbname text. */
export function parseSystemIdentity(result: QueryResult | undefined): SystemIdentity {
  const [systemId, timeline, xLogPos, database] = result?.rows[0] ?? [];
  if (!systemId || !/^\d{1,20}$/.test(systemId) || !timeline || !/^\d{1,10}$/.test(timeline) || !xLogPos) {
    throw new ProtocolError('IDENTIFY_SYSTEM gave no row that can be read', { offset: 0 });
  }
  return { systemId, timeline: Number(timeline), xLogPos: Lsn.parse(xLogPos), database: database ?? null };
}
