import { ConfigurationError } from '../errors.js';
import { whyNoCodec } from './archive-codec.js';
import type { ResolvedCompression } from './backup-compression.js';

/** What of a backup limits how it can be compressed. */
export interface CompressedBackup {
  readonly format: 'plain' | 'tar';
  /** It does not come here. */
  readonly hasTarget: boolean;
  readonly generatesManifest: boolean;
  readonly writeRecoveryConf: boolean;
}

/** Refuses what makes no sense, or what this Node.js cannot do, before anything is written or asked of the server. */
export function checkCompression(compression: ResolvedCompression, backup: CompressedBackup): void {
  const problem =
    compression.location === 'client' ? hereProblem(compression, backup) : serverProblem(compression, backup);
  if (problem === undefined) return;
  throw new ConfigurationError(`compression: ${problem}`, { option: 'compression' });
}

/** How the WAL beside archives in tar format is compressed: as pg_basebackup does, with gzip and only by the client. */
export function walCompression(compression: ResolvedCompression | undefined): ResolvedCompression | undefined {
  return compression?.location === 'client' && compression.method === 'gzip' ? compression : undefined;
}

function hereProblem(
  { method, workers }: ResolvedCompression,
  { format, hasTarget }: CompressedBackup,
): string | undefined {
  if (hasTarget) return 'the client cannot compress what goes to another target';
  if (format === 'plain') {
    return `the client compresses in tar format only; in plain format the server can, for the way: 'server-${method}'`;
  }
  // With them Node.js takes input that zstd has no room for yet for input behind the end, and drops it.
  if (workers) return 'the client compresses in one thread; workers are for the server';
  const reason = whyNoCodec(method);
  return reason && `the client cannot compress with ${method}: ${reason}`;
}

function serverProblem({ method }: ResolvedCompression, backup: CompressedBackup): string | undefined {
  if (backup.hasTarget) return undefined;
  const reason = whyNoCodec(method);
  if (backup.format === 'plain') return reason && `what the server sends in ${method} cannot be extracted: ${reason}`;
  if (backup.writeRecoveryConf)
    return 'archives that the server compressed are kept as they are: writeRecoveryConf cannot add to them';
  if (backup.generatesManifest) return reason && `no manifest can be made of archives in ${method}: ${reason}`;
  return undefined;
}
