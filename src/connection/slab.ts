/** Size of an ordinary slab. */
export const SLAB_BYTES = 2 * 1024 * 1024;
/** Free slabs kept for the next read; more are left to the garbage collector. */
const MAX_FREE_SLABS = 8;

/**
 * Memory that sockets read into and worker threads read from, without a copy. It is held by everyone who may still
 * look at it: the reader that fills it and each batch cut from it.
 */
export class Slab {
  readonly memory: SharedArrayBuffer;
  readonly bytes: Buffer;
  readonly #pool: SlabPool;
  #holders = 1;

  constructor(pool: SlabPool, size: number) {
    this.memory = new SharedArrayBuffer(size);
    this.bytes = Buffer.from(this.memory);
    this.#pool = pool;
  }

  hold(): void {
    this.#holders++;
  }

  release(): void {
    if (--this.#holders === 0) this.#pool.recycle(this);
  }

  /** Taken from the pool again: one holder. */
  reuse(): void {
    this.#holders = 1;
  }
}

/** Slabs of {@link SLAB_BYTES}, used again and again; larger ones, for a message that fits in none, are made for once. */
export class SlabPool {
  readonly #free: Slab[] = [];

  acquire(minBytes = 0): Slab {
    if (minBytes > SLAB_BYTES) return new Slab(this, minBytes);
    const slab = this.#free.pop();
    if (slab === undefined) return new Slab(this, SLAB_BYTES);
    slab.reuse();
    return slab;
  }

  recycle(slab: Slab): void {
    if (slab.bytes.length === SLAB_BYTES && this.#free.length < MAX_FREE_SLABS) this.#free.push(slab);
  }
}
