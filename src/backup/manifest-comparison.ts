import { ManifestMismatchError } from '../errors.js';
import { Lsn } from '../lsn.js';
import type { BackupPositions } from './backup-layout.js';
import { type ManifestFile, type ManifestOrigin, scanManifest, showPath } from './manifest.js';

/** A file that was received. */
export interface ReceivedFile {
  readonly size: number;
  /** Seconds since 1970. */
  readonly modifiedAt: number;
  /** By the algorithm that the manifest was asked for; see ManifestChecksum. */
  readonly checksum: string;
  /** Whether it was found in the manifest. */
  isListed: boolean;
}

/** WAL is in no manifest: it is proved by its own checksums. */
const UNLISTED = /^pg_wal\//;

/**
 * A difference between what the server's manifest says that it sent and what came, or `undefined`. `received` is keyed by
 * path as in the manifest; what is listed is marked there. The manifest comes in pieces, and nothing of it is kept: of many
 * files it takes more memory than what came.
 *
 * @throws BackupError where the manifest is malformed
 */
export function compareWithManifest(
  manifest: Iterable<Buffer>,
  received: ReadonlyMap<string, ReceivedFile>,
  systemIdentifier: bigint,
  positions: BackupPositions,
): ManifestMismatchError | undefined {
  let difference: ManifestMismatchError | undefined;
  const origin = scanManifest(manifest, (expected) => {
    const file = received.get(expected.path);
    difference ??= compareFile(expected, file);
    if (file === undefined) return true;
    const isNew = !file.isListed;
    file.isListed = true;
    return isNew;
  });
  return compareOrigin(origin, systemIdentifier, positions) ?? difference ?? findUnlisted(received);
}

function compareFile(expected: ManifestFile, file: ReceivedFile | undefined): ManifestMismatchError | undefined {
  const { path, size, algorithm, checksum } = expected;
  if (file === undefined) return mismatch(path, 'a file missing', 'a file', 'no file');
  if (file.size !== size) return mismatch(path, 'another size', `${size} bytes`, `${file.size} bytes`);
  if (file.checksum === checksum) return undefined;
  return mismatch(path, 'another checksum', `${algorithm} ${checksum}`, file.checksum);
}

function findUnlisted(received: ReadonlyMap<string, ReceivedFile>): ManifestMismatchError | undefined {
  for (const [path, { isListed }] of received) {
    if (isListed || UNLISTED.test(path)) continue;
    return mismatch(path, 'a file that is not in the manifest', 'no file', 'a file');
  }
  return undefined;
}

/** Whether the manifest is of this system and of this backup; its files are not looked at. */
export function compareOrigin(
  origin: ManifestOrigin,
  systemIdentifier: bigint,
  positions: BackupPositions,
): ManifestMismatchError | undefined {
  if (origin.systemIdentifier !== undefined && origin.systemIdentifier !== systemIdentifier) {
    return mismatch('System-Identifier', 'another system', String(origin.systemIdentifier), String(systemIdentifier));
  }
  return compareWalRanges(origin, positions);
}

function compareWalRanges(
  { walRanges }: ManifestOrigin,
  positions: BackupPositions,
): ManifestMismatchError | undefined {
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
