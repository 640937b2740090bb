import { createHash } from 'node:crypto';
import { lstat, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SpillError } from '../errors.js';
import { SpillFile } from './spill-file.js';

/** Whose spilled transactions these are: a slot is streamed by one connection at a time. */
export interface SpillOwner {
  readonly systemIdentifier: string;
  readonly slot: string;
}

/**
 * The folder of one slot's spilled transactions. It is made when something is spilled and removed with the stream; what
 * a crashed process left of the same slot is removed when the slot is streamed again.
 */
export class SpillDirectory {
  readonly path: string;
  readonly #parent: string;
  #made: Promise<void> | undefined;
  #nextFile = 0;

  constructor(parent: string, owner: SpillOwner) {
    this.#parent = parent;
    this.path = join(parent, nameOf(owner));
  }

  /** Removes what an earlier process left. */
  async clear(): Promise<void> {
    await this.#checkParent();
    await this.#remove();
  }

  /** A file that is not there yet. SpillError when the folder cannot be made. */
  async newFile(): Promise<SpillFile> {
    this.#made ??= this.#make();
    await this.#made;
    return new SpillFile(join(this.path, `${this.#nextFile++}.spill`));
  }

  /** Removes the folder with everything in it. */
  async close(): Promise<void> {
    if (this.#made === undefined) return;
    await this.#made.catch(() => {});
    this.#made = undefined;
    await this.#remove();
  }

  async #make(): Promise<void> {
    try {
      await mkdir(this.#parent, { recursive: true, mode: 0o700 });
      await this.#checkParent();
      await mkdir(this.path, { mode: 0o700 });
    } catch (cause) {
      if (cause instanceof SpillError) throw cause;
      throw new SpillError(`cannot make ${this.path} to spill transactions to`, { path: this.path, cause });
    }
  }

  /** In a folder that others may write to, somebody else could have put a link or a folder of theirs under our name. */
  async #checkParent(): Promise<void> {
    const found = await lstat(this.#parent).catch(() => undefined);
    if (found === undefined) return;
    const uid = process.getuid?.();
    // A folder that root made for the service is trusted, like all that root does.
    const trusted = found.isDirectory() && (uid === undefined || found.uid === uid || found.uid === 0);
    if (trusted) return;
    throw new SpillError(`${this.#parent} is no folder of this user: name another as spill.directory`, {
      path: this.#parent,
    });
  }

  async #remove(): Promise<void> {
    try {
      await rm(this.path, { recursive: true, force: true });
    } catch (cause) {
      throw new SpillError(`cannot remove ${this.path}, which holds spilled transactions`, { path: this.path, cause });
    }
  }
}

/** Slot names are short and plain, but a hash cannot be mistaken for another slot's on any file system. */
function nameOf({ systemIdentifier, slot }: SpillOwner): string {
  const hash = createHash('sha256').update(`${systemIdentifier}/${slot}`).digest('hex').slice(0, 12);
  return `${slot}-${hash}`;
}
