import {
  appendFileSync,
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  type PathLike,
  readSync,
  renameSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { pathFailure } from './system-reason.js';

/* Files written by threads that have nothing else to do, and may block. */

/** For a file that must not be there yet. `O_NOFOLLOW` is not there on Windows, where links need a privilege. */
export const CREATE_EXCLUSIVELY =
  constants.O_CREAT | constants.O_EXCL | ((constants.O_NOFOLLOW as number | undefined) ?? 0);

const PIECE_BYTES = 64 * 1024;

/** Runs calls of the file system; what they throw becomes a {@link BackupError} with the path and the system's error. */
export function onPath<T>(path: string, action: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw pathFailure(action, path, cause);
  }
}

/** A file that was not there before, written from start to end. */
export class NewFile {
  readonly #path: string;
  readonly #descriptor: number;
  #size = 0;

  /** `path` is what the system gets, `shownPath` what a person does. The mode is exact, whatever the umask. */
  constructor(path: PathLike, mode: number, shownPath: string, { syncedLater = false } = {}) {
    this.#path = shownPath;
    this.#descriptor = onPath(shownPath, 'create', () => {
      const descriptor = openSync(path, constants.O_WRONLY | CREATE_EXCLUSIVELY, mode);
      fchmodSync(descriptor, mode);
      // Changes nothing but this: when a file that was truncated is closed, ext4 begins to write it to the disk. So
      // there is less to wait for later; pg_basebackup asks for the same with sync_file_range, which Node.js has not.
      if (syncedLater) ftruncateSync(descriptor, 0);
      return descriptor;
    });
  }

  get size(): number {
    return this.#size;
  }

  write(bytes: Uint8Array): void {
    onPath(this.#path, 'write to', () => {
      // A disk that is nearly full takes a part first.
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#descriptor, bytes, at, bytes.length - at);
    });
    this.#size += bytes.length;
  }

  close(sync: boolean): void {
    onPath(this.#path, 'close', () => {
      try {
        if (sync) fsyncSync(this.#descriptor);
      } finally {
        closeSync(this.#descriptor);
      }
    });
  }
}

export function makeDirectory(path: PathLike, mode: number, shownPath: string): void {
  onPath(shownPath, 'create', () => {
    mkdirSync(path, { mode });
    const descriptor = openSync(path, constants.O_RDONLY);
    try {
      fchmodSync(descriptor, mode);
    } finally {
      closeSync(descriptor);
    }
  });
}

export function makeLink(path: string, target: string): void {
  onPath(path, 'create', () => symlinkSync(target, path));
}

export function appendToFile(path: string, text: string): void {
  onPath(path, 'write to', () => appendFileSync(path, text));
}

/** Makes a file or folder survive a crash. Windows has no such thing for folders. */
export function syncPath(path: PathLike, shownPath: string, kind: 'file' | 'directory'): void {
  if (process.platform === 'win32' && kind === 'directory') return;
  onPath(shownPath, 'sync', () => {
    const descriptor = openSync(path, process.platform === 'win32' ? 'r+' : 'r');
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  });
}

/** What is in a file; each piece must be done with before the next is asked for, and all of it when no more are. */
export function* filePieces(path: string): Generator<Buffer, void, undefined> {
  const descriptor = onPath(path, 'open', () => openSync(path, 'r'));
  const memory = Buffer.allocUnsafe(PIECE_BYTES);
  try {
    for (;;) {
      const count = onPath(path, 'read', () => readSync(descriptor, memory, 0, memory.length, null));
      if (count === 0) return;
      yield memory.subarray(0, count);
    }
  } finally {
    closeSync(descriptor);
  }
}

export function renameFile(from: string, to: string): void {
  onPath(to, 'rename to', () => renameSync(from, to));
}
