import { ConfigurationError } from '../errors.js';
import { quoteReplicationLiteral } from './quoting.js';
import { requireServerVersion } from './server-version.js';

/** Bounds of MAX_RATE, in kB per second. */
export const MIN_BACKUP_RATE_KB = 32;
export const MAX_BACKUP_RATE_KB = 1_048_576;
/** Longest label: backup_label keeps MAXPGPATH bytes. */
export const MAX_LABEL_BYTES = 1024;

/** Everything that BASE_BACKUP can be asked for; what is absent is left to the server's default. */
export interface BaseBackupRequest {
  readonly label?: string;
  readonly checkpoint?: 'fast' | 'spread';
  /** Have the server estimate sizes, and on 15 and later report its progress. */
  readonly progress?: boolean;
  /** Send the WAL that the backup needs, at the end of the base archive. */
  readonly wal?: boolean;
  /** Let the server wait until the WAL has been archived. */
  readonly wait?: boolean;
  /** Have the links of `pg_tblspc` written into a file of their own instead of into the archive. */
  readonly tablespaceMap?: boolean;
  /** Have the server check the checksums of data pages. */
  readonly verifyChecksums?: boolean;
  readonly maxRateKb?: number;
  readonly manifest?: 'yes' | 'no' | 'force-encode';
  readonly manifestChecksums?: 'NONE' | 'CRC32C' | 'SHA224' | 'SHA256' | 'SHA384' | 'SHA512';
  /** Where the backup goes; 15 and later. */
  readonly target?: string;
  readonly targetDetail?: string;
  /** Compression by the server; 15 and later. */
  readonly compression?: { readonly method: 'gzip' | 'lz4' | 'zstd'; readonly detail?: string };
  /** Only what changed since the manifest that was uploaded; 17 and later. */
  readonly incremental?: boolean;
}

/**
 * ```
 * 14:  BASE_BACKUP [LABEL 's'] [PROGRESS] [FAST] [WAL] [NOWAIT] [MAX_RATE n] [TABLESPACE_MAP] [NOVERIFY_CHECKSUMS]
 *                  [MANIFEST 's'] [MANIFEST_CHECKSUMS 's']
 * 15+: BASE_BACKUP [(option [value], ...)]
 * ```
 *
 * @throws ConfigurationError
 * @see https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP
 */
export function baseBackup(request: BaseBackupRequest, serverVersion: number): string {
  checkRequest(request, serverVersion);
  const options = serverVersion < 150_000 ? keywordOptions(request) : listOptions(request);
  if (options.length === 0) return 'BASE_BACKUP';
  return serverVersion < 150_000 ? `BASE_BACKUP ${options.join(' ')}` : `BASE_BACKUP (${options.join(', ')})`;
}

function checkRequest(request: BaseBackupRequest, serverVersion: number): void {
  const { label, maxRateKb, manifest, manifestChecksums, target, targetDetail, compression, incremental } = request;
  if (label !== undefined && Buffer.byteLength(label) > MAX_LABEL_BYTES) {
    throw new ConfigurationError(`label has more than ${MAX_LABEL_BYTES} bytes`, { option: 'label' });
  }
  // A line of backup_label: another one behind it would be read as a field.
  if (label !== undefined && /[\r\n]/.test(label)) {
    throw new ConfigurationError('label must be one line', { option: 'label' });
  }
  const inRange = maxRateKb === undefined || (maxRateKb >= MIN_BACKUP_RATE_KB && maxRateKb <= MAX_BACKUP_RATE_KB);
  if (!inRange || (maxRateKb !== undefined && !Number.isInteger(maxRateKb))) {
    throw new ConfigurationError(
      `maxRateKb must be an integer from ${MIN_BACKUP_RATE_KB} to ${MAX_BACKUP_RATE_KB} (kB per second)`,
      { option: 'maxRateKb' },
    );
  }
  if (manifestChecksums !== undefined && (manifest === undefined || manifest === 'no')) {
    throw new ConfigurationError('manifestChecksums needs a manifest', { option: 'manifestChecksums' });
  }
  if (targetDetail !== undefined && target === undefined) {
    throw new ConfigurationError('a target detail needs a target', { option: 'target' });
  }
  if (target !== undefined) requireServerVersion(serverVersion, 150_000, 'a backup target', 'target');
  if (compression !== undefined) {
    requireServerVersion(serverVersion, 150_000, 'compression by the server', 'compression');
    if (/\blong\b/.test(compression.detail ?? '')) {
      requireServerVersion(serverVersion, 160_000, 'long-distance compression by the server', 'compression');
    }
  }
  if (incremental) requireServerVersion(serverVersion, 170_000, 'an incremental backup', 'incrementalFrom');
}

function keywordOptions(request: BaseBackupRequest): string[] {
  const { label, maxRateKb, manifest, manifestChecksums } = request;
  const options: string[] = [];
  if (label !== undefined) options.push(`LABEL ${quoteReplicationLiteral(label, 'label')}`);
  if (request.progress) options.push('PROGRESS');
  if (request.checkpoint === 'fast') options.push('FAST');
  if (request.wal) options.push('WAL');
  if (request.wait === false) options.push('NOWAIT');
  if (maxRateKb !== undefined) options.push(`MAX_RATE ${maxRateKb}`);
  if (request.tablespaceMap) options.push('TABLESPACE_MAP');
  if (request.verifyChecksums === false) options.push('NOVERIFY_CHECKSUMS');
  if (manifest !== undefined && manifest !== 'no') options.push(`MANIFEST '${manifest}'`);
  if (manifestChecksums !== undefined) options.push(`MANIFEST_CHECKSUMS '${manifestChecksums}'`);
  return options;
}

function listOptions(request: BaseBackupRequest): string[] {
  const { label, checkpoint, maxRateKb, manifest, manifestChecksums, target, targetDetail, compression } = request;
  const options: string[] = [];
  if (label !== undefined) options.push(`LABEL ${quoteReplicationLiteral(label, 'label')}`);
  if (target !== undefined) options.push(`TARGET ${quoteReplicationLiteral(target, 'target')}`);
  if (targetDetail !== undefined) options.push(`TARGET_DETAIL ${quoteReplicationLiteral(targetDetail, 'target')}`);
  if (request.progress !== undefined) options.push(`PROGRESS ${request.progress}`);
  if (checkpoint !== undefined) options.push(`CHECKPOINT '${checkpoint}'`);
  if (request.wal !== undefined) options.push(`WAL ${request.wal}`);
  if (request.wait !== undefined) options.push(`WAIT ${request.wait}`);
  if (compression !== undefined) {
    options.push(`COMPRESSION '${compression.method}'`);
    if (compression.detail !== undefined) {
      options.push(`COMPRESSION_DETAIL ${quoteReplicationLiteral(compression.detail, 'compression')}`);
    }
  }
  if (maxRateKb !== undefined) options.push(`MAX_RATE ${maxRateKb}`);
  if (request.tablespaceMap !== undefined) options.push(`TABLESPACE_MAP ${request.tablespaceMap}`);
  if (request.verifyChecksums !== undefined) options.push(`VERIFY_CHECKSUMS ${request.verifyChecksums}`);
  if (manifest !== undefined) options.push(`MANIFEST '${manifest}'`);
  if (manifestChecksums !== undefined) options.push(`MANIFEST_CHECKSUMS '${manifestChecksums}'`);
  if (request.incremental) options.push('INCREMENTAL');
  return options;
}
