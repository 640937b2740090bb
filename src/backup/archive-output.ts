import { join } from 'node:path';
import { ArchiveCodec } from './archive-codec.js';
import { COMPRESSION_SUFFIXES, type ResolvedCompression } from './backup-compression.js';
import { type ArchiveTarget, type BackupLayout, modesOf } from './backup-layout.js';
import { NewFile } from './durable-file.js';

/** Where the bytes of an archive in tar format go. */
export interface ArchiveOutput {
  /** The bytes must not change until they are {@link drained}. */
  write(bytes: Uint8Array): void;
  /** When everything that was written is used. */
  drained(): Promise<void> | undefined;
  close(sync: boolean): Promise<void> | undefined;
}

/** The file of an archive; compressed if the layout wants it compressed here. */
export function openArchive(layout: BackupLayout, target: ArchiveTarget): ArchiveOutput {
  const { compression } = layout;
  if (compression?.location !== 'client') return new ArchiveFile(newArchiveFile(layout, target));
  return new CompressedArchiveFile(newArchiveFile(layout, target), target.name, compression);
}

/** Named with the suffix of its compression, whoever compresses it. */
export function newArchiveFile(layout: BackupLayout, target: ArchiveTarget): NewFile {
  const { directory, compression } = layout;
  const suffix = compression === undefined ? '' : COMPRESSION_SUFFIXES[compression.method];
  const path = join(directory, target.name + suffix);
  return new NewFile(path, modesOf(layout).file, path);
}

class ArchiveFile implements ArchiveOutput {
  readonly #file: NewFile;

  constructor(file: NewFile) {
    this.#file = file;
  }

  write(bytes: Uint8Array): void {
    this.#file.write(bytes);
  }

  drained(): undefined {}

  close(sync: boolean): undefined {
    this.#file.close(sync);
  }
}

class CompressedArchiveFile implements ArchiveOutput {
  readonly #file: NewFile;
  readonly #codec: ArchiveCodec;
  #pending: Uint8Array[] = [];

  constructor(file: NewFile, name: string, compression: ResolvedCompression) {
    this.#file = file;
    this.#codec = ArchiveCodec.compress(name, compression, (bytes) => file.write(bytes));
  }

  write(bytes: Uint8Array): void {
    this.#pending.push(bytes);
  }

  async drained(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    for (const bytes of pending) await this.#codec.push(bytes);
  }

  async close(sync: boolean): Promise<void> {
    await this.drained();
    await this.#codec.end();
    this.#file.close(sync);
  }
}

/** For archives that are only looked into. */
export const NO_OUTPUT: ArchiveOutput = {
  write: () => {},
  drained: () => undefined,
  close: () => undefined,
};
