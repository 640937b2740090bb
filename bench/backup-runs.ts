import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { runClient } from './client-process.js';
import type { BackupReport, BackupRequest } from './clients/backup-request.js';

export type BackupKind = Pick<BackupRequest, 'walMethod' | 'manifestChecksums' | 'sync'>;

/** A backup that was taken and verified by one of the two. */
export interface BackupRun {
  /** From the start of the process to its end, or of the one to the end of the other. */
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly peakRssBytes: number | undefined;
  readonly loopDelayP99Ms: number | undefined;
}

/** What is backed up, and where to. */
export interface BackupPlace {
  readonly connection: string;
  /** Each backup has a folder of its own there. */
  readonly directory: string;
  /**
   * Leaves that folder there, with everything written out to the disk. Otherwise it is removed at once, which whoever makes
   * many files next would pay for: ext4 without a journal looks past every inode that was freed in the last minutes.
   */
  readonly keep?: boolean;
}

export function backUpWithUs(place: BackupPlace, kind: BackupKind): Promise<BackupRun> {
  return inNewFolder(place, async (directory) => {
    const request: BackupRequest = { connection: place.connection, directory, ...kind };
    const startedAt = performance.now();
    const { cpuMs, peakRssBytes, endedAt, output } = await runClient({
      program: process.execPath,
      args: [fileURLToPath(new URL('clients/backup.js', import.meta.url)), JSON.stringify(request)],
    });
    const { verified, loopDelayP99Ms } = JSON.parse(output) as BackupReport;
    if (!verified) throw new Error('the backup was not verified');
    return { wallMs: endedAt - startedAt, cpuMs, peakRssBytes, loopDelayP99Ms };
  });
}

/** Where PostgreSQL's own programs are. */
export interface BackupTools {
  readonly pgBaseBackup: string;
  readonly pgVerifyBackup: string;
}

/** `pg_basebackup && pg_verifybackup`. */
export function backUpWithPostgres(
  place: BackupPlace,
  { walMethod, manifestChecksums, sync }: BackupKind,
  { pgBaseBackup, pgVerifyBackup }: BackupTools,
): Promise<BackupRun> {
  return inNewFolder(place, async (directory) => {
    const startedAt = performance.now();
    const taken = await runClient({
      program: pgBaseBackup,
      args: [
        ...['-d', place.connection, '-D', directory, '-X', walMethod, '-c', 'fast'],
        ...['--manifest-checksums', manifestChecksums, ...(sync ? [] : ['--no-sync'])],
      ],
    });
    const verified = await runClient({ program: pgVerifyBackup, args: ['-q', directory] });
    return {
      wallMs: verified.endedAt - startedAt,
      cpuMs: taken.cpuMs + verified.cpuMs,
      peakRssBytes: Math.max(taken.peakRssBytes ?? 0, verified.peakRssBytes ?? 0) || undefined,
      loopDelayP99Ms: undefined,
    };
  });
}

async function inNewFolder<T>(
  { directory, keep = false }: BackupPlace,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(directory, 'backup-'));
  try {
    return await work(join(folder, 'data'));
  } finally {
    if (keep) await promisify(execFile)('sync');
    else await rm(folder, { recursive: true, force: true });
  }
}
