import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { BackupError } from '../errors.js';
import type { BackupPositions } from './backup-layout.js';
import { onPathAsync, syncFile, syncFolder, writeNewFile } from './durable-write.js';
import { findMissingWal } from './missing-wal.js';
import { SegmentWriter } from './segment-writer.js';
import type { WalSegment } from './wal-segment.js';
import { ARCHIVE_STATUS, doneMark, type WalStore } from './wal-store.js';
import type { WalWriter } from './wal-writer.js';

/** The `pg_wal` of a backup in plain format. */
export class WalFolderStore implements WalStore {
  readonly #directory: string;
  readonly #folders: readonly string[];
  readonly #segmentBytes: number;
  readonly #mode: number;

  /** `folders` are {@link walFoldersOf}, and are there. */
  constructor(folders: readonly string[], segmentBytes: number, mode: number) {
    this.#directory = folders[0] ?? '';
    this.#folders = folders;
    this.#segmentBytes = segmentBytes;
    this.#mode = mode;
  }

  begin(start: WalSegment): WalWriter {
    return new SegmentWriter({
      ...start,
      directory: this.#directory,
      segmentBytes: this.#segmentBytes,
      naming: 'new',
      mode: this.#mode,
      onComplete: (name) => this.#write(doneMark(name), ''),
    });
  }

  async keepHistory(name: string, content: string): Promise<void> {
    await this.#write(name, content);
    await this.#write(doneMark(name), '');
  }

  async finish(sync: boolean): Promise<void> {
    if (!sync) return;
    for (const folder of this.#folders) {
      for (const { name, path, isFile } of await this.#list(folder)) {
        if (isFile) await onPathAsync(join(folder, name), 'sync', () => syncFile(path));
      }
      await onPathAsync(folder, 'sync', () => syncFolder(folder));
    }
  }

  async findMissing(positions: BackupPositions): Promise<BackupError | undefined> {
    const files = await this.#list(this.#directory);
    const found = new Map(files.map(({ name, size }) => [`pg_wal/${name}`, { size }]));
    return findMissingWal(found, this.#segmentBytes, positions);
  }

  async close(): Promise<void> {}

  #write(name: string, content: string): Promise<void> {
    return writeNewFile(join(this.#directory, name), content, this.#mode);
  }

  #list(folder: string) {
    return onPathAsync(folder, 'read', async () =>
      Promise.all(
        (await readdir(folder)).map(async (name) => {
          const path = join(folder, name);
          const status = await stat(path);
          return { name, path, size: status.size, isFile: status.isFile() };
        }),
      ),
    );
  }
}

/** Folders of the WAL in a data directory: first that of the segments, then that of the marks. */
export function walFoldersOf(directory: string): readonly string[] {
  return [join(directory, 'pg_wal'), join(directory, 'pg_wal', ARCHIVE_STATUS)];
}
