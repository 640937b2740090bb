import { slotErrorFrom } from '../catalog/slot-errors.js';
import { CopyBoth, type CopyBothHandler } from '../connection/copy-both.js';
import { deafMs, judgeLiveness } from '../connection/liveness.js';
import type { PgConnection } from '../connection/pg-connection.js';
import type { Slab } from '../connection/slab.js';
import { ConnectionError, ProtocolError, TimeoutError } from '../errors.js';
import { Lsn } from '../lsn.js';
import { startPhysicalReplication } from '../protocol/commands.js';
import { FRAME_HEADER_BYTES } from '../protocol/frame-scan.js';
import {
  encodeStandbyStatus,
  KEEPALIVE_TAG,
  parseKeepalive,
  XLOG_DATA_HEADER_BYTES,
  XLOG_DATA_TAG,
} from '../protocol/replication-message.js';
import type { WalStart } from './wal-resume.js';
import type { WalWriter } from './wal-writer.js';

/** WAL that was received and not written yet, beyond which the server has to wait. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024;
const LIVENESS_CHECKS_PER_TIMEOUT = 10;
/** How long the server may take to end the COPY, and where that does not matter any more. */
const FINISH_TIMEOUT_MS = 5_000;
const GIVE_UP_TIMEOUT_MS = 500;

/** How one timeline's WAL ended: where the next begins, or `undefined` where we stopped. */
export type WalCopyEnd = WalStart | undefined;

export interface WalCopyOptions {
  readonly timeline: number;
  /** Name of the slot that the server holds WAL back for. */
  readonly slot: string | undefined;
  /** Ends once everything before it has come; see {@link WalCopy.stopAt}. */
  readonly endLsn: bigint | undefined;
  /** Make WAL safe as it comes, and tell the server at once. */
  readonly synchronous: boolean;
  readonly feedbackIntervalMs: number;
  readonly livenessTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** The server has begun. */
  readonly onStreaming?: () => void;
}

interface Waiting {
  readonly slab: Slab;
  readonly start: number;
  readonly end: number;
}

/** The WAL of one timeline over one connection, into a writer. */
export class WalCopy implements CopyBothHandler {
  readonly #options: WalCopyOptions;
  readonly #writer: WalWriter;
  readonly #ended: Promise<WalCopyEnd>;
  #settle!: { resolve: (end: WalCopyEnd) => void; reject: (error: unknown) => void };
  #copy: CopyBoth | undefined;
  #host = '';
  #endLsn: bigint | undefined;
  /** What comes next begins here. */
  #receivedLsn: bigint;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | undefined;
  #syncWanted = false;
  #next: WalStart | undefined;
  #over = false;
  #failed = false;
  /** Nothing may be written behind a gap. */
  #broken = false;
  #heardAt = performance.now();
  #checkedAt = this.#heardAt;
  #replyRequested = false;

  constructor(options: WalCopyOptions, writer: WalWriter) {
    this.#options = options;
    this.#endLsn = options.endLsn;
    this.#writer = writer;
    this.#receivedLsn = writer.writtenLsn;
    this.#ended = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Awaited by run(), after the start.
    this.#ended.catch(() => {});
  }

