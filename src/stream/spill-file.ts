import { type FileHandle, open, rm } from 'node:fs/promises';
import { SpillError } from '../errors.js';
import type { PackedBatch } from '../pgoutput/packed-batch.js';

/** Where in the file a stretch of packed events lies. Not in the file itself: nobody else is to read it. */
interface Extent {
  readonly offset: number;
  readonly indexBytes: number;
  readonly dataBytes: number;
  readonly checksum: number;
}

/** Packed events of one transaction on disk: appended to, read in order, removed. Only the owner may read it. */
export class SpillFile {
  readonly path: string;
  readonly #extents: Extent[] = [];
  #created = false;
  #byteCount = 0;

  constructor(path: string) {
    this.path = path;
  }

  get byteCount(): number {
    return this.#byteCount;
  }

  /** Writes the stretches behind those before. SpillError; then the file holds what it held before. */
  async append(stretches: readonly PackedBatch[]): Promise<void> {
    const { crc32c } = await import('@node-rs/crc32');
    const extents: Extent[] = [];
    const buffers: Uint8Array[] = [];
    let offset = this.#byteCount;
    for (const { index, data } of stretches) {
      const words = new Uint8Array(index.buffer, index.byteOffset, index.byteLength);
      extents.push({
        offset,
        indexBytes: words.length,
        dataBytes: data.length,
        checksum: crc32c(data, crc32c(words)),
      });
      buffers.push(words, data);
      offset += words.length + data.length;
    }
    try {
      // Opened anew each time: thousands of transactions may be in progress. `wx` follows no link that waits there.
      await using file = await open(this.path, this.#created ? 'r+' : 'wx', 0o600);
      this.#created = true;
      await writeAll(file, buffers, this.#byteCount);
    } catch (cause) {
      throw new SpillError(`cannot write to ${this.path}: ${reasonOf(cause)}`, { path: this.path, cause });
    }
    this.#extents.push(...extents);
    this.#byteCount = offset;
  }

  /** The stretches in order, each in memory of its own. SpillError when they are not what was written. */
  async *read(): AsyncGenerator<PackedBatch, void, undefined> {
    if (this.#extents.length === 0) return;
    await using file = await this.#open();
    for (const extent of this.#extents) yield await this.#readExtent(file, extent);
  }

  /** Removing what is not there is no error. */
  async remove(): Promise<void> {
    await rm(this.path, { force: true });
  }

  async #open(): Promise<FileHandle> {
    try {
      return await open(this.path, 'r');
    } catch (cause) {
      throw new SpillError(`cannot read ${this.path}: ${reasonOf(cause)}`, { path: this.path, cause });
    }
  }

  async #readExtent(file: FileHandle, { offset, indexBytes, dataBytes, checksum }: Extent): Promise<PackedBatch> {
    const { crc32c } = await import('@node-rs/crc32');
    const bytes = new Uint8Array(indexBytes + dataBytes);
    let filled = 0;
    try {
      while (filled < bytes.length) {
        const wanted = Math.min(bytes.length - filled, MAX_READ_BYTES);
        const { bytesRead } = await file.read(bytes, filled, wanted, offset + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
    } catch (cause) {
      throw new SpillError(`cannot read ${this.path}: ${reasonOf(cause)}`, { path: this.path, cause });
    }
    if (filled < bytes.length || crc32c(bytes) !== checksum) {
      throw new SpillError(`${this.path} was changed or damaged at offset ${offset}`, { path: this.path });
    }
    return { index: new Uint32Array(bytes.buffer, 0, indexBytes / 4), data: bytes.subarray(indexBytes) };
  }
}

/** Node refuses reads of 2 GiB and more. */
const MAX_READ_BYTES = 1024 * 1024 * 1024;

/** A short write is taken up where it ended: that a disk is full shows only with the next one. */
async function writeAll(file: FileHandle, buffers: Uint8Array[], start: number): Promise<void> {
  let position = start;
  let rest = buffers.filter((buffer) => buffer.length > 0);
  while (rest.length > 0) {
    const some = rest.slice(0, MAX_WRITE_BUFFERS);
    const { bytesWritten } = await file.writev(some, position);
    position += bytesWritten;
    rest = withoutFirst(rest, bytesWritten);
  }
}

/** IOV_MAX. */
const MAX_WRITE_BUFFERS = 1024;

function withoutFirst(buffers: readonly Uint8Array[], byteCount: number): Uint8Array[] {
  let left = byteCount;
  for (const [position, buffer] of buffers.entries()) {
    if (left < buffer.length) return [buffer.subarray(left), ...buffers.slice(position + 1)];
    left -= buffer.length;
  }
  return [];
}

/** `ENOSPC`, or what else the system says. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'failed';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}
