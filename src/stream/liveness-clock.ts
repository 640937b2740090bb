import { deafMs, judgeLiveness, type LivenessVerdict } from '../connection/liveness.js';

const CHECKS_PER_TIMEOUT = 8;
/** A server that decodes something huge is silent meanwhile; but one that is silent for so long is dead. */
const MAX_TIMEOUT_MS = 3_600_000;

/**
 * How long the server has said nothing, and how long it may, from one connection of a stream to the next. Times are those
 * of `performance.now()`.
 */
export class LivenessClock {
  readonly #usualTimeoutMs: number;
  /** Doubles with each silence that ends a connection before it got on: the server may be at something large. */
  #timeoutMs: number;
  #heardAtMs = 0;
  #checkedAtMs = 0;
  #replyRequested = false;

  constructor(timeoutMs: number) {
    this.#usualTimeoutMs = timeoutMs;
    this.#timeoutMs = timeoutMs;
  }

  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  /** How often to {@link check}. */
  get intervalMs(): number {
    return this.#timeoutMs / CHECKS_PER_TIMEOUT;
  }

  /** A connection was made. */
  start(nowMs: number): void {
    this.heard(nowMs);
    this.#checkedAtMs = nowMs;
  }

  /** Bytes arrived. */
  heard(nowMs: number): void {
    this.#heardAtMs = nowMs;
    this.#replyRequested = false;
  }

  /** It is read again, after nothing was on purpose. */
  readOn(nowMs: number): void {
    this.#heardAtMs = nowMs;
  }

  /** `held`: nothing is read on purpose. After `ask`, a reply is taken to have been asked for. */
  check(nowMs: number, held: boolean): LivenessVerdict {
    // The clock stands still while nothing is read on purpose, and while nothing can be.
    if (held) this.#heardAtMs = nowMs;
    else this.#heardAtMs += deafMs(nowMs - Math.max(this.#checkedAtMs, this.#heardAtMs), this.intervalMs);
    this.#checkedAtMs = nowMs;
    const silentMs = nowMs - this.#heardAtMs;
    const verdict = judgeLiveness({ silentMs, timeoutMs: this.#timeoutMs, replyRequested: this.#replyRequested });
    if (verdict === 'ask') this.#replyRequested = true;
    return verdict;
  }

  /** The connection has ended, for its silence or not. */
  connectionEnded(facts: { readonly gotOn: boolean; readonly timedOut: boolean }): void {
    if (facts.gotOn) this.#timeoutMs = this.#usualTimeoutMs;
    else if (facts.timedOut) {
      this.#timeoutMs = Math.max(this.#usualTimeoutMs, Math.min(this.#timeoutMs * 2, MAX_TIMEOUT_MS));
    }
  }
}
