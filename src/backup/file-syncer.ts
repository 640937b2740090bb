import { open } from 'node:fs/promises';
import { pathFailure } from './system-reason.js';

/** Node's pool for files has four threads, unless told otherwise; one is left for whoever writes WAL. */
const MAX_RUNNING = 3;

/** What is to survive a crash, waiting for the disk. */
interface WaitingPath {
  /** What the system gets; `shownPath` is what a person does. */
  readonly path: string | Buffer;
  readonly shownPath: string;
}

/**
 * Makes files and folders survive a crash while others are still being written. Several at a time, because a file
 * system commits what waits for it together, and one after the other would wait for every commit alone.
 */
export class FileSyncer {
  readonly #waiting: WaitingPath[] = [];
  #next = 0;
  #running = 0;
  #failure: unknown;
  #settle: (() => void) | undefined;

  /** Everything was written to it. Windows knows no such thing for folders. */
  add(path: string | Buffer, shownPath: string, kind: 'file' | 'directory'): void {
    if (process.platform === 'win32' && kind === 'directory') return;
    this.#waiting.push({ path, shownPath });
    if (this.#running < MAX_RUNNING) void this.#run();
  }

  /** Resolves when everything that was added is safe. BackupError names the first that cannot be made so. */
  async done(): Promise<void> {
    if (this.#running > 0) {
      await new Promise<void>((resolve) => {
        this.#settle = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #run(): Promise<void> {
    this.#running++;
    while (this.#next < this.#waiting.length && this.#failure === undefined) {
      const { path, shownPath } = this.#waiting[this.#next++];
      try {
        await sync(path);
      } catch (cause) {
        this.#failure ??= pathFailure('sync', shownPath, cause);
      }
    }
    this.#running--;
    if (this.#running === 0) this.#settle?.();
  }
}

async function sync(path: string | Buffer): Promise<void> {
  const file = await open(path, process.platform === 'win32' ? 'r+' : 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
