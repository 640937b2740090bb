import { setTimeout as sleep } from 'node:timers/promises';
import type { OpenStream } from './open-stream.js';
import { type RetryPolicy, retryDelayMs, shouldRetry } from './retry-policy.js';
import type { StreamReporter } from './stream-reporter.js';

/** Opens a stream again, with pauses, for as long as that can help. */
export class Reconnector {
  readonly #policy: RetryPolicy;
  readonly #reporter: StreamReporter;
  /** In a row, without progress between them. */
  #attempts = 0;

  constructor(policy: RetryPolicy, reporter: StreamReporter) {
    this.#policy = policy;
    this.#reporter = reporter;
  }

  /** Whether {@link open} would make an attempt after this error. */
  canRetry(error: unknown): boolean {
    return shouldRetry(error, this.#attempts, this.#policy);
  }

  /** The stream got on: what failed before does not count any more. */
  progressed(): void {
    this.#attempts = 0;
  }

  /**
   * After `error`, tries until `open` succeeds. Rejects with the last error when trying again cannot help or has been
   * tried often enough, and with the signal's reason.
   */
  async open(error: unknown, open: () => Promise<OpenStream>, signal: AbortSignal): Promise<OpenStream> {
    let lastError = error;
    while (this.canRetry(lastError)) {
      const attempt = ++this.#attempts;
      const delayMs = retryDelayMs(attempt, this.#policy, Math.random());
      this.#reporter.connectionLost(lastError, attempt, delayMs);
      await pause(delayMs, signal);
      try {
        return await open();
      } catch (failure) {
        signal.throwIfAborted();
        lastError = failure;
      }
    }
    throw lastError;
  }
}

async function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  await sleep(delayMs, undefined, { signal }).catch(() => {});
  signal.throwIfAborted();
}
