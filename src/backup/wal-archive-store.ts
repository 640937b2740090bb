import { basename, join } from 'node:path';
import { BackupError } from '../errors.js';
import { indexArchive } from './archive-index.js';
import { COMPRESSION_SUFFIXES, type ResolvedCompression } from './backup-compression.js';
import type { BackupPositions } from './backup-layout.js';
import { readCompressedArchive } from './compressed-archive.js';
import { onPathAsync, ZEROS } from './durable-write.js';
import { findMissingWal } from './missing-wal.js';
import { encodeTarHeader, TAR_BLOCK_BYTES, TAR_TRAILER_BLOCKS, type TarMember, tarPaddingBytes } from './tar-header.js';
import { WalArchiveFile } from './wal-archive-file.js';
import { segmentName, segmentStart, type WalSegment } from './wal-segment.js';
import { doneMark, type WalStore } from './wal-store.js';
import type { WalWriter } from './wal-writer.js';

const WAL_ARCHIVE_NAME = 'pg_wal.tar';

/**
 * The `pg_wal.tar` of a backup in tar format: segments and what belongs to them, one behind the other. `pg_wal.tar.gz` where it
 * is compressed.
 */
export class WalArchiveStore implements WalStore {
  readonly #path: string;
  readonly #segmentBytes: number;
  readonly #mode: number;
  readonly #compression: ResolvedCompression | undefined;
  readonly #file: WalArchiveFile;
  /** Bytes that the segment still lacks which is being written. */
  #segmentLeft = 0;

  /** In `directory`; `compression`: how it is compressed here. */
  constructor(directory: string, segmentBytes: number, mode: number, compression: ResolvedCompression | undefined) {
    const suffix = compression === undefined ? '' : COMPRESSION_SUFFIXES[compression.method];
    this.#path = join(directory, WAL_ARCHIVE_NAME + suffix);
    this.#segmentBytes = segmentBytes;
    this.#mode = mode;
    this.#compression = compression;
    this.#file = new WalArchiveFile(this.#path, mode, compression);
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
    await this.#file.append(Buffer.alloc(TAR_TRAILER_BLOCKS * TAR_BLOCK_BYTES));
    await this.#file.finish(sync);
  }

  async findMissing(positions: BackupPositions): Promise<BackupError | undefined> {
    const members = await onPathAsync(this.#path, 'read', () => this.#list());
    const found = new Map(members.map(({ path, size }) => [`pg_wal/${path}`, { size }]));
    return findMissingWal(found, this.#segmentBytes, positions);
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  /** A whole file. */
  async member(path: string, content: Buffer): Promise<void> {
    await this.#fillUp();
    const padding = Buffer.alloc(tarPaddingBytes(content.length));
    await this.#file.append(Buffer.concat([encodeTarHeader(path, content.length, this.#mode), content, padding]));
  }

  /** The beginning of a segment, whose bytes follow. */
  async beginSegment(segment: WalSegment): Promise<void> {
    await this.#fillUp();
    const name = segmentName(segment, this.#segmentBytes);
    await this.#file.append(encodeTarHeader(name, this.#segmentBytes, this.#mode));
    this.#segmentLeft = this.#segmentBytes;
  }

  async appendToSegment(bytes: Buffer): Promise<void> {
    await this.#file.append(bytes);
    this.#segmentLeft -= bytes.length;
  }

  /** A segment that ends before its time has zeros for the rest. */
  async #fillUp(): Promise<void> {
    while (this.#segmentLeft > 0) await this.appendToSegment(ZEROS.subarray(0, this.#segmentLeft));
  }

  /** What is in the archive, which must be whole. */
  async #list(): Promise<readonly TarMember[]> {
    if (this.#compression !== undefined) {
      const members: TarMember[] = [];
      await readCompressedArchive(this.#path, this.#compression.method, {
        onMember: (member) => members.push(member),
        onContent: () => {},
        onMemberEnd: () => {},
      });
      return members;
    }
    const { members, problem } = await indexArchive(this.#path);
    const name = basename(this.#path);
    if (problem !== undefined) throw new BackupError(`${name} cannot be read: ${problem}`, { path: name });
    return members;
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
