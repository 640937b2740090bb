/** Items in order for one consumer, and how the sequence ends. */
export class DeliveryQueue<T> {
  readonly #items: T[] = [];
  #end: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  get length(): number {
    return this.#items.length;
  }

  /** How it ended, once everything before the end has been taken: `error` is `undefined` after a clean end. */
  get ended(): { readonly error: unknown } | undefined {
    return this.length === 0 ? this.#end : undefined;
  }

  /** Nothing can be added after the end. */
  push(item: T): boolean {
    if (this.#end !== undefined) return false;
    this.#items.push(item);
    this.wake();
    return true;
  }

  /** The sequence ends after what was pushed; only the first end counts. */
  end(error: unknown): void {
    this.#end ??= { error };
    this.wake();
  }

  /** The sequence ends now: what has not been taken is dropped and given back. */
  abort(error: unknown): T[] {
    this.#end = { error };
    const dropped = this.clear();
    this.wake();
    return dropped;
  }

  /** What has not been taken is dropped and given back; the sequence goes on. */
  clear(): T[] {
    return this.#items.splice(0);
  }

  /** Nothing keeps hold of it here: behind a backlog the queue may never be empty. */
  take(): T | undefined {
    return this.#items.shift();
  }

  /** Resolves when there is something to take, when the sequence has ended, and on {@link wake}. */
  wait(): Promise<void> {
    if (this.length > 0 || this.#end !== undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  wake(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
