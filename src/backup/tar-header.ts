/*
 * Header of a member of a tar archive: 512 bytes, ustar. PostgreSQL writes names of up to 99 bytes, sizes in octal or, above 8 GiB, in
 * base 256, and no extensions (PAX, GNU long names).
 *
 *   name:Byte[100] mode:Byte[8] uid:Byte[8] gid:Byte[8] size:Byte[12] mtime:Byte[12] checksum:Byte[8] type:Byte1
 *   linkName:Byte[100] magic:Byte[6] version:Byte[2] user:Byte[32] group:Byte[32] major:Byte[8] minor:Byte[8] prefix:Byte[155]
 *
 * https://github.com/postgres/postgres/blob/master/src/port/tar.c
 */

export const TAR_BLOCK_BYTES = 512;

const SIZE = { start: 124, end: 136 } as const;
const CHECKSUM = { start: 148, end: 156 } as const;
const TYPE = 156;
const MAGIC = { start: 257, end: 262 } as const;
const PREFIX = { start: 345, end: 500 } as const;

export interface TarHeader {
  /** Bytes as latin1, as the manifest's paths; without the `/` at the end of a folder's name. */
  readonly name: string;
  readonly byteCount: number;
  readonly type: 'file' | 'folder' | 'link';
}

/** Reads the header at `at`, of which all 512 bytes must be there: `end` for a block of zeros, a sentence when it is none. */
export function parseTarHeader(bytes: Buffer, at: number): TarHeader | 'end' | { readonly problem: string } {
  const block = bytes.subarray(at, at + TAR_BLOCK_BYTES);
  if (isZero(block)) return 'end';
  if (block.toString('latin1', MAGIC.start, MAGIC.end) !== 'ustar') return { problem: 'a header without ustar magic' };
  if (octal(block, CHECKSUM) !== checksumOf(block)) return { problem: 'a header with a wrong checksum' };
  const type = typeOf(block[TYPE]);
  if (type === undefined) return { problem: `a member of type ${block[TYPE]}, which PostgreSQL does not write` };
  const byteCount = sizeOf(block);
  if (byteCount === undefined || (type !== 'file' && byteCount !== 0)) return { problem: 'a header with a bad size' };
  const prefix = text(block, PREFIX.start, PREFIX.end);
  const name = `${prefix === '' ? '' : `${prefix}/`}${text(block, 0, 100)}`;
  return { name: name.replace(/^(?:\.\/)+|\/+$/g, ''), byteCount, type };
}

/** Bytes of a member with what fills its last block. */
export function paddedTarBytes(byteCount: number): number {
  return Math.ceil(byteCount / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES;
}

function typeOf(flag: number | undefined): TarHeader['type'] | undefined {
  switch (flag) {
    case 0x00:
    case 0x30: // 0
      return 'file';
    case 0x32: // 2
      return 'link';
    case 0x35: // 5
      return 'folder';
    default:
      return undefined;
  }
}

function sizeOf(block: Buffer): number | undefined {
  if ((block[SIZE.start] & 0x80) === 0) return octal(block, SIZE);
  let size = BigInt(block[SIZE.start] & 0x7f);
  for (let at = SIZE.start + 1; at < SIZE.end; at++) size = (size << 8n) | BigInt(block[at]);
  return size > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : Number(size);
}

function octal(block: Buffer, { start, end }: { readonly start: number; readonly end: number }): number | undefined {
  const digits = text(block, start, end).trim();
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : undefined;
}

/** The sum of all bytes, the checksum's own taken as spaces. */
function checksumOf(block: Buffer): number {
  let sum = 0;
  for (let at = 0; at < TAR_BLOCK_BYTES; at++) {
    sum += at >= CHECKSUM.start && at < CHECKSUM.end ? 0x20 : block[at];
  }
  return sum;
}

function isZero(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}

function text(block: Buffer, start: number, end: number): string {
  const zero = block.indexOf(0, start);
  return block.toString('latin1', start, zero === -1 || zero > end ? end : zero);
}
