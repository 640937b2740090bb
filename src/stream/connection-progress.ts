/** A connection on which only keepalives came, for so many times the limit, was a good one. */
const LONG_LIFE_TIMEOUTS = 4;

/** What a stream has received, over all of its connections. */
export interface ReceivedSoFar {
  readonly lsn: bigint;
  /** Units of acknowledgement. */
  readonly units: number;
  readonly changes: number;
}

/** What a connection has brought. Times are those of `performance.now()`. */
export class ConnectionProgress {
  readonly #before: ReceivedSoFar;
  readonly #madeAtMs: number;

  /** `before`: what the stream had received when the connection was made. */
  constructor(before: ReceivedSoFar, madeAtMs: number) {
    this.#before = before;
    this.#madeAtMs = madeAtMs;
  }

  /** Whether anything came, keepalives included, or it has lived for so long. */
  progressedWithin(longMs: number, received: ReceivedSoFar, nowMs: number): boolean {
    return received.lsn > this.#before.lsn || nowMs - this.#madeAtMs >= longMs;
  }

  /**
   * Whether it brought the stream on. Keepalives say that the server reads WAL, which it does also before it falls silent
   * over something large: alone they count only when they went on for long.
   */
  gotOn(received: ReceivedSoFar, livenessTimeoutMs: number, nowMs: number): boolean {
    if (received.units > this.#before.units || received.changes > this.#before.changes) return true;
    return received.lsn > this.#before.lsn && nowMs - this.#madeAtMs > LONG_LIFE_TIMEOUTS * livenessTimeoutMs;
  }
}
