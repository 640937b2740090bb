import type { PathLike } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { pathFailure } from './system-reason.js';

/* What durable-file.ts does, for the thread that reads sockets, which must not block. */

/** Runs calls of the file system; what they throw becomes a {@link BackupError} with the path and the system's error. */
export async function onPathAsync<T>(path: string, action: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    throw pathFailure(action, path, cause);
  }
}

export const ZEROS = Buffer.alloc(1024 * 1024);

/** Writes a file that appears whole and safe, or not at all. */
export async function writeDurably(directory: string, name: string, content: string, mode: number): Promise<void> {
  const path = join(directory, name);
  await onPathAsync(path, 'write to', async () => {
    await using file = await open(`${path}.tmp`, 'w', mode);
    await file.writeFile(content);
    await file.sync();
    await rename(`${path}.tmp`, path);
    await syncFolder(directory);
  });
}

/** A short write is taken up where it ended: that a disk is full shows only with the next one. */
export async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at);
    at += bytesWritten;
  }
}

/** Makes names safe. Windows has no such thing. */
export async function syncFolder(path: PathLike): Promise<void> {
  if (process.platform === 'win32') return;
  await using folder = await open(path, 'r');
  await folder.sync();
}

/** Makes the file at `path` safe, also one that its owner may not write to. Windows syncs only what is open for writing. */
export async function syncFile(path: PathLike): Promise<void> {
  await using file = await open(path, process.platform === 'win32' ? 'r+' : 'r');
  await file.sync();
}

/** Writes a file that was not there before; it is not synced. The mode is exact, whatever the umask. */
export async function writeNewFile(path: string, content: string, mode: number): Promise<void> {
  await onPathAsync(path, 'write to', async () => {
    await using file = await open(path, 'wx', mode);
    await file.chmod(mode);
    await file.writeFile(content);
  });
}
