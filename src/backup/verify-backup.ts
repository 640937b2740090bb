import type { BackupProblem } from './backup-problems.js';
import { resolveVerifyOptions, type VerifyBackupOptions } from './verify-options.js';

/** What a verification found. */
export interface VerifyBackupResult {
  /** Whether there are no problems. */
  readonly ok: boolean;
  /** In the order in which they were found: extra files and sizes, missing files, checksums, WAL. */
  readonly problems: readonly BackupProblem[];
}

/**
 * Compares a base backup with its manifest, by the rules of pg_verifybackup: names, sizes, checksums, and the WAL that it
 * needs, whose records are read here. Plain and tar format, full and incremental backups. Nothing is written.
 *
 * What is wrong with the backup is in the result; ConfigurationError for options that make no sense, WorkerError when a
 * thread is lost, the signal's reason after an abort.
 *
 * @see https://www.postgresql.org/docs/current/app-pgverifybackup.html
 */
export async function verifyBackup(directory: string, options: VerifyBackupOptions = {}): Promise<VerifyBackupResult> {
  const resolved = resolveVerifyOptions(directory, options);
  resolved.signal?.throwIfAborted();
  // Loaded now, as BaseBackup's run is.
  const { verify } = await import('./verification.js');
  const problems = await verify(resolved);
  return { ok: problems.length === 0, problems };
}
