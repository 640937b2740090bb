import { type FileHandle, open } from 'node:fs/promises';
import { ArchiveCodec } from './archive-codec.js';
import type { ResolvedCompression } from './backup-compression.js';
import { onPathAsync, writeAll } from './durable-write.js';

/** The file that an archive of WAL goes to as it comes. Written for the thread that reads sockets, which must not block. */
export class WalArchiveFile {
  readonly #path: string;
  readonly #mode: number;
  readonly #codec: ArchiveCodec | undefined;
  /** Compressed, and not written yet: no more than comes of one {@link append}. */
  #compressed: Buffer[] = [];
  #file: FileHandle | undefined;
  #size = 0;

  /** Made with the first bytes; `compression`: how they are compressed here. The mode is exact, whatever the umask. */
  constructor(path: string, mode: number, compression: ResolvedCompression | undefined) {
    this.#path = path;
    this.#mode = mode;
    this.#codec = compression && ArchiveCodec.compress(path, compression, (bytes) => this.#compressed.push(bytes));
  }

  /** The bytes are used when it resolves. */
  async append(bytes: Buffer): Promise<void> {
    if (this.#codec === undefined) return this.#write(bytes);
    await this.#codec.push(bytes);
    await this.#writeCompressed();
  }

  /** Nothing more comes: everything survives a crash afterwards, if `sync`. */
  async finish(sync: boolean): Promise<void> {
    await this.#codec?.end();
    await this.#writeCompressed();
    if (sync) await onPathAsync(this.#path, 'sync', async () => this.#file?.sync());
    await onPathAsync(this.#path, 'close', () => this.close());
  }

  /** Lets go of it; one that was not finished ends where it was. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    this.#codec?.close();
    await file?.close();
  }

  async #writeCompressed(): Promise<void> {
    const pieces = this.#compressed;
    this.#compressed = [];
    for (const bytes of pieces) await this.#write(bytes);
  }

  async #write(bytes: Buffer): Promise<void> {
    await onPathAsync(this.#path, 'write to', async () => {
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
}
