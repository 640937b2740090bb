import type { TaskPool } from '../threads/task-pool.js';
import type { BackupProblems } from './backup-problems.js';
import type { CheckedStretch, ChecksumReply, ChecksumTask, StretchToCheck } from './checksum-task.js';
import type { ManifestFile } from './manifest.js';
import type { ResolvedVerifyOptions } from './verify-options.js';

export type ChecksumPool = TaskPool<ChecksumTask, ChecksumReply>;

/** A file of the manifest that was found, with the right size. */
export interface FoundFile {
  readonly file: ManifestFile;
  readonly path: Buffer;
  /** Where it begins in `path`. */
  readonly offset: number;
}

/** One task for many small files: a message to a thread costs as much as reading one of them. */
const MAX_TASK_FILES = 64;
const MAX_TASK_BYTES = 32 * 1024 * 1024;
/** Tasks per thread that are under way, so that none waits for the main thread. */
const TASKS_PER_WORKER = 2;

/** Compares the checksums of files with the manifest's. Problems come in the order of `found`. */
export async function checkChecksums(
  found: readonly FoundFile[],
  pool: ChecksumPool,
  problems: BackupProblems,
  { onProgress, signal }: Pick<ResolvedVerifyOptions, 'onProgress' | 'signal'>,
): Promise<void> {
  const wanted = found.filter(({ file }) => file.algorithm !== 'NONE');
  const totalBytes = wanted.reduce((sum, { file }) => sum + file.size, 0);
  let doneBytes = 0;
  const batches = cutBatches(wanted);
  const running: Promise<ChecksumReply>[] = [];
  let next = 0;
  onProgress({ doneBytes, totalBytes });
  for (const batch of batches) {
    while (running.length < pool.workers * TASKS_PER_WORKER && next < batches.length) {
      const reply = pool.run({ kind: 'files', files: (batches[next] ?? []).map(stretchOf) }, signal);
      // Awaited below, in order.
      reply.catch(() => {});
      running.push(reply);
      next++;
    }
    const reply = await running.shift();
    if (reply?.kind !== 'files') throw new Error('the reply is to another task');
    for (const [position, { file }] of batch.entries()) {
      const problem = judgeChecksum(file, reply.files[position]);
      if (problem !== undefined) problems.add(file.path, problem);
      doneBytes += file.size;
    }
    onProgress({ doneBytes, totalBytes });
  }
}

function judgeChecksum(file: ManifestFile, checked: CheckedStretch | undefined): string | undefined {
  if (checked === undefined) return 'was not read';
  if ('reason' in checked) return `cannot be read: ${checked.reason}`;
  if (checked.byteCount !== file.size) return `should contain ${file.size} bytes, but read ${checked.byteCount} bytes`;
  return checked.checksum === file.checksum ? undefined : 'checksum mismatch';
}

function stretchOf({ file, path, offset }: FoundFile): StretchToCheck {
  // A file is read to its end, so that one that grew is found; a member of an archive ends where its header says.
  const byteCount = offset === 0 ? undefined : file.size;
  return { path, algorithm: file.algorithm, offset, byteCount };
}

function cutBatches(found: readonly FoundFile[]): FoundFile[][] {
  const batches: FoundFile[][] = [];
  let batch: FoundFile[] = [];
  let bytes = 0;
  for (const one of found) {
    if (batch.length === MAX_TASK_FILES || (batch.length > 0 && bytes + one.file.size > MAX_TASK_BYTES)) {
      batches.push(batch);
      batch = [];
      bytes = 0;
    }
    batch.push(one);
    bytes += one.file.size;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}
