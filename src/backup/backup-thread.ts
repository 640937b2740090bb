import { Worker } from 'node:worker_threads';
import type { Slab } from '../connection/slab.js';
import { BackupError } from '../errors.js';
import { BACKUP_WORKER_URL } from '../threads/worker-url.js';
import type { BackupLayout, BackupPositions, BackupSummary } from './backup-layout.js';
import { type BackupReply, type BackupTask, decodeFailure } from './backup-task.js';

/** Bytes on their way to the disk beyond which nothing more is read, and below which reading goes on. */
const MAX_IN_FLIGHT_BYTES = 4 * 1024 * 1024;
const RESUME_IN_FLIGHT_BYTES = 2 * 1024 * 1024;
/** Stretches are told together when they have so many bytes. */
const MESSAGE_BYTES = 512 * 1024;
/** Of the thread's heap. It makes much that is used at once; V8's own choice keeps more of it than there is to keep. */
const YOUNG_GENERATION_MB = 4;

export interface BackupThreadHandler {
  /** Too much waits for the disk, or no longer. */
  onPressure(high: boolean): void;
  /** Once: the thread failed or is gone, and nothing more is written. */
  onFailure(error: Error): void;
}

interface Message {
  readonly slab: Slab;
  readonly byteCount: number;
}

/** The thread that writes the backup, seen from the one that reads it. */
export class BackupThread {
  readonly #worker: Worker;
  readonly #handler: BackupThreadHandler;
  /** In the order in which they will be answered. */
  readonly #inFlight: Message[] = [];
  #inFlightBytes = 0;
  #pressed = false;
  #slab: Slab | undefined;
  #stretches: number[] = [];
  #pendingBytes = 0;
  #finished: ((summary: BackupSummary) => void) | undefined;
  #settled = false;

  constructor(layout: BackupLayout, handler: BackupThreadHandler) {
    this.#handler = handler;
    this.#worker = new Worker(BACKUP_WORKER_URL, {
      workerData: layout,
      name: 'backup',
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    this.#worker.on('message', (reply: BackupReply) => this.#onReply(reply));
    this.#worker.on('error', (cause) =>
      this.#fail(new BackupError('the thread that writes the backup failed', { cause })),
    );
    this.#worker.on('exit', (code) =>
      this.#fail(new BackupError(`the thread that writes the backup ended with code ${code}`)),
    );
  }

  beginArchive(index: number): void {
    this.#tell({ kind: 'archive', index });
  }

  beginManifest(): void {
    this.#tell({ kind: 'manifest' });
  }

  /** The bytes stay as they are until they are written: the slab is held for that. */
  push(slab: Slab, start: number, end: number): void {
    if (start === end) return;
    if (this.#slab !== undefined && this.#slab !== slab) this.flush();
    this.#slab = slab;
    this.#stretches.push(start, end);
    this.#pendingBytes += end - start;
    if (this.#pendingBytes >= MESSAGE_BYTES) this.flush();
  }

  /** Tells what was pushed. */
  flush(): void {
    const slab = this.#slab;
    if (slab === undefined) return;
    slab.hold();
    const byteCount = this.#pendingBytes;
    this.#inFlight.push({ slab, byteCount });
    this.#inFlightBytes += byteCount;
    this.#send({ kind: 'bytes', memory: slab.memory, stretches: this.#stretches });
    this.#slab = undefined;
    this.#stretches = [];
    this.#pendingBytes = 0;
    if (!this.#pressed && this.#inFlightBytes > MAX_IN_FLIGHT_BYTES) this.#press(true);
  }

  /** Resolves when everything is on disk and, if `prove`, proved. Failures go to the handler: then it never does. */
  finish(positions: BackupPositions, prove: boolean): Promise<BackupSummary> {
    return new Promise((resolve) => {
      this.#finished = resolve;
      this.#tell({ kind: 'finish', positions, prove });
    });
  }

  /** Ends the thread; afterwards it touches no file. */
  async end(): Promise<void> {
    this.#settled = true;
    await this.#worker.terminate();
  }

  #tell(task: BackupTask): void {
    this.flush();
    this.#send(task);
  }

  #send(task: BackupTask): void {
    this.#worker.postMessage(task);
  }

  #onReply(reply: BackupReply): void {
    switch (reply.kind) {
      case 'taken': {
        const message = this.#inFlight.shift();
        message?.slab.release();
        this.#inFlightBytes -= message?.byteCount ?? 0;
        if (this.#pressed && this.#inFlightBytes <= RESUME_IN_FLIGHT_BYTES) this.#press(false);
        break;
      }
      case 'finished':
        this.#settled = true;
        this.#finished?.(reply.summary);
        break;
      case 'failed':
        this.#fail(decodeFailure(reply.failure));
        break;
      default:
        reply satisfies never;
    }
  }

  #press(high: boolean): void {
    this.#pressed = high;
    this.#handler.onPressure(high);
  }

  #fail(error: Error): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#handler.onFailure(error);
  }
}
