import { IMMEDIATE, nextReadPace, RATE_WINDOW_MS, type ReadPace } from './read-pace.js';

/** What the scheduler can do to a socket. */
export interface Readable {
  pause(): void;
  resume(): void;
}

/** Lets a socket be read when its pace says so, and not at all while it is held. */
export class ReadScheduler {
  readonly #socket: Readable;
  #pace: ReadPace = IMMEDIATE;
  #byteCount = 0;
  #since = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #held = false;
  #stopped = false;

  constructor(socket: Readable) {
    this.#socket = socket;
  }

  /** Milliseconds between reads now; 0 when every byte is read at once. */
  get delayMs(): number {
    return this.#pace.delayMs;
  }

  get held(): boolean {
    return this.#held;
  }

  /** Bytes were read; `drained` when the kernel had no more. */
  onRead(byteCount: number, drained: boolean): void {
    this.#byteCount += byteCount;
    if (!drained || this.#held || this.#stopped) return;
    const now = performance.now();
    const elapsedMs = now - this.#since;
    if (this.#pace.delayMs === 0 && elapsedMs < RATE_WINDOW_MS) return;
    this.#pace = nextReadPace(this.#pace, { byteCount: this.#byteCount, elapsedMs });
    this.#byteCount = 0;
    this.#since = now;
    if (this.#pace.delayMs > 0) this.#sleep(this.#pace.delayMs);
  }

  /** Reads nothing until {@link release}. */
  hold(): void {
    if (this.#held || this.#stopped) return;
    this.#held = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#socket.pause();
  }

  release(): void {
    if (!this.#held || this.#stopped) return;
    this.#held = false;
    this.#byteCount = 0;
    this.#since = performance.now();
    this.#socket.resume();
  }

  /** Reads at once from now on, and paces nothing any more. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#socket.resume();
  }

  #sleep(delayMs: number): void {
    this.#socket.pause();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#socket.resume();
    }, delayMs);
  }
}
