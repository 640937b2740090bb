import { BackupError } from '../errors.js';

/** `ENOSPC`, or what else the system says: for messages. */
export function systemReason(error: unknown): string {
  if (!(error instanceof Error)) return 'failed';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

/** What the system said of a path, as the error that users get: `cannot write to /backups/x: ENOSPC`. */
export function pathFailure(action: string, path: string, cause: unknown): BackupError {
  if (cause instanceof BackupError) return cause;
  return new BackupError(`cannot ${action} ${path}: ${systemReason(cause)}`, { path, cause });
}
