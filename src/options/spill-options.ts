import { tmpdir, userInfo } from 'node:os';
import { join, resolve as resolvePath } from 'node:path';
import { integer, plainObject, refuseUnknown, wrong } from '../errors/option-checks.js';

/** Where `transactions()` puts what is too large for memory. */
export interface SpillOptions {
  /**
   * A folder of this process's user. What is in it is worth nothing after a crash. Default: one of its own in the
   * system's folder for temporary files; name another where that lies in memory.
   */
  readonly directory?: string;
  /** Bytes of transactions whose end has not been received, beyond which the largest go to disk. Default: 32 MiB. */
  readonly memoryBytes?: number;
}

const KNOWN_SPILL_OPTIONS = new Set(['directory', 'memoryBytes']);
const DEFAULT_SPILL_MEMORY_BYTES = 32 * 1024 * 1024;
const MIN_SPILL_MEMORY_BYTES = 64 * 1024;
const MAX_SPILL_MEMORY_BYTES = 16 * 1024 ** 3;

export function spillFrom(spill: SpillOptions | undefined): Required<SpillOptions> {
  const given = spill === undefined ? {} : plainObject(spill, 'spill');
  refuseUnknown(given, KNOWN_SPILL_OPTIONS, 'spill.');
  const { directory, memoryBytes } = given;
  if (directory !== undefined && (typeof directory !== 'string' || directory === '' || directory.includes('\0'))) {
    throw wrong('spill.directory', 'must be the path of a folder');
  }
  return {
    directory: directory === undefined ? defaultSpillDirectory() : resolvePath(directory),
    memoryBytes: integer(
      memoryBytes,
      'spill.memoryBytes',
      MIN_SPILL_MEMORY_BYTES,
      MAX_SPILL_MEMORY_BYTES,
      DEFAULT_SPILL_MEMORY_BYTES,
    ),
  };
}

/** A folder for this user alone: what is spilled holds rows. */
function defaultSpillDirectory(): string {
  return join(tmpdir(), `pg-walstream-${process.getuid?.() ?? userInfo().username}`);
}
