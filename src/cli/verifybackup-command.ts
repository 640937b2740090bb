import { type BackupFormat, verifyBackup } from '../index.js';
import { failureLine } from './failure-line.js';
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
  const { ok, problems } = await verifyBackup(directory, {
    exitOnError: flags.exitOnError ?? false,
    ignore: flags.ignore ?? [],
    parseWal: flags.parseWal,
    skipChecksums: flags.skipChecksums ?? false,
    ...(flags.manifestPath !== undefined && { manifestPath: flags.manifestPath }),
    ...(flags.walDirectory !== undefined && { walDirectory: flags.walDirectory }),
    ...(flags.format !== undefined && { format: flags.format }),
    ...(flags.progress && { onProgress: showProgress }),
    signal: abort.signal,
  });
  if (flags.progress) process.stderr.write('\n');
  for (const { path, problem } of problems) process.stderr.write(failureLine(new Error(`"${path}": ${problem}`)));
  if (ok && !flags.quiet) await printText('backup successfully verified\n');
  return ok;
}

function showProgress({ doneBytes, totalBytes }: { readonly doneBytes: number; readonly totalBytes: number }): void {
  const percent = totalBytes === 0 ? 100 : Math.floor((100 * doneBytes) / totalBytes);
  process.stderr.write(`\r${formatBytes(doneBytes)} of ${formatBytes(totalBytes)} (${percent} %) verified`);
}
