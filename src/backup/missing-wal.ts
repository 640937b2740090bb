import { BackupError } from '../errors.js';
import type { BackupPositions } from './backup-layout.js';
import type { ReceivedFile } from './manifest-comparison.js';
import { parseSegmentName, segmentName, segmentStart } from './wal-segment.js';

const WAL_FOLDER = 'pg_wal/';

/**
 * What is missing of the WAL that makes a backup consistent, or `undefined`: every segment from start to end must be
 * there and whole, on whatever timeline. No manifest lists them.
 */
export function findMissingWal(
  received: ReadonlyMap<string, Pick<ReceivedFile, 'size'>>,
  segmentBytes: number,
  { startLsn, endLsn }: BackupPositions,
): BackupError | undefined {
  const whole = new Set<bigint>();
  for (const [path, { size }] of received) {
    if (!path.startsWith(WAL_FOLDER) || size !== segmentBytes) continue;
    const segment = parseSegmentName(path.slice(WAL_FOLDER.length), segmentBytes);
    if (segment !== undefined) whole.add(segment.startLsn);
  }
  // The end itself is the first byte that is not needed.
  for (let lsn = segmentStart(startLsn, segmentBytes); lsn < endLsn; lsn += BigInt(segmentBytes)) {
    if (whole.has(lsn)) continue;
    const name = segmentName({ timeline: 0, startLsn: lsn }, segmentBytes).slice(8);
    return new BackupError(`the server sent no whole WAL segment ${name} of any timeline, which the backup needs`, {
      path: 'pg_wal',
    });
  }
  return undefined;
}
