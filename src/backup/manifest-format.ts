import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { Lsn } from '../lsn.js';
import type { ManifestWalRange } from './manifest.js';
import type { ManifestChecksumAlgorithm } from './manifest-checksum.js';

/** A file as a manifest lists it. */
export interface ListedFile {
  /** As in {@link ManifestFile}: each character is one byte (latin1). */
  readonly path: string;
  readonly size: number;
  /** Seconds since 1970. */
  readonly modifiedAt: number;
  readonly checksum: string;
}

export interface ManifestContent {
  /** 2 from PostgreSQL 17 on. */
  readonly version: 1 | 2;
  readonly systemIdentifier: bigint;
  readonly algorithm: ManifestChecksumAlgorithm;
  readonly files: Iterable<ListedFile>;
  readonly walRanges: readonly ManifestWalRange[];
}

/** Lines are given together when they have so many characters. */
const PIECE_CHARACTERS = 64 * 1024;

/**
 * A manifest in pieces, to the byte as the server would write it of these files.
 *
 * @see https://www.postgresql.org/docs/current/backup-manifest-format.html
 * @see https://github.com/postgres/postgres/blob/master/src/backend/backup/backup_manifest.c
 */
export function* formatManifest(content: ManifestContent): Generator<Buffer, void> {
  const hash = createHash('sha256');
  let pending = '';
  for (const text of manifestLines(content)) {
    pending += text;
    if (pending.length < PIECE_CHARACTERS) continue;
    const piece = Buffer.from(pending);
    hash.update(piece);
    yield piece;
    pending = '';
  }
  hash.update(pending);
  yield Buffer.from(`${pending}"Manifest-Checksum": "${hash.digest('hex')}"}\n`);
}

function* manifestLines({
  version,
  systemIdentifier,
  algorithm,
  files,
  walRanges,
}: ManifestContent): Generator<string, void> {
  yield `{ "PostgreSQL-Backup-Manifest-Version": ${version},\n`;
  if (version === 2) yield `"System-Identifier": ${systemIdentifier},\n`;
  yield '"Files": [';
  let separator = '\n';
  for (const file of files) {
    yield separator + fileObject(file, algorithm);
    separator = ',\n';
  }
  yield '\n],\n"WAL-Ranges": [\n';
  yield walRanges.map(walRangeObject).join(',\n');
  yield '\n],\n';
}

function fileObject({ path, size, modifiedAt, checksum }: ListedFile, algorithm: ManifestChecksumAlgorithm): string {
  const bytes = Buffer.from(path, 'latin1');
  const name = isUtf8(bytes)
    ? `"Path": ${JSON.stringify(bytes.toString())}`
    : `"Encoded-Path": "${bytes.toString('hex')}"`;
  const sum = algorithm === 'NONE' ? '' : `, "Checksum-Algorithm": "${algorithm}", "Checksum": "${checksum}"`;
  return `{ ${name}, "Size": ${size}, "Last-Modified": "${formatTime(modifiedAt)}"${sum} }`;
}

function walRangeObject({ timeline, startLsn, endLsn }: ManifestWalRange): string {
  return `{ "Timeline": ${timeline}, "Start-LSN": "${Lsn.format(startLsn)}", "End-LSN": "${Lsn.format(endLsn)}" }`;
}

/** `2026-01-31 23:59:59 GMT` */
function formatTime(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ')} GMT`;
}
