import { createHash } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { lstat, mkdir, readdir, rm, rmdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SpillError } from '../errors.js';
import { SpillFile } from './spill-file.js';

/** Whose spilled transactions these are. */
export interface SpillOwner {
  readonly systemIdentifier: string;
  readonly slot: string;
}

/** How often a folder is made when another stream of the slot ends, and takes the one around it away, at that moment. */
const MAX_ATTEMPTS = 10;

/** Folders that streams of this process have. */
const ofThisProcess = new Set<string>();

/**
 * The spilled transactions of one stream: in a folder of its own, within that of its slot. Mostly a slot is streamed by one
 * connection at a time; but a standby has the slots of its primary, and a process that has lost its slot to another may
 * still read. The folder is made when something is spilled and removed with the stream; what a process left that crashed
 * is removed when the slot is streamed again.
 */
export class SpillDirectory {
  /** Of the slot. */
  readonly path: string;
  readonly #parent: string;
  #own: Promise<string> | undefined;
  #nextFile = 0;

  constructor(parent: string, owner: SpillOwner) {
    this.#parent = parent;
    this.path = join(parent, nameOf(owner));
  }

  /** Removes what processes left that are gone. */
  async clear(): Promise<void> {
    await this.#check(this.#parent);
    await this.#check(this.path);
    const names = await readdir(this.path).catch((): string[] => []);
    if (names.length === 0) return;
    for (const path of names.map((name) => join(this.path, name))) if (!isInUse(path)) await this.#remove(path);
    await this.#leave();
  }

  /** A file that is not there yet. SpillError when the folder cannot be made. */
  async newFile(): Promise<SpillFile> {
    this.#own ??= this.#make();
    const own = await this.#own;
    return new SpillFile(join(own, `${this.#nextFile++}.spill`));
  }

  /** Removes the folder with everything in it. */
  async close(): Promise<void> {
    const own = await this.#own?.catch(() => undefined);
    this.#own = undefined;
    if (own === undefined) return;
    ofThisProcess.delete(own);
    await this.#remove(own);
    await this.#leave();
  }

  async #make(): Promise<string> {
    for (let attempt = 1; ; attempt++) {
      try {
        await mkdir(this.#parent, { recursive: true, mode: 0o700 });
        await this.#check(this.#parent);
        await mkdir(this.path, { recursive: true, mode: 0o700 });
        await this.#check(this.path);
        // Synchronous, so that no other stream of this process finds it before it is known.
        const own = mkdtempSync(join(this.path, `${process.pid}-`));
        ofThisProcess.add(own);
        return own;
      } catch (cause) {
        if (cause instanceof SpillError) throw cause;
        if ((cause as NodeJS.ErrnoException).code === 'ENOENT' && attempt < MAX_ATTEMPTS) continue;
        throw new SpillError(`cannot make ${this.path} to spill transactions to`, { path: this.path, cause });
      }
    }
  }

  /** In a folder that others may write to, somebody else could have put a link or a folder of theirs under our name. */
  async #check(path: string): Promise<void> {
    const found = await lstat(path).catch(() => undefined);
    if (found === undefined) return;
    const uid = process.getuid?.();
    // A folder that root made for the service is trusted, like all that root does.
    const trusted = found.isDirectory() && (uid === undefined || found.uid === uid || found.uid === 0);
    if (trusted) return;
    throw new SpillError(`${path} is no folder of this user: name another as spill.directory`, { path });
  }

  async #remove(path: string): Promise<void> {
    try {
      await rm(path, { recursive: true, force: true });
    } catch (cause) {
      throw new SpillError(`cannot remove ${path}, which holds spilled transactions`, { path, cause });
    }
  }

  /** The slot's folder goes with the last that used it. */
  async #leave(): Promise<void> {
    await rmdir(this.path).catch(() => {});
  }
}

/** Whether a stream that runs has the folder, whose name begins with the number of its process. */
function isInUse(path: string): boolean {
  const pid = Number(/^(\d+)-/.exec(basename(path))?.[1]);
  // In a container the process before this one may have had the same number.
  return pid === process.pid ? ofThisProcess.has(path) : !Number.isNaN(pid) && isRunning(pid);
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // It is another user's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Slot names are short and plain, but a hash cannot be mistaken for another slot's on any file system. */
function nameOf({ systemIdentifier, slot }: SpillOwner): string {
  const hash = createHash('sha256').update(`${systemIdentifier}/${slot}`).digest('hex').slice(0, 12);
  return `${slot}-${hash}`;
}
