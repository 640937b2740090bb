import { chmodSync, existsSync, mkdirSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, sep } from 'node:path';
import { ConfigurationError } from '../errors.js';
import { onPath } from './durable-file.js';
import { isMissing, pathFailure } from './system-reason.js';

const MODE_BITS = 0o7777;

/** Whether nothing is lost by writing there: no such folder, or an empty one. ConfigurationError otherwise. */
export function checkVacant(directory: string, option: string): 'absent' | 'empty' {
  let entries: string[];
  try {
    entries = readdirSync(directory);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
    if (code === 'ENOENT') return 'absent';
    throw new ConfigurationError(`${option}: ${directory} cannot be used: ${code}`, { option, cause });
  }
  if (entries.length > 0) {
    throw new ConfigurationError(`${option}: ${directory} is not empty`, { option });
  }
  return 'empty';
}

/** A folder that a backup goes to. */
interface ClaimedDirectory {
  readonly path: string;
  /** Without links. */
  readonly realPath: string;
  /** The first folder that was made for it; `undefined`: it was there. */
  readonly created: string | undefined;
  /** Of one that was there. */
  readonly formerMode: number | undefined;
}

/** The folders that a backup goes to: made or found empty, and put back to what they were when it fails. */
export class TargetDirectories {
  readonly #claimed: ClaimedDirectory[] = [];

  /**
   * Makes the folder with this exact mode, or takes an empty one, which gets it too if it is to be a data directory.
   * BackupError, ConfigurationError.
   */
  claim(path: string, mode: number, option: string, isDataDirectory: boolean): void {
    const realPath = resolveLinks(path);
    for (const other of this.#claimed) {
      if (contains(other.realPath, realPath) || contains(realPath, other.realPath)) {
        throw new ConfigurationError(`${option}: ${path} and ${other.path} lie in each other`, { option });
      }
    }
    if (checkVacant(path, option) === 'absent') {
      const created = onPath(path, 'create', () => makeFolder(path));
      this.#claimed.push({ path, realPath, created, formerMode: undefined });
    } else {
      const formerMode = onPath(path, 'read', () => statSync(path).mode & MODE_BITS);
      this.#claimed.push({ path, realPath, created: undefined, formerMode });
      if (!isDataDirectory) return;
    }
    onPath(path, 'change the mode of', () => chmodSync(path, mode));
  }

  /** Folders that have a new one in them: so must survive a crash as well. */
  get parents(): readonly string[] {
    const parents = new Set<string>();
    for (const { path, created } of this.#claimed) {
      if (created === undefined) continue;
      for (let made = path; made.length >= created.length; made = dirname(made)) parents.add(dirname(made));
    }
    return [...parents];
  }

  /** Removes whatever is in them, and those that were made, parents included. */
  async remove(): Promise<void> {
    for (const { path, created, formerMode } of this.#claimed) {
      if (created !== undefined) {
        await rm(created, { recursive: true, force: true });
        continue;
      }
      for (const name of readdirSync(path)) await rm(join(path, name), { recursive: true, force: true });
      if (formerMode !== undefined) chmodSync(path, formerMode);
    }
  }
}

/**
 * Makes the folder and the parents that it lacks; the outermost of those that were made. Node.js 20 has no end of making
 * them itself, with `recursive`, where a folder that is there takes none, such as /proc.
 */
function makeFolder(path: string): string {
  const parent = dirname(path);
  const outermost = existsSync(parent) ? path : makeFolder(parent);
  mkdirSync(path, { mode: 0o700 });
  return outermost;
}

/** The path that is meant, of which the last folders need not be there yet. */
function resolveLinks(path: string): string {
  try {
    return realpathSync(path);
  } catch (cause) {
    const parent = dirname(path);
    if (!isMissing(cause) || parent === path) throw pathFailure('read', path, cause);
    return join(resolveLinks(parent), basename(path));
  }
}

function contains(outer: string, inner: string): boolean {
  const path = relative(outer, inner);
  return !(path === '..' || path.startsWith(`..${sep}`) || isAbsolute(path));
}
