import { flag, integer, MAX_TIMER_MS, plainObject, refuseUnknown } from '../errors/option-checks.js';

/** How a lost connection is made again: pauses that double, with some chance in them. */
export interface RetryOptions {
  /** Attempts in a row that may fail before the stream ends with the last error; 0: none is made. Default: no limit. */
  readonly maxAttempts?: number;
  /** Default: 100. */
  readonly minDelayMs?: number;
  /** Default: 30 000. */
  readonly maxDelayMs?: number;
  /**
   * After a lost connection, deliver again what was delivered and not acknowledged, in order, each transaction from its
   * beginning, `redelivered` on whatever was delivered before. Default: false, nothing comes twice.
   *
   * With `ack: 'manual'` that is every unit not given to `ack()` before it comes again, those between acknowledged ones
   * included, and the transaction that was delivered half-way. With `'auto'` it is the latter alone: what was delivered
   * whole is acknowledged when the consumer comes back from it.
   *
   * What the stream had received beyond that is dropped and comes after it: the stream steps back, and a transaction
   * without its end is void.
   */
  readonly redeliver?: boolean;
}

const KNOWN_RETRY_OPTIONS = new Set(['maxAttempts', 'minDelayMs', 'maxDelayMs', 'redeliver']);
const DEFAULT_MIN_DELAY_MS = 100;
const DEFAULT_MAX_DELAY_MS = 30_000;

export function retryFrom(retry: RetryOptions | undefined): Required<RetryOptions> {
  const given = retry === undefined ? {} : plainObject(retry, 'retry');
  refuseUnknown(given, KNOWN_RETRY_OPTIONS, 'retry.');
  const { maxAttempts } = given;
  const minDelayMs = integer(given.minDelayMs, 'retry.minDelayMs', 1, MAX_TIMER_MS, DEFAULT_MIN_DELAY_MS);
  return {
    maxAttempts:
      maxAttempts === undefined || maxAttempts === Number.POSITIVE_INFINITY
        ? Number.POSITIVE_INFINITY
        : integer(maxAttempts, 'retry.maxAttempts', 0, Number.MAX_SAFE_INTEGER, 0),
    minDelayMs,
    maxDelayMs: integer(
      given.maxDelayMs,
      'retry.maxDelayMs',
      minDelayMs,
      MAX_TIMER_MS,
      Math.max(DEFAULT_MAX_DELAY_MS, minDelayMs),
    ),
    redeliver: flag(given.redeliver, 'retry.redeliver'),
  };
}
