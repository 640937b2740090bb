import { onPathAsync, syncFile, syncFolder } from './durable-write.js';

/** Node's pool for files has four threads, unless told otherwise; one is left for whoever writes WAL. */
const MAX_RUNNING = 3;
/** Paths beyond which whoever adds them is to wait, and how many are left when it may go on. */
const MAX_WAITING = 1024;
const RESUME_WAITING = 512;

/** What is to survive a crash, waiting for the disk. */
interface WaitingPath {
  /** What the system gets; `shownPath` is what a person does. */
  readonly path: string | Buffer;
  readonly shownPath: string;
  readonly kind: 'file' | 'directory';
}

/**
 * Makes files and folders survive a crash while others are still being written. Several at a time, because a file
 * system commits what waits for it together, and one after the other would wait for every commit alone.
 */
export class FileSyncer {
  readonly #waiting: WaitingPath[] = [];
  #running = 0;
  #failure: unknown;
  /** Told when no more than `paths` wait, or nothing is done any more. */
  #watch: { readonly paths: number; readonly tell: () => void } | undefined;

  /** Everything was written to it. Windows knows no such thing for folders. */
  add(path: string | Buffer, shownPath: string, kind: 'file' | 'directory'): void {
    if (this.#failure !== undefined) return;
    this.#waiting.push({ path, shownPath, kind });
    if (this.#running < MAX_RUNNING) void this.#run();
  }

  /** When there is room for more: at once, unless very many wait. BackupError, as {@link done}. */
  room(): Promise<void> | undefined {
    return this.#waiting.length > MAX_WAITING ? this.#until(RESUME_WAITING) : undefined;
  }

  /** Resolves when everything that was added is safe. BackupError names the first that cannot be made so. */
  async done(): Promise<void> {
    if (this.#running > 0) await this.#until(-1);
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #until(paths: number): Promise<void> {
    await new Promise<void>((tell) => {
      this.#watch = { paths, tell };
    });
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #run(): Promise<void> {
    this.#running++;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const { path, shownPath, kind } = next;
      try {
        await onPathAsync(shownPath, 'sync', () => (kind === 'file' ? syncFile(path) : syncFolder(path)));
      } catch (failure) {
        this.#failure ??= failure;
        this.#waiting.length = 0;
      }
      this.#look();
    }
    this.#running--;
    this.#look();
  }

  #look(): void {
    const watch = this.#watch;
    if (watch === undefined || (this.#running > 0 && this.#waiting.length > watch.paths)) return;
    this.#watch = undefined;
    watch.tell();
  }
}
