import { constants } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder, writeAll } from './durable-write.js';
import { pathFailure } from './system-reason.js';
import { PARTIAL_SUFFIX } from './wal-resume.js';
import { segmentName, segmentStart } from './wal-segment.js';

const ZEROS = Buffer.alloc(1024 * 1024);
export const SEGMENT_MODE = 0o600;

/**
 * Writes received WAL into segment files like the server's: each is filled with zeros first, so that a full disk shows
 * at once, is called `.partial` until it is complete, and gets its own name only when it is safely on disk.
 */
export class SegmentWriter {
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #timeline: number;
  #file: FileHandle | undefined;
  #path: string;
  #writtenLsn: bigint;
  #flushedLsn: bigint;

  /** `startLsn` is where a segment starts. */
  constructor(directory: string, segmentBytes: number, timeline: number, startLsn: bigint) {
    this.#directory = directory;
    this.#segmentBytes = segmentBytes;
    this.#timeline = timeline;
    this.#path = directory;
    this.#writtenLsn = startLsn;
    this.#flushedLsn = startLsn;
  }

  /** Everything before it has been handed to the system. */
  get writtenLsn(): bigint {
    return this.#writtenLsn;
  }

  /** Everything before it is safe. */
  get flushedLsn(): bigint {
    return this.#flushedLsn;
  }

  /** Appends. BackupError names the file and carries the system's error. */
  write(bytes: Buffer): Promise<void> {
    return this.#guarded(async () => {
      for (let at = 0; at < bytes.length; ) {
        const offset = Number(this.#writtenLsn % BigInt(this.#segmentBytes));
        const count = Math.min(bytes.length - at, this.#segmentBytes - offset);
        this.#file ??= await this.#open();
        await writeAll(this.#file, bytes.subarray(at, at + count), offset);
        this.#writtenLsn += BigInt(count);
        at += count;
        if (offset + count === this.#segmentBytes) await this.#complete(this.#file);
      }
    });
  }

  /** Makes safe what was written. */
  sync(): Promise<void> {
    return this.#guarded(async () => {
      await this.#file?.datasync();
      this.#flushedLsn = this.#writtenLsn;
    });
  }

  /** What is not complete keeps its `.partial`. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #open(): Promise<FileHandle> {
    const name = segmentName(
      { timeline: this.#timeline, startLsn: segmentStart(this.#writtenLsn, this.#segmentBytes) },
      this.#segmentBytes,
    );
    this.#path = join(this.#directory, name);
    const path = `${this.#path}${PARTIAL_SUFFIX}`;
    const file = await open(path, constants.O_RDWR | constants.O_CREAT, SEGMENT_MODE);
    try {
      const { size } = await file.stat();
      // One that was left when its zeros were written is filled anew: all of it comes again.
      if (size !== this.#segmentBytes) {
        for (let at = 0; at < this.#segmentBytes; at += ZEROS.length) await writeAll(file, ZEROS, at);
        if (size > this.#segmentBytes) await file.truncate(this.#segmentBytes);
        await file.sync();
        await syncFolder(this.#directory);
      }
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async #complete(file: FileHandle): Promise<void> {
    await file.sync();
    this.#file = undefined;
    await file.close();
    await rename(`${this.#path}${PARTIAL_SUFFIX}`, this.#path);
    await syncFolder(this.#directory);
    this.#flushedLsn = this.#writtenLsn;
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (cause) {
      const path = `${this.#path}${PARTIAL_SUFFIX}`;
      throw pathFailure('write to', path, cause);
    }
  }
}
