/** Milliseconds between the Unix epoch and PostgreSQL's, 2000-01-01 00:00:00 UTC. */
export const POSTGRES_EPOCH_MS = 946_684_800_000;

/** Wire timestamp (microseconds since 2000-01-01 UTC) → milliseconds since the Unix epoch, with a fraction. */
export function unixMsFromTimestamp(timestampUs: bigint): number {
  return POSTGRES_EPOCH_MS + Number(timestampUs) / 1000;
}

/** Milliseconds since the Unix epoch → wire timestamp (microseconds since 2000-01-01 UTC). */
export function timestampFromUnixMs(unixMs: number): bigint {
  return BigInt(Math.round((unixMs - POSTGRES_EPOCH_MS) * 1000));
}
