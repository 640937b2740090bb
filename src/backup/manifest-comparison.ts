import { ManifestMismatchError } from '../errors.js';
import { Lsn } from '../lsn.js';
import type { BackupPositions } from './backup-layout.js';
import { type ManifestFile, type ManifestOrigin, type ManifestWalRange, scanManifest, showPath } from './manifest.js';

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
/** Of a manifest, in a message. */
const MAX_SHOWN_RANGES = 4;

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

/** One range for each timeline, each from where the one before was left, over all that the backup needs. */
function compareWalRanges(
  { walRanges }: ManifestOrigin,
  { startLsn, startTimeline, endLsn, endTimeline }: BackupPositions,
): ManifestMismatchError | undefined {
  const ranges = walRanges.toSorted((a, b) => a.timeline - b.timeline);
  const [first, last] = [ranges[0], ranges.at(-1)];
  const isChain = ranges.every((range, index) => {
    const before = ranges[index - 1];
    return before === undefined || (before.timeline < range.timeline && before.endLsn === range.startLsn);
  });
  const begins = first?.timeline === startTimeline && first.startLsn === startLsn;
  if (isChain && begins && last?.timeline === endTimeline && last.endLsn === endLsn) return undefined;
  const shown = ({ timeline, ...range }: ManifestWalRange) =>
    `${Lsn.format(range.startLsn)} to ${Lsn.format(range.endLsn)} on timeline ${timeline}`;
  const listed = ranges.slice(0, MAX_SHOWN_RANGES).map(shown).join(', ') || 'none';
  const needed = `${Lsn.format(startLsn)} on timeline ${startTimeline} to ${Lsn.format(endLsn)} on timeline ${endTimeline}`;
  return mismatch('WAL-Ranges', 'other WAL', listed, needed);
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