  /** Until the timeline or `endLsn` is reached, {@link stop} is called, or an error comes. */
  async run(connection: PgConnection): Promise<WalCopyEnd> {
    const { timeline, slot, feedbackIntervalMs, livenessTimeoutMs: timeoutMs, signal } = this.#options;
    this.#host = connection.host;
    const request = { startLsn: this.#receivedLsn, timeline, ...(slot !== undefined && { slot }) };
    const command = startPhysicalReplication(request);
    const onAbort = () => this.#end(signal?.reason);
    let timers: NodeJS.Timeout[] = [];
    try {
      this.#copy = await CopyBoth.start(connection, command, this, { timeoutMs, signal });
      this.#heardAt = performance.now();
      this.#checkedAt = this.#heardAt;
      timers = [
        setInterval(() => this.#sendStatus(false), feedbackIntervalMs),
        setInterval(() => this.#checkLiveness(), timeoutMs / LIVENESS_CHECKS_PER_TIMEOUT),
      ];
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted) onAbort();
      this.#options.onStreaming?.();
      return await this.#ended;
    } catch (error) {
      throw slot === undefined ? error : slotErrorFrom(error, slot);
    } finally {
      for (const timer of timers) clearInterval(timer);
      signal?.removeEventListener('abort', onAbort);
      await this.#close();
    }
  }

  /** Ends it in order: what was received is written and confirmed. */
  stop(): void {
    this.#over = true;
    this.#copy?.hold();
    this.#finishWhenWritten();
  }

  /** Everything before `endLsn` is enough, as {@link stop} once it has come. */
  stopAt(endLsn: bigint): void {
    this.#endLsn = endLsn;
    if (this.#receivedLsn >= endLsn) this.stop();
  }

  onCopyData(slab: Slab, start: number, end: number): void {
    if (this.#over) return;
    const tag = slab.bytes[start];
    if (tag === XLOG_DATA_TAG) this.#onXLogData(slab, start, end);
    else if (tag === KEEPALIVE_TAG) this.#onKeepalive(slab.bytes, start, end);
    else {
      throw new ProtocolError('a replication message of unknown type', {
        offset: start - FRAME_HEADER_BYTES,
        tag: String.fromCharCode(tag ?? 0),
      });
    }
  }

  onReadEnd(): void {
    this.#heardAt = performance.now();
    this.#replyRequested = false;
    this.#writeOn();
  }

  onSlabEnd(): void {}

  onNotice(): void {}

  /** `next_tli int8, next_tli_startpos text` */
  onRow([timeline, startLsn]: readonly (string | null)[]): void {
    if (!timeline || !/^\d{1,10}$/.test(timeline) || !startLsn) {
      throw new ProtocolError('the end of the timeline does not say what comes next', { offset: 0, tag: 'D' });
    }
    this.#next = { timeline: Number(timeline), startLsn: Lsn.parse(startLsn) };
  }

  onEnd(error: unknown): void {
    const host = this.#host;
    if (error !== undefined) this.#end(error);
    else if (this.#next === undefined) {
      this.#end(new ConnectionError(`${host} ended the stream`, { host, phase: 'streaming' }));
    } else {
      this.#over = true;
      this.#finishWhenWritten();
    }
  }

  #onXLogData(slab: Slab, start: number, end: number): void {
    const dataStart = start + XLOG_DATA_HEADER_BYTES;
    if (dataStart > end) {
      throw new ProtocolError(`XLogData of ${end - start} bytes`, { offset: start, tag: 'w' });
    }
    const walStart = slab.bytes.readBigUInt64BE(start + 1);
    if (walStart !== this.#receivedLsn) {
      throw new ProtocolError(
        `WAL of ${Lsn.format(walStart)} where that of ${Lsn.format(this.#receivedLsn)} comes next`,
        { offset: start, tag: 'w', lsn: walStart },
      );
    }
    slab.hold();
    this.#waiting.push({ slab, start: dataStart, end });
    this.#waitingBytes += end - dataStart;
    this.#receivedLsn += BigInt(end - dataStart);
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.#copy?.hold();
    const endLsn = this.#endLsn;
    if (endLsn !== undefined && this.#receivedLsn >= endLsn) this.stop();
  }

  #onKeepalive(bytes: Buffer, start: number, end: number): void {
    const { replyRequested } = parseKeepalive(bytes, start, end);
    if (!replyRequested) return;
    // A server in shutdown waits until everything is confirmed, so that is made safe first.
    if (this.#options.slot === undefined) {
      this.#sendStatus(false);
    } else {
      this.#syncWanted = true;
      this.#writeOn();
    }
  }

  #writeOn(): void {
    if (this.#broken || this.#writing !== undefined || (this.#waiting.length === 0 && !this.#syncWanted)) return;
    this.#writing = this.#write()
      .catch((error: unknown) => {
        this.#broken = true;
        this.#end(error);
      })
      .finally(() => {
        this.#writing = undefined;
        this.#finishWhenWritten();
      });
  }

  async #write(): Promise<void> {
    const { synchronous } = this.#options;
    while (this.#waiting.length > 0 || this.#syncWanted) {
      const pieces = this.#waiting;
      this.#waiting = [];
      const confirm = synchronous || this.#syncWanted;
      this.#syncWanted = false;
      try {
        for (const { slab, start, end } of pieces) await this.#writer.write(slab.bytes.subarray(start, end));
      } finally {
        for (const { slab, start, end } of pieces) {
          slab.release();
          this.#waitingBytes -= end - start;
        }
      }
      if (!this.#over) this.#copy?.release();
      if (!confirm) continue;
      await this.#writer.sync();
      this.#sendStatus(false);
    }
  }

  #finishWhenWritten(): void {
    if (!this.#over || this.#broken || this.#writing !== undefined) return;
    if (this.#waiting.length > 0) this.#writeOn();
    else this.#settle.resolve(this.#next);
  }

  /** Without a slot nobody waits for what is safe, and the server goes by what is written. */
  #sendStatus(replyRequested: boolean): void {
    const write = this.#writer.writtenLsn;
    const flush = this.#options.slot === undefined && !this.#options.synchronous ? 0n : this.#writer.flushedLsn;
    this.#copy?.send(encodeStandbyStatus({ write, flush, apply: 0n }, Date.now(), replyRequested));
  }

  #checkLiveness(): void {
    const copy = this.#copy;
    if (copy === undefined || this.#over) return;
    const now = performance.now();
    const timeoutMs = this.#options.livenessTimeoutMs;
    // The clock stands still while nothing is read on purpose, and while nothing can be.
    if (copy.held) this.#heardAt = now;
    else
      this.#heardAt += deafMs(now - Math.max(this.#checkedAt, this.#heardAt), timeoutMs / LIVENESS_CHECKS_PER_TIMEOUT);
    this.#checkedAt = now;
    const verdict = judgeLiveness({ silentMs: now - this.#heardAt, timeoutMs, replyRequested: this.#replyRequested });
    if (verdict === 'ask') {
      this.#replyRequested = true;
      this.#sendStatus(true);
    } else if (verdict === 'lost') {
      const { host } = copy;
      this.#end(
        new TimeoutError(`${host} has said nothing for ${timeoutMs} ms`, { host, phase: 'streaming', timeoutMs }),
      );
    }
  }

  /** At once. What was received is still written. */
  #end(error: unknown): void {
    this.#over = true;
    this.#failed = true;
    this.#copy?.hold();
    this.#settle.reject(error);
  }

  async #close(): Promise<void> {
    this.#over = true;
    // An error of the disk was reported when it came.
    await this.#writing;
    for (const { slab } of this.#waiting.splice(0)) slab.release();
    try {
      await this.#writer.sync();
      this.#sendStatus(false);
    } catch (error) {
      // After another error it says nothing new.
      if (!this.#failed) throw error;
    } finally {
      await this.#writer.close();
      await this.#copy?.finish(this.#failed ? GIVE_UP_TIMEOUT_MS : FINISH_TIMEOUT_MS);
    }
  }
}
