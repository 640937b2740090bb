/*
 * When to read next. PostgreSQL sends one small segment per change; a reader that wakes for each costs both sides
 * dearly. While the server has much to send, the socket is left alone until the kernel's buffer is well filled, and
 * is then emptied in few large reads. When the server has little to send, every byte is read at once.
 */

/** Above this rate reads are paced; below half of it they are immediate again. Bytes per millisecond: 4 MB/s. */
export const PACED_RATE = 4_000;
/** The shortest stretch over which a rate is measured while reads are immediate. */
export const RATE_WINDOW_MS = 4;
/** Bytes that one pause should gather. */
export const TARGET_READ_BYTES = 768 * 1024;
export const MIN_DELAY_MS = 2;
export const MAX_DELAY_MS = 12;
const FIRST_DELAY_MS = 4;

/** How reads are paced: 0 is at once. */
export interface ReadPace {
  readonly delayMs: number;
}

/** What was read since the pace was last judged. */
export interface ReadObservation {
  readonly byteCount: number;
  readonly elapsedMs: number;
}

export const IMMEDIATE: ReadPace = { delayMs: 0 };

export function nextReadPace(pace: ReadPace, observed: ReadObservation): ReadPace {
  const rate = observed.byteCount / Math.max(observed.elapsedMs, 0.1);
  if (pace.delayMs === 0) {
    return observed.elapsedMs >= RATE_WINDOW_MS && rate >= PACED_RATE ? { delayMs: FIRST_DELAY_MS } : pace;
  }
  if (rate < PACED_RATE / 2) return IMMEDIATE;
  const wanted = TARGET_READ_BYTES / rate;
  return { delayMs: Math.min(Math.max(wanted, MIN_DELAY_MS), MAX_DELAY_MS) };
}
