import { ManifestMismatchError } from '../errors.js';
import { Lsn } from '../lsn.js';
import type { BackupPositions } from './backup-layout.js';
import { type Manifest, showPath } from './manifest.js';

/** A file that was received. */
export interface ReceivedFile {
  readonly size: number;
  /** Seconds since 1970. */
  readonly modifiedAt: number;
  /** By the algorithm that the manifest was asked for; see ManifestChecksum. */
  readonly checksum: string;
}

/** WAL is in no manifest: it is proved by its own checksums. */
const UNLISTED = /^pg_wal\//;

/**
 * The first difference between what the server says it sent and what came, or `undefined`. `received` is keyed by path as
 * in the manifest.
 */
export function compareWithManifest(
  manifest: Manifest,
  received: ReadonlyMap<string, ReceivedFile>,
  systemIdentifier: bigint,
  positions: BackupPositions,
): ManifestMismatchError | undefined {
  const difference = compareOrigin(manifest, systemIdentifier, positions);
  if (difference !== undefined) return difference;
  for (const [path, file] of received) {
    const expected = manifest.files.get(path);
    if (expected === undefined) {
      if (!UNLISTED.test(path)) return mismatch(path, 'a file that is not in the manifest', 'no file', 'a file');
    } else if (expected.size !== file.size) {
      return mismatch(path, 'another size', `${expected.size} bytes`, `${file.size} bytes`);
    } else if (expected.checksum !== file.checksum) {
      return mismatch(path, 'another checksum', `${expected.algorithm} ${expected.checksum}`, file.checksum);
    }
  }
  for (const path of manifest.files.keys()) {
    if (!received.has(path)) return mismatch(path, 'a file missing', 'a file', 'no file');
  }
  return undefined;
}

/** Whether the manifest is of this system and of this backup; its files are not looked at. */
export function compareOrigin(
  manifest: Manifest,
  systemIdentifier: bigint,
  positions: BackupPositions,
): ManifestMismatchError | undefined {
  if (manifest.systemIdentifier !== undefined && manifest.systemIdentifier !== systemIdentifier) {
    return mismatch('System-Identifier', 'another system', String(manifest.systemIdentifier), String(systemIdentifier));
  }
  return compareWalRanges(manifest, positions);
}

function compareWalRanges({ walRanges }: Manifest, positions: BackupPositions): ManifestMismatchError | undefined {
  const start = walRanges.map(({ startLsn }) => startLsn).sort(Lsn.compare)[0] ?? 0n;
  const end =
    walRanges
      .map(({ endLsn }) => endLsn)
      .sort(Lsn.compare)
      .at(-1) ?? 0n;
  if (start === positions.startLsn && end === positions.endLsn) return undefined;
  const shown = (from: bigint, to: bigint) => `${Lsn.format(from)} to ${Lsn.format(to)}`;
  return mismatch('WAL-Ranges', 'other WAL', shown(start, end), shown(positions.startLsn, positions.endLsn));
}

function mismatch(path: string, what: string, expected: string, actual: string): ManifestMismatchError {
  const shown = showPath(path);
  return new ManifestMismatchError(
    `the backup differs from the server's manifest, ${what}: ${shown} (${expected} expected, ${actual} found)`,
    {
      path: shown,
      expected,
      actual,
    },
  );
}
