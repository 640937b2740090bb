import { availableParallelism } from 'node:os';
import { join, resolve as resolvePath } from 'node:path';
import { callback, flag, integer, MAX_WORKERS, refuseUnknown, signalFrom, wrong } from '../errors/option-checks.js';
import { MANIFEST_NAME } from './manifest-name.js';

/** `plain`: files as the server has them. `tar`: the server's archives. */
export type BackupFormat = 'plain' | 'tar';

/** How far the checksums of a verification are. */
export interface VerifyProgress {
  /** Bytes of files whose checksums are made. */
  readonly doneBytes: number;
  /** Bytes of all files that get one. */
  readonly totalBytes: number;
}

/** Options of `verifyBackup`, those of pg_verifybackup among them. */
export interface VerifyBackupOptions {
  /** Default: told by the directory: tar format is archives without a file PG_VERSION. */
  readonly format?: BackupFormat;
  /** Default: `backup_manifest` in the directory. */
  readonly manifestPath?: string;
  /** Paths relative to the data directory that are passed over, with everything below them. */
  readonly ignore?: readonly string[];
  /** Stop at the first problem. Default: false. */
  readonly exitOnError?: boolean;
  /** Check names and sizes only. Default: false. */
  readonly skipChecksums?: boolean;
  /** Check the WAL that the backup needs. Default: true. */
  readonly parseWal?: boolean;
  /** Where that WAL is. Default: `pg_wal` in the directory; in tar format `pg_wal.tar` or `base.tar`, compressed or not. */
  readonly walDirectory?: string;
  /** Threads that make checksums, 1 to 64. Default: as many as there are cores, up to 8. */
  readonly workers?: number;
  /** Called as checksums are made. */
  readonly onProgress?: (progress: VerifyProgress) => void;
  /** Ends the verification; it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface ResolvedVerifyOptions {
  readonly directory: string;
  readonly format: BackupFormat | undefined;
  readonly manifestPath: string;
  /** As the manifest's paths: bytes as latin1. */
  readonly ignore: readonly string[];
  readonly exitOnError: boolean;
  readonly skipChecksums: boolean;
  readonly parseWal: boolean;
  readonly walDirectory: string | undefined;
  readonly workers: number;
  readonly onProgress: (progress: VerifyProgress) => void;
  readonly signal: AbortSignal | undefined;
}

/** What a server or its administrator may change in a backup, or what is verified in another way. */
const ALWAYS_IGNORED = [MANIFEST_NAME, 'pg_wal', 'postgresql.auto.conf', 'recovery.signal', 'standby.signal'];
const MAX_DEFAULT_WORKERS = 8;
const KNOWN: ReadonlySet<string> = new Set([
  'exitOnError',
  'skipChecksums',
  'parseWal',
  'format',
  'manifestPath',
  'ignore',
  'walDirectory',
  'workers',
  'onProgress',
  'signal',
] satisfies (keyof VerifyBackupOptions)[]);

export function resolveVerifyOptions(directory: string, options: VerifyBackupOptions): ResolvedVerifyOptions {
  refuseUnknown(options, KNOWN, '');
  const { format, ignore = [], manifestPath, walDirectory } = options;
  if (format !== undefined && format !== 'plain' && format !== 'tar') throw wrong('format', 'must be "plain" or "tar"');
  if (!Array.isArray(ignore)) throw wrong('ignore', 'must be a list of paths');
  const root = pathFrom(directory, 'directory');
  return {
    directory: root,
    format,
    manifestPath: manifestPath === undefined ? join(root, MANIFEST_NAME) : pathFrom(manifestPath, 'manifestPath'),
    ignore: [...ALWAYS_IGNORED, ...ignore.map(ignoredPath)],
    exitOnError: flag(options.exitOnError, 'exitOnError'),
    skipChecksums: flag(options.skipChecksums, 'skipChecksums'),
    parseWal: flag(options.parseWal ?? true, 'parseWal'),
    walDirectory: walDirectory === undefined ? undefined : pathFrom(walDirectory, 'walDirectory'),
    workers: integer(options.workers, 'workers', 1, MAX_WORKERS, Math.min(availableParallelism(), MAX_DEFAULT_WORKERS)),
    onProgress: callback(options.onProgress, 'onProgress') ?? (() => {}),
    signal: signalFrom(options.signal),
  };
}

/** Whether the path, or a folder that it lies in, is to be passed over. */
export function isIgnored(path: string, ignore: readonly string[]): boolean {
  return ignore.some((ignored) => path === ignored || path.startsWith(`${ignored}/`));
}

function ignoredPath(path: unknown): string {
  const clean = typeof path === 'string' ? path.replace(/\/+/g, '/').replace(/^(?:\.\/)+|\/$/g, '') : '';
  if (clean === '') throw wrong('ignore', 'must be a list of paths relative to the data directory');
  return Buffer.from(clean).toString('latin1');
}

function pathFrom(path: unknown, option: string): string {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) throw wrong(option, 'must be a path');
  return resolvePath(path);
}
