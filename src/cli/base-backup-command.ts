import {
  type BackupResult,
  BaseBackup,
  type BaseBackupOptions,
  ConfigurationError,
  Lsn,
  type WalMethod,
} from '../index.js';
import { BackupProgressReport, type ProgressForm } from './backup-progress-report.js';
import { onOneLine } from './failure-line.js';
import type { PathMapping } from './flag-values.js';
import { formatBytes, formatCount } from './rate-line.js';
import { StopSignals } from './stop-signals.js';
import { UsageError } from './usage-error.js';

/** Flags of `basebackup`, as commander names them. */
export interface BaseBackupFlags {
  readonly dsn?: string;
  readonly pgdata?: string;
  readonly target?: string;
  readonly format?: 'plain' | 'tar';
  readonly walMethod?: WalMethod;
  /** `false`: `--no-slot`. */
  readonly slot?: string | false;
  readonly createSlot?: boolean;
  readonly compress?: string;
  readonly gzip?: boolean;
  readonly incremental?: string;
  readonly checkpoint: 'fast' | 'spread';
  readonly progress?: ProgressForm | undefined;
  readonly maxRate?: number;
  readonly label?: string;
  readonly writeRecoveryConf?: boolean;
  readonly tablespaceMapping?: readonly PathMapping[];
  /** commander's `--no-` flags. */
  readonly clean: boolean;
  readonly sync: boolean;
  readonly verifyChecksums: boolean;
  readonly manifest: boolean;
  readonly manifestChecksums?: 'NONE' | 'CRC32C' | 'SHA224' | 'SHA256' | 'SHA384' | 'SHA512';
  readonly manifestForceEncode?: boolean;
  readonly verbose?: boolean;
}

/** Options that are wrong by themselves or together, which is known before the server is asked, and their flags. */
const USAGE_FLAGS: Readonly<Partial<Record<string, string>>> = {
  directory: '-D, --pgdata',
  target: '-t, --target',
  compression: '-Z, --compress',
  tablespaceMapping: '-T, --tablespace-mapping',
  walMethod: '-X, --wal-method',
} satisfies Partial<Record<keyof BaseBackupOptions, string>>;

/** Takes a backup. A signal interrupts it, which is a failure: there is no backup then. */
export async function baseBackupCommand(flags: BaseBackupFlags): Promise<void> {
  using signals = new StopSignals();
  const abort = new AbortController();
  signals.requested.addEventListener('abort', () => {
    abort.abort(new Error('interrupted: there is no backup'));
  });
  const compression = flags.gzip ? 'gzip' : flags.compress;
  const backup = prepareBackup({
    ...(flags.dsn !== undefined && { connection: flags.dsn }),
    ...(flags.pgdata !== undefined && { directory: flags.pgdata }),
    ...(flags.target !== undefined && { target: flags.target }),
    ...(flags.format !== undefined && { format: flags.format }),
    ...(compression !== undefined && { compression }),
    ...(flags.incremental !== undefined && { incrementalFrom: flags.incremental }),
    ...(flags.walMethod !== undefined && { walMethod: flags.walMethod }),
    ...slotOption(flags),
    checkpoint: flags.checkpoint,
    ...(flags.maxRate !== undefined && { maxRateKb: flags.maxRate }),
    ...(flags.label !== undefined && { label: flags.label }),
    manifest: manifestOption(flags),
    ...(flags.manifestChecksums !== undefined && { manifestChecksums: flags.manifestChecksums }),
    verifyChecksums: flags.verifyChecksums,
    ...(flags.tablespaceMapping !== undefined && { tablespaceMapping: mappingFrom(flags.tablespaceMapping) }),
    writeRecoveryConf: flags.writeRecoveryConf ?? false,
    sync: flags.sync,
    keepOnError: !flags.clean,
    signal: abort.signal,
  });
  using report = flags.progress && new BackupProgressReport(process.stderr, flags.progress);
  if (report !== undefined) backup.on('progress', (progress) => report.show(progress));
  backup.on('notice', ({ severity, message }) => {
    report?.interrupt();
    process.stderr.write(`pg-walstream: ${onOneLine(`${severity}: ${message}`)}\n`);
  });
  const result = await backup.run();
  report?.[Symbol.dispose]();
  if (flags.verbose) process.stderr.write(summary(result));
  else if (isSurprising(result)) process.stderr.write(`pg-walstream: not verified: ${result.unverifiedReason}\n`);
}

function slotOption({ slot, createSlot }: BaseBackupFlags): Pick<BaseBackupOptions, 'slot'> {
  if (slot === undefined) return {};
  return { slot: slot === false ? false : { name: slot, create: createSlot ? 'always' : 'never' } };
}

/** What the library refuses of the flags is wrong usage, told in the command line's own terms. */
function prepareBackup(options: BaseBackupOptions): BaseBackup {
  try {
    return new BaseBackup(options);
  } catch (error) {
    const flag = error instanceof ConfigurationError ? USAGE_FLAGS[error.option] : undefined;
    if (!(error instanceof ConfigurationError) || flag === undefined) throw error;
    throw new UsageError(error.message.replace(error.option, flag), { cause: error });
  }
}

function manifestOption({ manifest, manifestForceEncode }: BaseBackupFlags): 'yes' | 'no' | 'force-encode' {
  if (!manifest) return 'no';
  return manifestForceEncode ? 'force-encode' : 'yes';
}

function mappingFrom(mappings: readonly PathMapping[]): Record<string, string> {
  return Object.fromEntries(mappings.map(({ from, to }) => [from, to]));
}

/** Whether it is not verified although a manifest came: that was not asked for. */
function isSurprising({ verified, directory, fileCount }: BackupResult): boolean {
  return !verified && directory !== undefined && fileCount === undefined;
}

/** What `-v` says at the end. */
function summary(result: BackupResult): string {
  const { fileCount, byteCount, durationMs, startLsn, endLsn, timeline, verified, unverifiedReason } = result;
  const proof = verified ? "all as the server's manifest says" : `not verified: ${unverifiedReason}`;
  const size =
    fileCount === undefined || byteCount === undefined
      ? ''
      : `${formatCount(fileCount)} files, ${formatBytes(byteCount)}, `;
  return [
    `${size}${(durationMs / 1000).toFixed(1)} s, ${proof}`,
    `needs WAL from ${Lsn.format(startLsn)} to ${Lsn.format(endLsn)}, timeline ${timeline}\n`,
  ].join('\n');
}
