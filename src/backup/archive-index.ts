import { open } from 'node:fs/promises';
import { parseTarHeader, TAR_BLOCK_BYTES, TAR_TRAILER_BLOCKS, type TarMember, tarPaddingBytes } from './tar-header.js';

export interface IndexedMember extends TarMember {
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
    const member = parseTarHeader(block);
    if (member === 'end') {
      zeroBlocks++;
      continue;
    }
    if (zeroBlocks > 0) return { members, problem: 'something behind the end of the archive' };
    if ('problem' in member) return { members, problem: member.problem };
    const next = at + member.size + tarPaddingBytes(member.size);
    if (next > size) return { members, problem: 'the archive is cut off' };
    if (member.path !== '') members.push({ ...member, offset: at });
    at = next;
  }
  return { members, problem: zeroBlocks >= TAR_TRAILER_BLOCKS ? undefined : 'the archive is cut off' };
}
