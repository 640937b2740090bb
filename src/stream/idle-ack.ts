/**
 * Has the consumer keep a position before the slot is moved on to it over WAL that holds nothing for the stream: one
 * position at a time, the newest when the one before is kept.
 */
export class IdleAck {
  readonly #keep: (lsn: bigint) => unknown;
  readonly #onKept: () => void;
  readonly #onError: (error: unknown) => void;
  #lsn = 0n;
  #keeping = false;

  /** `onKept`: there is a new {@link lsn}. `onError`: `keep` failed. */
  constructor(keep: (lsn: bigint) => unknown, onKept: () => void, onError: (error: unknown) => void) {
    this.#keep = keep;
    this.#onKept = onKept;
    this.#onError = onError;
  }

  /** The position that was kept last; `0n` while there is none. */
  get lsn(): bigint {
    return this.#lsn;
  }

  /** Whether the consumer is keeping one. */
  get keeping(): boolean {
    return this.#keeping;
  }

  /** The slot could be moved on to `lsn`. */
  offer(lsn: bigint): void {
    if (this.#keeping || lsn <= this.#lsn) return;
    this.#keeping = true;
    void this.#offer(lsn);
  }

  async #offer(lsn: bigint): Promise<void> {
    try {
      await this.#keep(lsn);
    } catch (error) {
      this.#onError(error);
      return;
    }
    this.#lsn = lsn;
    this.#keeping = false;
    this.#onKept();
  }
}
