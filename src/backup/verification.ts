import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BackupError } from '../errors.js';
import { TaskPool } from '../threads/task-pool.js';
import { CHECKSUM_WORKER_URL } from '../threads/worker-url.js';
import { type BackupProblem, BackupProblems, VerificationOver } from './backup-problems.js';
import type { ChecksumReply, ChecksumTask } from './checksum-task.js';
import { type ChecksumPool, checkChecksums, type FoundFile } from './file-checks.js';
import { type Manifest, parseManifest } from './manifest.js';
import { MANIFEST_NAME } from './manifest-name.js';
import { systemReason } from './system-reason.js';
import { type ArchivesFound, isArchiveName, scanArchives } from './verify-archives.js';
import type { BackupFormat, ResolvedVerifyOptions } from './verify-options.js';
import { scanPlainBackup } from './verify-plain.js';
import { verifyWalRange } from './verify-wal.js';
import type { WalVerdicts } from './wal-archive-scan.js';
import { describeWalProblem, type WalProblem } from './wal-range-scan.js';
import { WalArchive, WalDirectory, type WalSource } from './wal-source.js';

/** Compares the backup with its manifest; gives what is wrong, in the order in which it was found. */
export async function verify(options: ResolvedVerifyOptions): Promise<readonly BackupProblem[]> {
  const problems = new BackupProblems(options.exitOnError);
  try {
    const format = options.format ?? (await findFormat(options));
    const manifest = await readManifest(options, problems);
    await using pool = new TaskPool<ChecksumTask, ChecksumReply>(CHECKSUM_WORKER_URL, options.workers);
    const wal = await verifyFiles(options, format, manifest, pool, problems);
    if (options.parseWal) await verifyWal(wal, manifest, problems, options.signal);
  } catch (error) {
    if (!(error instanceof VerificationOver)) throw error;
  }
  return problems.list;
}

/** Archives in a data directory would be files too many, but its PG_VERSION is there then. */
async function findFormat({ directory }: ResolvedVerifyOptions): Promise<BackupFormat> {
  // Why there are no names is said when the files are looked for.
  const names = await readdir(directory).catch((): string[] => []);
  return names.includes('PG_VERSION') || !names.some(isArchiveName) ? 'plain' : 'tar';
}

async function readManifest({ manifestPath }: ResolvedVerifyOptions, problems: BackupProblems): Promise<Manifest> {
  let bytes: Buffer;
  try {
    bytes = await readFile(manifestPath);
  } catch (error) {
    throw problems.fatal(MANIFEST_NAME, `cannot be read: ${systemReason(error)}`);
  }
  try {
    return parseManifest([bytes]);
  } catch (error) {
    if (error instanceof BackupError) throw problems.fatal(MANIFEST_NAME, error.message);
    throw error;
  }
}

/** WAL that is still to be read, and what is known of WAL that was read with the archives it is in. */
interface WalFound {
  readonly source: WalSource | undefined;
  readonly checked: readonly WalVerdicts[];
}

/** Everything but the WAL that has to be read by itself. */
async function verifyFiles(
  options: ResolvedVerifyOptions,
  format: BackupFormat,
  manifest: Manifest,
  pool: ChecksumPool,
  problems: BackupProblems,
): Promise<WalFound> {
  const { walDirectory, directory, skipChecksums } = options;
  let found: readonly FoundFile[];
  let wal: WalFound;
  if (format === 'plain') {
    found = await scanPlainBackup(options, manifest, problems);
    wal = { source: new WalDirectory(walDirectory ?? join(directory, 'pg_wal')), checked: [] };
  } else {
    const archives = await scanArchives(options, manifest, pool, problems);
    found = archives.found;
    wal = walDirectory === undefined ? walOf(archives) : { source: new WalDirectory(walDirectory), checked: [] };
  }
  if (!skipChecksums) await checkChecksums(found, pool, problems, options);
  return wal;
}

/** Each archive that has WAL must have all of it. */
function walOf({ segments, wal }: ArchivesFound): WalFound {
  const isRead = segments.size === 0 && wal.length > 0;
  return { source: isRead ? undefined : new WalArchive(segments), checked: wal };
}

async function verifyWal(
  { source, checked }: WalFound,
  manifest: Manifest,
  problems: BackupProblems,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { systemIdentifier } = manifest;
  for (const [index, range] of manifest.walRanges.entries()) {
    for (const verdicts of checked) addWalProblem(problems, verdicts[index], range.timeline);
    if (source === undefined) continue;
    let problem: WalProblem | undefined;
    try {
      problem = await verifyWalRange(source, { ...range, systemIdentifier }, signal);
    } catch (error) {
      signal?.throwIfAborted();
      problems.add('pg_wal', `WAL of timeline ${range.timeline} cannot be read: ${systemReason(error)}`);
      continue;
    }
    addWalProblem(problems, problem, range.timeline);
  }
}

function addWalProblem(problems: BackupProblems, problem: WalProblem | undefined, timeline: number): void {
  if (problem === undefined) return;
  const path = problem.segment === undefined ? 'pg_wal' : `pg_wal/${problem.segment}`;
  problems.add(path, describeWalProblem(problem, timeline));
}
