/**
 * Puts what was decoded in parallel back into the order in which it was received. Sequence numbers count from 0
 * without gaps.
 */
export class Resequencer<T> {
  readonly #early = new Map<number, T>();
  #next = 0;

  /** Items that wait for one before them. */
  get waiting(): number {
    return this.#early.size;
  }

  /** Takes an item that is ready, and gives every one whose turn has come, in order. */
  *push(sequence: number, item: T): Generator<T, void, undefined> {
    if (sequence < this.#next || this.#early.has(sequence)) {
      throw new RangeError(`sequence number ${sequence} came twice`);
    }
    this.#early.set(sequence, item);
    for (let ready = this.#early.get(this.#next); ready !== undefined; ready = this.#early.get(this.#next)) {
      this.#early.delete(this.#next++);
      yield ready;
    }
  }
}
