import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isSegmentName } from './wal-segment.js';

/** A segment file, or a stretch of an archive that holds one. */
export interface WalSegmentFile {
  readonly byteCount: number;
  /** Fills `buffer` from `position` on as far as there are bytes; how many. */
  read(buffer: Buffer, position: number): Promise<number>;
  close(): Promise<void>;
}

/** Where segments are found by name. */
export interface WalSource {
  /** One of the segments, which tells how large they all are; `undefined` when there is none. */
  anySegment(): Promise<string | undefined>;
  /** `undefined` when there is no such segment. */
  open(name: string): Promise<WalSegmentFile | undefined>;
}

/** A `pg_wal` folder, or one like it. */
export class WalDirectory implements WalSource {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async anySegment(): Promise<string | undefined> {
    const names = await readdir(this.#path);
    return names.filter(isSegmentName).sort()[0];
  }

  async open(name: string): Promise<WalSegmentFile | undefined> {
    const file = await openIfThere(join(this.#path, name));
    if (file === undefined) return undefined;
    const { size } = await file.stat();
    return new StretchOfFile(file, 0, size);
  }
}

/** Where a file lies in an archive that is not compressed. */
export interface ArchiveStretch {
  readonly archivePath: string;
  readonly offset: number;
  readonly byteCount: number;
}

/** Segments inside of tar archives. */
export class WalArchive implements WalSource {
  readonly #segments: ReadonlyMap<string, ArchiveStretch>;

  constructor(segments: ReadonlyMap<string, ArchiveStretch>) {
    this.#segments = segments;
  }

  async anySegment(): Promise<string | undefined> {
    return [...this.#segments.keys()].filter(isSegmentName).sort()[0];
  }

  async open(name: string): Promise<WalSegmentFile | undefined> {
    const stretch = this.#segments.get(name);
    if (stretch === undefined) return undefined;
    const { archivePath, offset, byteCount } = stretch;
    return new StretchOfFile(await open(archivePath, 'r'), offset, byteCount);
  }
}

class StretchOfFile implements WalSegmentFile {
  readonly byteCount: number;
  readonly #file: FileHandle;
  readonly #offset: number;

  constructor(file: FileHandle, offset: number, byteCount: number) {
    this.#file = file;
    this.#offset = offset;
    this.byteCount = byteCount;
  }

  async read(buffer: Buffer, position: number): Promise<number> {
    const wanted = Math.max(Math.min(buffer.length, this.byteCount - position), 0);
    let filled = 0;
    while (filled < wanted) {
      const { bytesRead } = await this.#file.read(buffer, filled, wanted - filled, this.#offset + position + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return filled;
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
