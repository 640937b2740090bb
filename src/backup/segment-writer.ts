import { constants } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { CREATE_EXCLUSIVELY } from './durable-file.js';
import { onPathAsync, syncFolder, writeAll, ZEROS } from './durable-write.js';
import { PARTIAL_SUFFIX } from './wal-resume.js';
import { segmentName, segmentStart, type WalSegment } from './wal-segment.js';
import type { WalWriter } from './wal-writer.js';

export const SEGMENT_MODE = 0o600;

export interface SegmentWriterOptions extends WalSegment {
  readonly directory: string;
  readonly segmentBytes: number;
  /**
   * `partial`: a segment is called `.partial` until it is complete, and gets its own name only when it is safely on
   * disk; what was left of an earlier run is written over. `new`: no file of its name is there, and nothing is synced.
   */
  readonly naming: 'partial' | 'new';
  /** Exact, whatever the umask. */
  readonly mode: number;
  /** A segment is complete and has its name. */
  readonly onComplete?: (name: string) => Promise<void>;
}

/** Writes received WAL into segment files like the server's, each filled with zeros first: so a full disk shows at once. */
export class SegmentWriter implements WalWriter {
  readonly #options: SegmentWriterOptions;
  #file: FileHandle | undefined;
  #name = '';
  #writtenLsn: bigint;
  #flushedLsn: bigint;

  /** `startLsn` is where a segment starts. */
  constructor(options: SegmentWriterOptions) {
    this.#options = options;
    this.#writtenLsn = options.startLsn;
    this.#flushedLsn = options.startLsn;
  }

  get writtenLsn(): bigint {
    return this.#writtenLsn;
  }

  get flushedLsn(): bigint {
    return this.#flushedLsn;
  }

  async write(bytes: Buffer): Promise<void> {
    const { segmentBytes, timeline } = this.#options;
    for (let at = 0; at < bytes.length; ) {
      const offset = Number(this.#writtenLsn % BigInt(segmentBytes));
      const piece = bytes.subarray(at, at + segmentBytes - offset);
      const startLsn = segmentStart(this.#writtenLsn, segmentBytes);
      this.#name = segmentName({ timeline, startLsn }, segmentBytes);
      await onPathAsync(this.#path, 'write to', () => this.#append(piece, offset));
      at += piece.length;
    }
  }

  sync(): Promise<void> {
    return onPathAsync(this.#path, 'write to', async () => {
      if (this.#options.naming === 'partial') await this.#file?.datasync();
      this.#flushedLsn = this.#writtenLsn;
    });
  }

  /** What is not complete keeps its `.partial`. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  get #path(): string {
    const { directory, naming } = this.#options;
    return join(directory, naming === 'partial' ? `${this.#name}${PARTIAL_SUFFIX}` : this.#name);
  }

  /** To the segment, which begins with it at offset 0 and may end with it. */
  async #append(bytes: Buffer, offset: number): Promise<void> {
    this.#file ??= await this.#open();
    await writeAll(this.#file, bytes, offset);
    this.#writtenLsn += BigInt(bytes.length);
    if (offset + bytes.length === this.#options.segmentBytes) await this.#complete(this.#file);
  }

  async #open(): Promise<FileHandle> {
    const { directory, segmentBytes, naming, mode } = this.#options;
    const creation = naming === 'new' ? CREATE_EXCLUSIVELY : constants.O_CREAT;
    const file = await open(this.#path, constants.O_RDWR | creation, mode);
    try {
      const { size } = await file.stat();
      if (size === 0) await file.chmod(mode);
      // One that was left when its zeros were written is filled anew: all of it comes again.
      if (size !== segmentBytes) {
        for (let at = 0; at < segmentBytes; at += ZEROS.length) await writeAll(file, ZEROS, at);
        if (size > segmentBytes) await file.truncate(segmentBytes);
        if (naming === 'partial') {
          await file.sync();
          await syncFolder(directory);
        }
      }
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async #complete(file: FileHandle): Promise<void> {
    const { directory, naming, onComplete } = this.#options;
    if (naming === 'partial') await file.sync();
    this.#file = undefined;
    await file.close();
    if (naming === 'partial') {
      await rename(this.#path, join(directory, this.#name));
      await syncFolder(directory);
    }
    await onComplete?.(this.#name);
    this.#flushedLsn = this.#writtenLsn;
  }
}
