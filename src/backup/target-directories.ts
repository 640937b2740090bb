import { chmodSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { ConfigurationError } from '../errors.js';
import { onPath } from './durable-file.js';

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

/** The folders that a backup goes to: made or found empty, and put back to what they were when it fails. */
export class TargetDirectories {
  readonly #claimed: { readonly path: string; readonly created: string | undefined }[] = [];

  /** Makes the folder, or takes an empty one, with this exact mode. BackupError, ConfigurationError. */
  claim(path: string, mode: number, option: string): void {
    for (const other of this.#claimed) {
      if (contains(other.path, path) || contains(path, other.path)) {
        throw new ConfigurationError(`${option}: ${path} and ${other.path} lie in each other`, { option });
      }
    }
    const created = checkVacant(path, option) === 'absent' ? onPath(path, 'create', () => makeFolder(path)) : undefined;
    this.#claimed.push({ path, created });
    onPath(path, 'change the mode of', () => chmodSync(path, mode));
  }

  /** Removes whatever is in them, and those that were made, parents included. */
  async remove(): Promise<void> {
    for (const { path, created } of this.#claimed) {
      if (created !== undefined) {
        await rm(created, { recursive: true, force: true });
      } else {
        for (const name of readdirSync(path)) await rm(join(path, name), { recursive: true, force: true });
      }
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

function contains(outer: string, inner: string): boolean {
  const path = relative(outer, inner);
  return path === '' || !(path.startsWith('..') || path.startsWith('/') || /^[a-zA-Z]:/.test(path));
}
