import type { Socket } from 'node:net';
import { parseServerVersion } from '../protocol/server-version.js';
import { COPY_OUT, errorResponse, QUERY_CANCELED, type Report } from './backend-bytes.js';
import type { BackupStep } from './backup-step.js';
import type { FaultWriter } from './fault-writer.js';
import { takeStep } from './script-step.js';
import type { ResolvedSenderOptions } from './sender-options.js';

/**
 * Sends what BASE_BACKUP gets, until `signal` is aborted.
 *
 * @param options those of the command
 * @returns the error to end with, if there is one
 */
export async function sendBackup(
  options: Readonly<Record<string, string>>,
  { backup, serverVersion, systemId, timeline, settings }: ResolvedSenderOptions,
  { socket, writer }: { readonly socket: Socket; readonly writer: FaultWriter },
  signal: AbortSignal,
): Promise<Report | undefined> {
  if (backup === undefined) return NO_BACKUP;
  const request = {
    options,
    serverVersion: parseServerVersion(serverVersion),
    systemId,
    timeline,
    walSegmentBytes: bytesFrom(settings.wal_segment_size ?? '16MB'),
  };
  try {
    for await (const step of backup.steps(request, signal)) {
      if (signal.aborted || socket.destroyed) break;
      await takeBackupStep(step, writer, signal);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    writer.endStream();
  }
  return signal.aborted ? QUERY_CANCELED : undefined;
}

async function takeBackupStep(step: BackupStep, writer: FaultWriter, signal: AbortSignal): Promise<void> {
  switch (step.kind) {
    case 'bytes': {
      const bytes = Buffer.from(step.bytes);
      await writer.send(bytes);
      if (bytes.equals(COPY_OUT) && !writer.inStream) writer.beginStream();
      return;
    }
    case 'error':
      return writer.send(errorResponse(step));
    default:
      return takeStep(step, writer, signal);
  }
}

const NO_BACKUP: Report = {
  sqlState: '0A000',
  message: 'this fake sender has no backup; see its option backup',
};

const UNITS: Readonly<Record<string, number>> = { kB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 };

/** A setting such as `16MB`. */
function bytesFrom(setting: string): number {
  const [, count = '', unit = ''] = /^(\d+)(kB|MB|GB)?$/.exec(setting) ?? [];
  return Number(count) * (UNITS[unit] ?? 1);
}
