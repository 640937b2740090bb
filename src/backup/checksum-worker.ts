import { closeSync, openSync, readSync } from 'node:fs';
import { BackupError } from '../errors.js';
import type {
  ArchiveToCheck,
  CheckedMember,
  CheckedStretch,
  ChecksumReply,
  ChecksumTask,
  StretchToCheck,
} from './checksum-task.js';
import { readCompressedArchive } from './compressed-archive.js';
import { CONTROL_FILE_READ_BYTES } from './control-file.js';
import { ManifestChecksum } from './manifest-checksum.js';
import { systemReason } from './system-reason.js';
import type { TarMember } from './tar-header.js';
import type { TarHandler } from './tar-reader.js';
import { WalArchiveScan } from './wal-archive-scan.js';

/* What runs in each thread that makes checksums. It has nothing else to do, so it reads synchronously. */

const READ_BYTES = 512 * 1024;
const buffer = Buffer.allocUnsafeSlow(READ_BYTES);

export async function runChecksumTask(task: ChecksumTask): Promise<ChecksumReply> {
  switch (task.kind) {
    case 'files':
      return { kind: 'files', files: task.files.map(checkStretch) };
    case 'archive':
      return checkArchive(task);
    default:
      return task satisfies never;
  }
}

function checkStretch({ path, algorithm, offset, byteCount }: StretchToCheck): CheckedStretch {
  const checksum = new ManifestChecksum(algorithm);
  let file: number | undefined;
  try {
    file = openSync(Buffer.from(path), 'r');
    let done = 0;
    for (;;) {
      const wanted = Math.min(READ_BYTES, (byteCount ?? Number.POSITIVE_INFINITY) - done);
      const count = wanted === 0 ? 0 : readSync(file, buffer, 0, wanted, offset + done);
      if (count === 0) return { checksum: checksum.digest(), byteCount: done };
      checksum.update(buffer.subarray(0, count));
      done += count;
    }
  } catch (error) {
    return { reason: systemReason(error) };
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

async function checkArchive(archive: ArchiveToCheck): Promise<ChecksumReply> {
  const members: CheckedMember[] = [];
  const wal = archive.wal && new WalArchiveScan(archive.wal.ranges);
  const folder = archive.wal?.folder ?? '';
  /** The same for every reading. */
  const walHandler: TarHandler = {
    onMember: ({ kind, path, size }) => {
      if (kind === 'file' && path.startsWith(folder)) wal?.begin(path.slice(folder.length), size);
    },
    onContent: (bytes, start, end) => wal?.push(bytes, start, end),
    onMemberEnd: () => wal?.end(),
  };
  const wantedParts: Buffer[] = [];
  let wantedLeft = CONTROL_FILE_READ_BYTES;
  let current: { readonly member: TarMember; readonly checksum: ManifestChecksum | undefined } | undefined;
  const handler: TarHandler = {
    onMember: (member, header) => {
      walHandler.onMember(member, header);
      const algorithm = archive.algorithms.get(member.path);
      current = { member, checksum: algorithm && new ManifestChecksum(algorithm) };
    },
    onContent: (bytes, start, end) => {
      walHandler.onContent(bytes, start, end);
      const content = bytes.subarray(start, end);
      current?.checksum?.update(content);
      if (current?.member.path !== archive.wanted || wantedLeft === 0) return;
      const part = Buffer.from(content.subarray(0, wantedLeft));
      wantedLeft -= part.length;
      wantedParts.push(part);
    },
    onMemberEnd: () => {
      walHandler.onMemberEnd();
      if (current !== undefined) members.push({ ...current.member, checksum: current.checksum?.digest() });
    },
  };
  let problem: string | undefined;
  try {
    await readCompressedArchive(archive.path, archive.compression, handler);
    while (wal?.endReading()) await readCompressedArchive(archive.path, archive.compression, walHandler);
  } catch (error) {
    problem = error instanceof BackupError ? error.message : `cannot be read: ${systemReason(error)}`;
  }
  const wantedBytes = wantedParts.length === 0 ? undefined : Buffer.concat(wantedParts);
  return { kind: 'archive', members, wantedBytes, wal: wal?.judge(), problem };
}
