import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { ConfigurationError } from '../errors.js';
import { requireServerVersion } from '../protocol/server-version.js';
import { systemReason } from './system-reason.js';

const OPTION = 'incrementalFrom';
/** What stands before the list of files is far shorter. */
const HEAD_BYTES = 1024;
const UPLOAD_PIECE_BYTES = 64 * 1024;

/** What a server is asked before a manifest is uploaded to it. */
export interface IncrementalServer {
  readonly version: number;
  readonly systemId: string;
  /** Its setting; `undefined` before 17. */
  readonly summarizeWal: string | undefined;
}

/**
 * The system that the manifest of an earlier backup names. ConfigurationError when it cannot be read, or is of a server before
 * 17, which has no incremental backups.
 */
export async function readManifestSystem(path: string): Promise<string> {
  const head = Buffer.alloc(HEAD_BYTES);
  let count: number;
  try {
    await using file = await open(path, 'r');
    ({ bytesRead: count } = await file.read(head, 0, HEAD_BYTES, 0));
  } catch (cause) {
    throw new ConfigurationError(`${OPTION}: ${path} cannot be read: ${systemReason(cause)}`, {
      option: OPTION,
      cause,
    });
  }
  return parseManifestSystem(head.toString('latin1', 0, count), path);
}

/** From how a manifest begins. */
export function parseManifestSystem(head: string, path: string): string {
  const version = /^\{\s*"PostgreSQL-Backup-Manifest-Version"\s*:\s*(\d+)/.exec(head)?.[1];
  if (version === undefined) throw refused(`${path} is not a backup_manifest`);
  const systemId = /^[^[]*?"System-Identifier"\s*:\s*(\d{1,20})\s*[,}]/.exec(head)?.[1];
  if (systemId === undefined) throw refused(`${path} is of a server before 17, or does not say of which system`);
  return systemId;
}

/** Refuses what the server would refuse after the upload, or only answer with other words. */
export function checkIncremental(
  manifestSystemId: string,
  { version, systemId, summarizeWal }: IncrementalServer,
): void {
  requireServerVersion(version, 170_000, 'an incremental backup', OPTION);
  if (summarizeWal !== 'on') {
    throw refused(
      'the server has summarize_wal off, which an incremental backup needs on, since before the backup it builds on: ' +
        'ALTER SYSTEM SET summarize_wal = on, then SELECT pg_reload_conf()',
    );
  }
  if (manifestSystemId !== systemId) {
    throw refused(`the manifest is of the system ${manifestSystemId}, but the server is ${systemId}`);
  }
}

/** Its bytes in small pieces, for the upload. */
export async function* manifestPieces(path: string): AsyncGenerator<Buffer, void> {
  try {
    for await (const piece of createReadStream(path, { highWaterMark: UPLOAD_PIECE_BYTES })) yield piece as Buffer;
  } catch (cause) {
    throw new ConfigurationError(`${OPTION}: ${path} cannot be read: ${systemReason(cause)}`, {
      option: OPTION,
      cause,
    });
  }
}

function refused(problem: string): ConfigurationError {
  return new ConfigurationError(`${OPTION}: ${problem}`, { option: OPTION });
}
