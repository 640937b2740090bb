import { BackupError, ProtocolError } from '../errors.js';
import type { BackupPositions } from './backup-layout.js';
import type { ReceivedFile } from './manifest-comparison.js';

const UNITS: Readonly<Record<string, number>> = { MB: 1024 ** 2, GB: 1024 ** 3 };
const MIN_SEGMENT_BYTES = 1024 ** 2;
const MAX_SEGMENT_BYTES = 1024 ** 3;

/** Answer to SHOW wal_segment_size: `16MB`. */
export function parseSegmentSize(text: string | null | undefined): number {
  const match = /^(\d{1,4})(MB|GB)$/.exec(text ?? '');
  const bytes = Number(match?.[1]) * (UNITS[match?.[2] ?? ''] ?? 0);
  const isPowerOf2 = Number.isInteger(Math.log2(bytes));
  if (!isPowerOf2 || bytes < MIN_SEGMENT_BYTES || bytes > MAX_SEGMENT_BYTES) {
    throw new ProtocolError('the server has no WAL segment size that can be read', { offset: 0 });
  }
  return bytes;
}

/**
 * What is missing of the WAL that makes a backup consistent, or `undefined`: every segment from start to end must be
 * there and whole, on whatever timeline. No manifest lists them.
 *
 * File name: timeline, then the segment's number in two parts, 8 hex digits each; 4 GiB of WAL have one first part.
 */
export function findMissingWal(
  received: ReadonlyMap<string, ReceivedFile>,
  segmentBytes: number,
  { startLsn, endLsn }: BackupPositions,
): BackupError | undefined {
  const whole = new Set<bigint>();
  const segmentsPerPart = 0x1_0000_0000n / BigInt(segmentBytes);
  for (const [path, { size }] of received) {
    const match = /^pg_wal\/[0-9A-F]{8}([0-9A-F]{8})([0-9A-F]{8})$/.exec(path);
    if (match === null || size !== segmentBytes) continue;
    whole.add(BigInt(`0x${match[1]}`) * segmentsPerPart + BigInt(`0x${match[2]}`));
  }
  // The end itself is the first byte that is not needed.
  const last = (endLsn - 1n) / BigInt(segmentBytes);
  for (let segment = startLsn / BigInt(segmentBytes); segment <= last; segment++) {
    if (whole.has(segment)) continue;
    const part = (number: bigint) => number.toString(16).toUpperCase().padStart(8, '0');
    const name = `${part(segment / segmentsPerPart)}${part(segment % segmentsPerPart)}`;
    return new BackupError(`the server sent no whole WAL segment ${name} of any timeline, which the backup needs`, {
      path: 'pg_wal',
    });
  }
  return undefined;
}
