import { createHash } from 'node:crypto';

/** What is above the last line of a manifest, and the line with its checksum below. */
export function sealManifest(body: string): Buffer {
  const bytes = Buffer.from(body);
  const checksum = createHash('sha256').update(bytes).digest('hex');
  return Buffer.concat([bytes, Buffer.from(`"Manifest-Checksum": "${checksum}"}\n`)]);
}

export interface ManifestParts {
  readonly version?: number;
  readonly systemIdentifier?: string;
  /** JSON objects. */
  readonly files?: readonly string[];
  readonly walRanges?: readonly string[];
}

/** A manifest laid out as the server does. */
export function manifestBytes(parts: ManifestParts = {}): Buffer {
  const { version = 1, systemIdentifier, files = [], walRanges = [] } = parts;
  const identifier = systemIdentifier === undefined ? '' : `"System-Identifier": ${systemIdentifier},\n`;
  return sealManifest(
    `{ "PostgreSQL-Backup-Manifest-Version": ${version},\n${identifier}"Files": [\n${files.join(',\n')}\n],\n` +
      `"WAL-Ranges": [\n${walRanges.join(',\n')}\n],\n`,
  );
}
