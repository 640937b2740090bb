import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { type ByteFault, type FramePlace, offsetInFrame, rewriteFrame, type SliceFault } from './fault.js';
import type { FaultPlan } from './fault-plan.js';

const DEFAULT_MAX_SLICE_BYTES = 64;
/** Long enough for the client to see what came before. */
const CUT_PAUSE_MS = 2;

/** Everything that a fake server sends on one connection passes through here, and the faults happen to it. */
export class FaultWriter {
  readonly #plan: FaultPlan;
  readonly #raw: Duplex;
  /** The raw socket, or TLS over it. */
  #socket: Duplex;
  readonly #onFreeze: () => void;
  #state: 'open' | 'silent' | 'gone' = 'open';
  /** Bytes sent on the connection, and since the stream began. */
  #connectionBytes = 0;
  #streamBytes: number | undefined;
  #streamMessages = 0;
  /** While slices are sent one by one, what comes after them waits. */
  #slices: Promise<void> | undefined;
  #random: () => number = () => 0;
  #corked = false;

  constructor(socket: Duplex, plan: FaultPlan, onFreeze: () => void) {
    this.#raw = socket;
    this.#socket = socket;
    this.#plan = plan;
    this.#onFreeze = onFreeze;
  }

  /** Nothing that is sent from here on arrives. */
  get silent(): boolean {
    return this.#state !== 'open';
  }

  switchTo(socket: Duplex): void {
    this.#socket = socket;
  }

  /** Whether what `from: 'stream'` counts has begun. */
  get inStream(): boolean {
    return this.#streamBytes !== undefined;
  }

  /** What `from: 'stream'` counts begins here. */
  beginStream(): void {
    this.#streamBytes = 0;
    this.#streamMessages = 0;
    const { slice } = this.#plan;
    if (slice !== undefined) this.#random = seededRandom(slice.seed ?? 1);
    this.#stopIfDue(Buffer.alloc(0), undefined);
  }

  endStream(): void {
    this.#streamBytes = undefined;
  }

  /** Sends one message, or bytes that hold several; resolves when there is room for more. */
  async send(bytes: Buffer, isCopyData = false): Promise<void> {
    if (this.#state !== 'open') return;
    const message = isCopyData && this.#streamBytes !== undefined ? this.#streamMessages++ : undefined;
    let changed = bytes;
    for (const fault of this.#plan.byteFaults) {
      const place = this.#place(fault, changed.length, message);
      const rewritten = place && rewriteFrame(fault, changed, place);
      if (rewritten === undefined) continue;
      changed = rewritten;
      this.#plan.happened(fault);
    }
    if (!this.#stopIfDue(changed, message)) this.#write(changed);
    this.#connectionBytes += changed.length;
    if (this.#streamBytes !== undefined) this.#streamBytes += changed.length;
    await this.#room();
  }

  /** The fault of this name, now. */
  stop(kind: 'cut' | 'stall' | 'freeze'): void {
    if (kind === 'cut') {
      this.#state = 'gone';
      // What was sent before is to arrive: a reset could overtake it.
      void this.#afterSlices(() => this.#socket.end(() => this.#raw.destroy()));
      return;
    }
    this.#state = 'silent';
    if (kind === 'freeze') this.#onFreeze();
  }

  /** Cuts the frame short where a fault is due in it; says whether one was. */
  #stopIfDue(bytes: Buffer, message: number | undefined): boolean {
    for (const fault of this.#plan.byteFaults) {
      if (fault.kind !== 'cut' && fault.kind !== 'stall' && fault.kind !== 'freeze') continue;
      const place = this.#place(fault, bytes.length, message);
      const offset = place && offsetInFrame(fault.at, place);
      if (offset === undefined) continue;
      this.#plan.happened(fault);
      this.#write(bytes.subarray(0, offset));
      this.stop(fault.kind);
      return true;
    }
    return false;
  }

  #place(fault: ByteFault, length: number, message: number | undefined): FramePlace | undefined {
    const ofConnection = 'from' in fault && fault.from === 'connection';
    const byte = ofConnection ? this.#connectionBytes : this.#streamBytes;
    return byte === undefined ? undefined : { byte, message, length };
  }

  #write(bytes: Buffer): void {
    if (bytes.length === 0) return;
    const { slice } = this.#plan;
    const streamed = this.#streamBytes;
    if (slice !== undefined && streamed !== undefined && isDue(slice, streamed, bytes.length)) {
      this.#slices = this.#afterSlices(() => this.#writeSlices(bytes, slice, streamed));
    } else if (this.#slices !== undefined) {
      this.#slices = this.#afterSlices(() => void this.#socket.write(bytes));
    } else {
      this.#cork();
      this.#socket.write(bytes);
    }
  }

  async #writeSlices(bytes: Buffer, slice: SliceFault, streamed: number): Promise<void> {
    const { at: cutAt, maxBytes = DEFAULT_MAX_SLICE_BYTES } = slice;
    if (cutAt !== undefined) {
      this.#socket.write(bytes.subarray(0, cutAt - streamed));
      await delay(CUT_PAUSE_MS);
      this.#socket.write(bytes.subarray(cutAt - streamed));
      return;
    }
    for (let at = 0; at < bytes.length; ) {
      const count = slice.bytes ?? 1 + Math.floor(this.#random() * maxBytes);
      this.#socket.write(bytes.subarray(at, at + count));
      at += count;
      await turn();
    }
  }

  async #afterSlices(effect: () => unknown): Promise<void> {
    await this.#slices;
    await effect();
  }

  /** Small messages of one turn leave together. */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    const socket = this.#socket;
    socket.cork();
    process.nextTick(() => {
      this.#corked = false;
      socket.uncork();
    });
  }

  async #room(): Promise<void> {
    if (this.#slices !== undefined) await this.#slices;
    const socket = this.#socket;
    if (!socket.writableNeedDrain || socket.destroyed) return;
    const done = new AbortController();
    const { signal } = done;
    // Whichever comes first; the listeners of the other go with it.
    await Promise.race([once(socket, 'drain', { signal }), once(socket, 'close', { signal })]).catch(() => {});
    done.abort();
  }
}

/** Whether the slice concerns these bytes, before which so many were sent. */
function isDue({ at }: SliceFault, streamed: number, length: number): boolean {
  return at === undefined || (at >= streamed && at < streamed + length);
}

/** A small generator (mulberry32): the same seed gives the same slices everywhere. */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
