import { type BackupFormat, type VerifyProgress, verifyBackup } from '../index.js';
import { failureLine } from './failure-line.js';
import { LiveLine } from './live-line.js';
import { printText } from './print-text.js';
import { formatBytes } from './rate-line.js';
import { StopSignals } from './stop-signals.js';

/** Flags of `verifybackup`, as commander names them. */
export interface VerifyBackupFlags {
  readonly exitOnError?: boolean;
  readonly ignore?: readonly string[];
  readonly manifestPath?: string;
  /** `--no-parse-wal` makes it false. */
  readonly parseWal: boolean;
  readonly skipChecksums?: boolean;
  readonly walDirectory?: string;
  readonly quiet?: boolean;
  readonly progress?: boolean;
  readonly format?: BackupFormat;
}

/** Verifies a backup; whether it is good. A signal ends it as a failure: nothing is known then. */
export async function verifyBackupCommand(directory: string, flags: VerifyBackupFlags): Promise<boolean> {
  const abort = new AbortController();
  using signals = new StopSignals();
  signals.requested.addEventListener('abort', () => abort.abort(new Error('stopped before the backup was verified')));
  const live = new LiveLine(process.stderr);
  const { ok, problems } = await verifyBackup(directory, {
    exitOnError: flags.exitOnError ?? false,
    ignore: flags.ignore ?? [],
    parseWal: flags.parseWal,
    skipChecksums: flags.skipChecksums ?? false,
    ...(flags.manifestPath !== undefined && { manifestPath: flags.manifestPath }),
    ...(flags.walDirectory !== undefined && { walDirectory: flags.walDirectory }),
    ...(flags.format !== undefined && { format: flags.format }),
    ...(flags.progress && { onProgress: (progress: VerifyProgress) => showProgress(live, progress) }),
    signal: abort.signal,
  });
  live.end();
  for (const { path, problem } of problems) process.stderr.write(failureLine(new Error(`"${path}": ${problem}`)));
  if (ok && !flags.quiet) await printText('backup successfully verified\n');
  return ok;
}

function showProgress(live: LiveLine, { doneBytes, totalBytes }: VerifyProgress): void {
  const percent = totalBytes === 0 ? 100 : Math.floor((100 * doneBytes) / totalBytes);
  if (!live.isDue(percent)) return;
  live.show(`${formatBytes(doneBytes)} of ${formatBytes(totalBytes)} (${percent} %) verified`);
}
