/** npm passes on a Ctrl+C that the terminal has sent to us already: so soon, the second is the first. */
const SAME_SIGNAL_MS = 100;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** SIGINT and SIGTERM: the first asks to stop in good order, a second one at once. */
export class StopSignals implements Disposable {
  readonly #requested = new AbortController();
  readonly #atOnce = new AbortController();
  #requestedAtMs = 0;

  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  get requested(): AbortSignal {
    return this.#requested.signal;
  }

  get atOnce(): AbortSignal {
    return this.#atOnce.signal;
  }

  [Symbol.dispose](): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
  }

  #onSignal = (): void => {
    const nowMs = performance.now();
    if (!this.requested.aborted) {
      this.#requestedAtMs = nowMs;
      this.#requested.abort();
    } else if (nowMs - this.#requestedAtMs > SAME_SIGNAL_MS) {
      this.#atOnce.abort();
    }
  };
}
