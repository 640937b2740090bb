import { createHash, type Hash } from 'node:crypto';
import { crc32c } from '@node-rs/crc32';

export const MANIFEST_CHECKSUM_ALGORITHMS = ['NONE', 'CRC32C', 'SHA224', 'SHA256', 'SHA384', 'SHA512'] as const;
/**
 * How the files of a backup are checked; `NONE`: by their sizes only. Default of a server: `CRC32C`.
 *
 * @useDeclaredType
 */
export type ManifestChecksumAlgorithm = (typeof MANIFEST_CHECKSUM_ALGORITHMS)[number];

/** Bytes of each algorithm's checksum. */
export const CHECKSUM_BYTES: Readonly<Record<ManifestChecksumAlgorithm, number>> = {
  NONE: 0,
  CRC32C: 4,
  SHA224: 28,
  SHA256: 32,
  SHA384: 48,
  SHA512: 64,
};

/** The checksum of one file, made of its bytes in order. */
export class ManifestChecksum {
  readonly algorithm: ManifestChecksumAlgorithm;
  readonly #hash: Hash | undefined;
  #crc = 0;

  constructor(algorithm: ManifestChecksumAlgorithm) {
    this.algorithm = algorithm;
    const hashed = algorithm !== 'NONE' && algorithm !== 'CRC32C';
    this.#hash = hashed ? createHash(algorithm.toLowerCase()) : undefined;
  }

  update(bytes: Uint8Array): void {
    if (this.#hash !== undefined) this.#hash.update(bytes);
    else if (this.algorithm === 'CRC32C') this.#crc = crc32c(bytes, this.#crc);
  }

  /** As in a manifest: lower-case hex, empty for `NONE`. Once only. */
  digest(): string {
    if (this.#hash !== undefined) return this.#hash.digest('hex');
    return this.algorithm === 'CRC32C' ? formatCrc32c(this.#crc) : '';
  }
}

/** PostgreSQL writes the four bytes as they lie in memory, and its servers are little-endian. */
function formatCrc32c(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(crc);
  return bytes.toString('hex');
}
