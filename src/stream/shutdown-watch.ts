/** Requests for a reply, each soon after our reply to the one before, that say what a server is waiting for. */
const REQUESTS_IN_A_ROW = 10;
/** How long a consumer may go on finishing what it has. */
const PATIENCE_MS = 5_000;
/** Pause before each reply, so that waiting does not keep both sides busy. */
export const SHUTDOWN_REPLY_DELAY_MS = 100;

/** What to do with a request for a reply. */
export type ReplyVerdict = 'reply' | 'reply-later' | 'leave';

/**
 * Notices a server in shutdown. It waits, for ever, until every client has confirmed all that was sent, and asks again
 * and again: a client that has unconfirmed work must finish that or go away. Anything that is sent besides requests
 * says that the server goes on.
 */
export class ShutdownWatch {
  readonly #usualMs: number;
  #inARow = 0;
  #lastAt = Number.NEGATIVE_INFINITY;
  #noticedAt: number | undefined;

  /** `walSenderTimeoutMs`, 0 for none: a server asks at half of it, at the most. */
  constructor(walSenderTimeoutMs: number) {
    this.#usualMs = walSenderTimeoutMs === 0 ? 1_000 : walSenderTimeoutMs / 4;
  }

  /** The server sent something else. */
  reset(): void {
    this.#inARow = 0;
    this.#noticedAt = undefined;
  }

  /** The server asked for a reply at `nowMs`, while so many units were unfinished. */
  asked(nowMs: number, unfinishedUnits: number): ReplyVerdict {
    this.#inARow = nowMs - this.#lastAt < this.#usualMs ? this.#inARow + 1 : 1;
    this.#lastAt = nowMs;
    if (this.#inARow < REQUESTS_IN_A_ROW || unfinishedUnits === 0) {
      this.#noticedAt = undefined;
      return 'reply';
    }
    this.#noticedAt ??= nowMs;
    return nowMs - this.#noticedAt < PATIENCE_MS ? 'reply-later' : 'leave';
  }
}
