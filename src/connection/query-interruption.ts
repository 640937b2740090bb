/** How long a query may take to end after its cancellation was asked for, before the connection is given up. */
export const CANCEL_GRACE_MS = 2_000;

/** Stops a running query once, for whichever reason comes first. */
export class QueryInterruption {
  readonly #cancel: () => Promise<void>;
  readonly #giveUp: (reason: unknown) => void;
  #begun: { readonly reason: unknown; readonly cancelled: Promise<void>; readonly grace: NodeJS.Timeout } | undefined;
  #gaveUp = false;

  constructor(actions: { cancel: () => Promise<void>; giveUp: (reason: unknown) => void }) {
    this.#cancel = actions.cancel;
    this.#giveUp = actions.giveUp;
  }

  get begun(): boolean {
    return this.#begun !== undefined;
  }

  get reason(): unknown {
    return this.#begun?.reason;
  }

  begin(reason: unknown): void {
    if (this.#begun !== undefined) return;
    const grace = setTimeout(() => {
      this.#gaveUp = true;
      this.#giveUp(reason);
    }, CANCEL_GRACE_MS);
    // A request that cannot be delivered is as good as one that is not obeyed: the grace period decides.
    this.#begun = { reason, grace, cancelled: this.#cancel().catch(() => {}) };
  }

  /** The query has ended. Waits for a cancel request on its way, which would hit the next query otherwise. */
  async end(): Promise<void> {
    if (this.#begun === undefined) return;
    clearTimeout(this.#begun.grace);
    if (!this.#gaveUp) await this.#begun.cancelled;
  }
}
