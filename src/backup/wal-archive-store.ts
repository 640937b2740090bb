import { type FileHandle, open } from 'node:fs/promises';
import { basename } from 'node:path';
import { BackupError } from '../errors.js';
import { indexArchive } from './archive-index.js';
import type { BackupPositions } from './backup-layout.js';
import { writeAll, ZEROS } from './durable-write.js';
import { findMissingWal } from './missing-wal.js';
import { pathFailure } from './system-reason.js';
import { encodeTarHeader, TAR_BLOCK_BYTES, TAR_TRAILER_BLOCKS, tarPaddingBytes } from './tar-header.js';
import { segmentName, segmentStart, type WalSegment } from './wal-segment.js';
import { doneMark, type WalStore } from './wal-store.js';
import type { WalWriter } from './wal-writer.js';

export const WAL_ARCHIVE_NAME = 'pg_wal.tar';

/** The `pg_wal.tar` of a backup in tar format: segments and what belongs to them, one behind the other. */
export class WalArchiveStore implements WalStore {
  readonly #path: string;
  readonly #segmentBytes: number;
  readonly #mode: number;
  #file: FileHandle | undefined;
  #size = 0;
  /** Bytes that the segment still lacks which is being written. */
  #segmentLeft = 0;

  constructor(path: string, segmentBytes: number, mode: number) {
    this.#path = path;
    this.#segmentBytes = segmentBytes;
    this.#mode = mode;
  }

  begin(start: WalSegment): WalWriter {
    return new ArchivedSegments(this, start, this.#segmentBytes);
  }

  async keepHistory(name: string, content: string): Promise<void> {
    await this.member(name, Buffer.from(content));
    await this.member(doneMark(name), Buffer.alloc(0));
  }

  async finish(sync: boolean): Promise<void> {
    await this.#fillUp();
    await this.#append(Buffer.alloc(TAR_TRAILER_BLOCKS * TAR_BLOCK_BYTES));
    if (sync) await this.#guarded('sync', async () => this.#file?.sync());
    await this.#guarded('close', () => this.close());
  }

  async findMissing(positions: BackupPositions): Promise<BackupError | undefined> {
    const { members, problem } = await this.#guarded('read', () => indexArchive(this.#path));
    const name = basename(this.#path);
    if (problem !== undefined) return new BackupError(`${name} cannot be read: ${problem}`, { path: name });
    const found = new Map(members.map(({ path, size }) => [`pg_wal/${path}`, { size }]));
    return findMissingWal(found, this.#segmentBytes, positions);
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** A whole file. */
  async member(path: string, content: Buffer): Promise<void> {
    await this.#fillUp();
    const padding = Buffer.alloc(tarPaddingBytes(content.length));
    await this.#append(Buffer.concat([encodeTarHeader(path, content.length, this.#mode), content, padding]));
  }

  /** The beginning of a segment, whose bytes follow. */
  async beginSegment(segment: WalSegment): Promise<void> {
    await this.#fillUp();
    const name = segmentName(segment, this.#segmentBytes);
    await this.#append(encodeTarHeader(name, this.#segmentBytes, this.#mode));
    this.#segmentLeft = this.#segmentBytes;
  }

  async appendToSegment(bytes: Buffer): Promise<void> {
    await this.#append(bytes);
    this.#segmentLeft -= bytes.length;
  }

  /** A segment that ends before its time has zeros for the rest. */
  async #fillUp(): Promise<void> {
    while (this.#segmentLeft > 0) await this.appendToSegment(ZEROS.subarray(0, this.#segmentLeft));
  }

  async #append(bytes: Buffer): Promise<void> {
    await this.#guarded('write to', async () => {
      this.#file ??= await this.#create();
      await writeAll(this.#file, bytes, this.#size);
    });
    this.#size += bytes.length;
  }

  async #create(): Promise<FileHandle> {
    const file = await open(this.#path, 'wx', this.#mode);
    await file.chmod(this.#mode);
    return file;
  }

  async #guarded<T>(action: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      throw pathFailure(action, this.#path, cause);
    }
  }
}

/** Segments of one timeline in the archive; the last is filled up with zeros when it is closed. */
class ArchivedSegments implements WalWriter {
  readonly #archive: WalArchiveStore;
  readonly #timeline: number;
  readonly #segmentBytes: number;
  #writtenLsn: bigint;
  #flushedLsn: bigint;

  constructor(archive: WalArchiveStore, { timeline, startLsn }: WalSegment, segmentBytes: number) {
    this.#archive = archive;
    this.#timeline = timeline;
    this.#segmentBytes = segmentBytes;
    this.#writtenLsn = startLsn;
    this.#flushedLsn = startLsn;
  }

  get writtenLsn(): bigint {
    return this.#writtenLsn;
  }

  get flushedLsn(): bigint {
    return this.#flushedLsn;
  }

  async write(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const offset = Number(this.#writtenLsn % BigInt(this.#segmentBytes));
      const count = Math.min(bytes.length - at, this.#segmentBytes - offset);
      if (offset === 0) await this.#archive.beginSegment(this.#segment());
      await this.#archive.appendToSegment(bytes.subarray(at, at + count));
      const complete = offset + count === this.#segmentBytes;
      if (complete) await this.#archive.member(doneMark(segmentName(this.#segment(), this.#segmentBytes)), NO_BYTES);
      this.#writtenLsn += BigInt(count);
      if (complete) this.#flushedLsn = this.#writtenLsn;
      at += count;
    }
  }

  async sync(): Promise<void> {
    this.#flushedLsn = this.#writtenLsn;
  }

  /** The archive fills the last one up. */
  async close(): Promise<void> {}

  /** The one that is being written. */
  #segment(): WalSegment {
    return { timeline: this.#timeline, startLsn: segmentStart(this.#writtenLsn, this.#segmentBytes) };
  }
}

const NO_BYTES = Buffer.alloc(0);
