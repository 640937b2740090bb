import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BackupError } from '../errors.js';
import { TaskPool } from '../threads/task-pool.js';
import { CHECKSUM_WORKER_URL } from '../threads/worker-url.js';
import { type BackupProblem, BackupProblems, VerificationOver } from './backup-problems.js';
import type { ChecksumReply, ChecksumTask } from './checksum-task.js';
import { type ChecksumPool, checkChecksums, type FoundFile } from './file-checks.js';
import { MANIFEST_NAME, type Manifest, parseManifest } from './manifest.js';
import { isMissing, systemReason } from './system-reason.js';
import { scanArchives } from './verify-archives.js';
import {
  type BackupFormat,
  type ResolvedVerifyOptions,
  resolveVerifyOptions,
  type VerifyBackupOptions,
} from './verify-options.js';
import { scanPlainBackup } from './verify-plain.js';
import { describeWalProblem, verifyWalRange, type WalProblem } from './verify-wal.js';
import { WalArchive, WalDirectory, type WalSource } from './wal-source.js';

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
  const problems = new BackupProblems(resolved.exitOnError);
  resolved.signal?.throwIfAborted();
  try {
    const format = resolved.format ?? (await findFormat(resolved, problems));
    const manifest = await readManifest(resolved, problems);
    await using pool = new TaskPool<ChecksumTask, ChecksumReply>(CHECKSUM_WORKER_URL, resolved.workers);
    const wal = await verifyFiles(resolved, format, manifest, pool, problems);
    if (resolved.parseWal) await verifyWal(wal, manifest, problems, resolved.signal);
  } catch (error) {
    if (!(error instanceof VerificationOver)) throw error;
  }
  return { ok: problems.list.length === 0, problems: problems.list };
}

async function findFormat({ directory }: ResolvedVerifyOptions, problems: BackupProblems): Promise<BackupFormat> {
  try {
    await stat(join(directory, 'PG_VERSION'));
    return 'plain';
  } catch (error) {
    if (isMissing(error)) return 'tar';
    throw problems.fatal('PG_VERSION', `cannot stat: ${systemReason(error)}`);
  }
}

async function readManifest({ manifestPath }: ResolvedVerifyOptions, problems: BackupProblems): Promise<Manifest> {
  let bytes: Buffer;
  try {
    bytes = await readFile(manifestPath);
  } catch (error) {
    throw problems.fatal(MANIFEST_NAME, `cannot be read: ${systemReason(error)}`);
  }
  try {
    return parseManifest(bytes);
  } catch (error) {
    if (error instanceof BackupError) throw problems.fatal(MANIFEST_NAME, error.message);
    throw error;
  }
}

/** Everything but the WAL, of which it says where to look for it. */
async function verifyFiles(
  options: ResolvedVerifyOptions,
  format: BackupFormat,
  manifest: Manifest,
  pool: ChecksumPool,
  problems: BackupProblems,
): Promise<WalSource> {
  let found: readonly FoundFile[];
  let wal: WalSource;
  if (format === 'plain') {
    found = await scanPlainBackup(options, manifest, problems);
    wal = new WalDirectory(options.walDirectory ?? join(options.directory, 'pg_wal'));
  } else {
    const archives = await scanArchives(options, manifest, pool, problems);
    found = archives.found;
    wal =
      options.walDirectory === undefined ? new WalArchive(archives.segments) : new WalDirectory(options.walDirectory);
  }
  if (!options.skipChecksums) await checkChecksums(found, pool, problems, options);
  return wal;
}

async function verifyWal(
  source: WalSource,
  manifest: Manifest,
  problems: BackupProblems,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { systemIdentifier } = manifest;
  for (const range of manifest.walRanges) {
    let problem: WalProblem | undefined;
    try {
      problem = await verifyWalRange(source, { ...range, systemIdentifier }, signal);
    } catch (error) {
      signal?.throwIfAborted();
      problems.add('pg_wal', `WAL of timeline ${range.timeline} cannot be read: ${systemReason(error)}`);
      continue;
    }
    if (problem === undefined) continue;
    const path = problem.segment === undefined ? 'pg_wal' : `pg_wal/${problem.segment}`;
    problems.add(path, describeWalProblem(problem, range.timeline));
  }
}
