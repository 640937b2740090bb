import { WalStreamError } from '../errors.js';

/** How a lost connection is made again. */
export interface RetryPolicy {
  /** Attempts in a row that may fail; 0: none is made. */
  readonly maxAttempts: number;
  /** The first pause; each is twice as long as the one before, up to the last bound. */
  readonly minDelayMs: number;
  readonly maxDelayMs: number;
}

/** Whether trying again can help: only where the error says so, and not for ever where there is a bound. */
export function shouldRetry(error: unknown, attemptsBefore: number, policy: RetryPolicy): boolean {
  return error instanceof WalStreamError && error.retryable && attemptsBefore < policy.maxAttempts;
}

/**
 * The pause before an attempt, counted from 1: half of it fixed, half at random, so that the clients of a server that
 * comes back do not all come at once. `random` is in [0, 1).
 */
export function retryDelayMs(attempt: number, policy: RetryPolicy, random: number): number {
  const longest = Math.min(policy.minDelayMs * 2 ** Math.min(attempt - 1, 52), policy.maxDelayMs);
  return (longest / 2) * (1 + random);
}
