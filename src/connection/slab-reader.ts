import { FRAME_HEADER_BYTES, type FrameHandler, frameLength, scanFrames } from '../protocol/frame-scan.js';
import { type Slab, SlabPool } from './slab.js';
import type { ReadSink } from './transport.js';

/** A read never gets less room than this, so that a full kernel buffer is emptied in few calls. */
export const MIN_READ_BYTES = 512 * 1024;

/** What a {@link SlabReader} tells its owner. Offsets are into `slab.bytes` of the reader. */
export interface SlabReaderHandler extends FrameHandler {
  /** The current slab is about to be left: whatever still refers to it must hold it now. */
  onSlabEnd(): void;
  /**
   * One read was scanned, in `busyMs`; `drained` when it left room, which means that the kernel had no more.
   */
  onReadEnd(byteCount: number, drained: boolean, busyMs: number): void;
  /** Bytes that are no backend messages: nothing more is scanned. */
  onBadBytes(error: unknown): void;
  onClose(error: Error | undefined): void;
}

/**
 * Reads a connection into slabs in place and cuts the bytes into backend messages. A message that does not end in
 * one slab is moved to the start of the next, so that each lies in one piece.
 */
export class SlabReader implements ReadSink {
  readonly #pool: SlabPool;
  readonly #handler: SlabReaderHandler;
  readonly #maxBodyBytes: number;
  #slab: Slab;
  #scanned = 0;
  #filled = 0;
  #target: Uint8Array | undefined;
  #failed = false;

  constructor(handler: SlabReaderHandler, maxBodyBytes: number, pool = new SlabPool()) {
    this.#pool = pool;
    this.#handler = handler;
    this.#maxBodyBytes = maxBodyBytes;
    this.#slab = pool.acquire();
  }

  /** The slab that offsets given to the handler refer to. */
  get slab(): Slab {
    return this.#slab;
  }

  buffer(): Uint8Array {
    if (this.#failed) return this.#slab.bytes;
    const wanted = this.#bytesWanted();
    if (this.#slab.bytes.length - this.#filled < wanted) this.#roll(wanted);
    this.#target = this.#slab.bytes.subarray(this.#filled);
    return this.#target;
  }

  onBytes(count: number, memory: Uint8Array): void {
    if (this.#failed) return;
    try {
      this.#take(count, memory);
    } catch (error) {
      this.#failed = true;
      this.#handler.onBadBytes(error);
    }
  }

  #take(count: number, memory: Uint8Array): void {
    const target = this.#target;
    if (target !== undefined && memory.buffer === target.buffer && memory.byteOffset === target.byteOffset) {
      this.#accept(count, count < memory.length);
      return;
    }
    // The kernel's target was given by an earlier sink: its bytes are moved into ours.
    let from = 0;
    while (from < count) {
      const room = this.buffer();
      const part = Math.min(room.length, count - from);
      room.set(memory.subarray(from, from + part));
      from += part;
      this.#accept(part, from === count);
    }
  }

  onClose(error: Error | undefined): void {
    this.#handler.onClose(error);
  }

  #accept(count: number, drained: boolean): void {
    const startedAt = performance.now();
    this.#filled += count;
    this.#scanned = scanFrames(this.#slab.bytes, this.#scanned, this.#filled, this.#maxBodyBytes, this.#handler);
    this.#handler.onReadEnd(count, drained, performance.now() - startedAt);
  }

  /** Room for the rest of an incomplete message or for a good read, whichever is more. */
  #bytesWanted(): number {
    const partial = this.#filled - this.#scanned;
    if (partial < FRAME_HEADER_BYTES) return MIN_READ_BYTES;
    const missing = 1 + frameLength(this.#slab.bytes, this.#scanned, this.#maxBodyBytes) - partial;
    return Math.max(missing, MIN_READ_BYTES);
  }

  #roll(wanted: number): void {
    const full = this.#slab;
    const partial = this.#filled - this.#scanned;
    this.#handler.onSlabEnd();
    this.#slab = this.#pool.acquire(partial + wanted);
    full.bytes.copy(this.#slab.bytes, 0, this.#scanned, this.#filled);
    this.#scanned = 0;
    this.#filled = partial;
    full.release();
  }
}
