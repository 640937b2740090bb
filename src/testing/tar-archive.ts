/** A member of a tar archive, made by hand: much of what a test wants no packer would make. */
export interface TarEntry {
  /** Path in the archive, cut off after 100 bytes. */
  readonly name: string;
  /** `0` file, `2` symlink, `5` directory, or anything else. */
  readonly type?: string;
  /** Default: none. */
  readonly content?: Uint8Array | string;
  /** Where a symlink leads. */
  readonly linkName?: string;
  /** Instead of the content's. */
  readonly size?: number;
  /** Raw bytes put into the header before its checksum is made. */
  readonly patch?: { readonly at: number; readonly bytes: Uint8Array };
}

export const TAR_END: Buffer = Buffer.alloc(1024);

/** One member: header, content, padding. */
export function tarMember(entry: TarEntry): Buffer {
  const content = Buffer.from(entry.content ?? '');
  const header = tarHeader(entry, content.length);
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

export function tarArchive(...entries: readonly TarEntry[]): Buffer {
  return Buffer.concat([...entries.map(tarMember), TAR_END]);
}

/** As PostgreSQL's tarCreateHeader. */
function tarHeader({ name, type = '0', linkName = '', size, patch }: TarEntry, contentBytes: number): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0, 100, 'latin1');
  header.write('0000600 ', 100, 'latin1');
  header.write('0000000 ', 108, 'latin1');
  header.write('0000000 ', 116, 'latin1');
  header.write(`${(size ?? contentBytes).toString(8).padStart(11, '0')} `, 124, 'latin1');
  header.write('14000000000 ', 136, 'latin1');
  header.write(type, 156, 1, 'latin1');
  header.write(linkName, 157, 100, 'latin1');
  header.write('ustar\0', 257, 'latin1');
  header.write('00', 263, 'latin1');
  header.write('postgres', 265, 'latin1');
  if (patch !== undefined) header.set(patch.bytes, patch.at);
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}
