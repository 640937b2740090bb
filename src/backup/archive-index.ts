import { open } from 'node:fs/promises';
import { paddedTarBytes, parseTarHeader, TAR_BLOCK_BYTES, type TarHeader } from './tar-header.js';

export interface IndexedMember extends TarHeader {
  /** Where its bytes begin in the archive. */
  readonly offset: number;
}

/** What an archive holds, and why it was not read to its end. */
export interface ArchiveIndex {
  readonly members: readonly IndexedMember[];
  readonly problem: string | undefined;
}

/** Reads the headers of an archive that is not compressed, and none of its files. Errors of the system are thrown. */
export async function indexArchive(path: string): Promise<ArchiveIndex> {
  await using file = await open(path, 'r');
  const { size } = await file.stat();
  const members: IndexedMember[] = [];
  const block = Buffer.alloc(TAR_BLOCK_BYTES);
  let zeroBlocks = 0;
  for (let at = 0; at < size; ) {
    const { bytesRead } = await file.read(block, 0, TAR_BLOCK_BYTES, at);
    if (bytesRead < TAR_BLOCK_BYTES) return { members, problem: 'the archive is cut off' };
    at += TAR_BLOCK_BYTES;
    const header = parseTarHeader(block, 0);
    if (header === 'end') {
      zeroBlocks++;
      continue;
    }
    if ('problem' in header) return { members, problem: header.problem };
    if (zeroBlocks > 0) return { members, problem: 'a member after the end of the archive' };
    const next = at + paddedTarBytes(header.byteCount);
    if (next > size) return { members, problem: 'the archive is cut off' };
    members.push({ ...header, offset: at });
    at = next;
  }
  return { members, problem: zeroBlocks >= 2 ? undefined : 'the archive is cut off' };
}
