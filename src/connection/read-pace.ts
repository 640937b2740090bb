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
export const TARGET_READ_BYTES = 2 * 1024 * 1024;
export const MIN_DELAY_MS = 2;
/** The summit of the rate on loopback is broad, from 16 to 32 ms; see bench/README.md. */
export const MAX_DELAY_MS = 24;
const FIRST_DELAY_MS = 8;
/** A read that takes so much longer than its delay had to wait for the server. */
const WAITED_FACTOR = 2;
const WAITED_MARGIN_MS = 4;

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
  if (rate < PACED_RATE / 2) return slower(pace, observed.elapsedMs);
  const wanted = TARGET_READ_BYTES / rate;
  return { delayMs: Math.min(Math.max(wanted, MIN_DELAY_MS), MAX_DELAY_MS) };
}

/**
 * Little came. If the read had to wait for it, the server has no more to send. If not, the kernel may just have shown
 * little of what it holds, which it does in the middle of a backlog (small segments fill a receive buffer with
 * overhead): reading at once would then take many small reads until it is paced again.
 */
function slower(pace: ReadPace, elapsedMs: number): ReadPace {
  const delayMs = pace.delayMs / 2;
  const waited = elapsedMs > pace.delayMs * WAITED_FACTOR + WAITED_MARGIN_MS;
  return waited || delayMs < MIN_DELAY_MS ? IMMEDIATE : { delayMs };
}
