import { decode, encode, type Headers } from 'tar-stream/headers.js';

/*
 * Header of a member of a tar archive, read and written by tar-stream. PostgreSQL writes names of up to 99 bytes, sizes in octal
 * or, above 8 GiB, in base 256, and no extensions (PAX, GNU long names).
 *
 *   name:Byte[100] mode:Byte[8] uid:Byte[8] gid:Byte[8] size:Byte[12] mtime:Byte[12] checksum:Byte[8] type:Byte1
 *   linkName:Byte[100] magic:Byte[6] version:Byte[2] user:Byte[32] group:Byte[32] major:Byte[8] minor:Byte[8] prefix:Byte[155]
 *
 * https://github.com/postgres/postgres/blob/master/src/port/tar.c
 */

export const TAR_BLOCK_BYTES = 512;
/** An archive ends with two blocks of zeros. */
export const TAR_TRAILER_BLOCKS = 2;

const SIZE_AT = 124;
/** First byte of a negative number in base 256; tar-stream makes -0 of -1. */
const NEGATIVE = 0xff;
const MODIFIED_AT = 136;
const MODIFIED_END = 148;
const TYPE_AT = 156;
const REGULAR_FILE = 0x30;
const SYMBOLIC_LINK = 0x32;
const DIRECTORY = 0x35;

export interface TarMember {
  readonly kind: 'file' | 'directory' | 'symlink';
  /**
   * Relative path without `./` and the `/` behind folders, each character one byte (latin1), as in the manifest. Empty for
   * the folder itself, which archives that were packed again begin with.
   */
  readonly path: string;
  /** Bytes of a file; 0 for everything else. */
  readonly size: number;
  /** Of a symlink, as it stands there; latin1. */
  readonly target: string;
}

/** Why a block is no header of PostgreSQL's making. */
export interface TarProblem {
  readonly problem: string;
}

/**
 * Reads one block: `end` for one of zeros. What PostgreSQL does not write is a problem: extended headers, other kinds of
 * members, names that lead out of the folder.
 */
export function parseTarHeader(block: Buffer): TarMember | TarProblem | 'end' {
  if (block.every((byte) => byte === 0)) return 'end';
  const kind = KINDS[block[TYPE_AT]];
  if (kind === undefined) return { problem: `a member of the type 0x${block[TYPE_AT].toString(16)}` };
  if (TEXT_FIELDS.some(([start, end]) => hidesBytes(block, start, end))) return { problem: 'a name with a NUL in it' };
  const header = decodeHeader(block);
  if (header === undefined) return { problem: 'a header that is none' };
  const { size } = header;
  const isSize = Number.isSafeInteger(size) && size >= 0 && block[SIZE_AT] !== NEGATIVE;
  if (!isSize || (kind !== 'file' && size !== 0)) return { problem: 'a member with an impossible size' };
  const path = pathFrom(header.name, kind);
  return path === undefined
    ? { problem: 'a member with a name that leads elsewhere' }
    : { kind, path, size, target: header.linkname ?? '' };
}

/** When a file was changed last, in seconds since 1970; 0 where the header, which is one, does not say. */
export function tarModifiedAt(block: Buffer): number {
  const seconds = Number.parseInt(block.toString('latin1', MODIFIED_AT, MODIFIED_END), 8);
  return Number.isSafeInteger(seconds) ? seconds : 0;
}

/** What fills the last block of a file. */
export function tarPaddingBytes(size: number): number {
  return (TAR_BLOCK_BYTES - (size % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
}

/** Header of a file, as PostgreSQL's tarCreateHeader makes them. `path` is ASCII of up to 99 characters. */
export function encodeTarHeader(path: string, size: number, mode: number): Buffer {
  return encodeHeader({
    name: path,
    size,
    mode,
    uid: 0o4000,
    gid: 0o2000,
    mtime: new Date(),
    type: 'file',
    uname: 'postgres',
    gname: '',
    linkname: null,
  });
}

/** The same header for a file of another size. */
export function resizeTarHeader(block: Buffer, size: number): Buffer {
  const header = decodeHeader(block);
  if (header === undefined) throw new RangeError('not a header');
  return encodeHeader({ ...header, size });
}

function encodeHeader(header: Headers): Buffer {
  const block = encode(header);
  if (block === null) throw new RangeError(`a name that fits no tar header: ${header.name}`);
  return Buffer.from(block);
}

function decodeHeader(block: Buffer): Headers | undefined {
  try {
    return decode(block, 'latin1', false) ?? undefined;
  } catch {
    // Its errors speak to users of tar files.
    return undefined;
  }
}

function pathFrom(name: string, kind: TarMember['kind']): string | undefined {
  if (kind === 'directory' && name === './') return '';
  const withoutDot = name.startsWith('./') ? name.slice(2) : name;
  const path = kind !== 'file' && withoutDot.endsWith('/') ? withoutDot.slice(0, -1) : withoutDot;
  const harmless = path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
  return harmless && !(process.platform === 'win32' && /[\\:]/.test(path)) ? path : undefined;
}

/** Bytes behind a NUL would be dropped. */
function hidesBytes(block: Buffer, start: number, end: number): boolean {
  const zero = block.indexOf(0, start);
  return zero !== -1 && zero < end && block.subarray(zero, end).some((byte) => byte !== 0);
}

const KINDS: Readonly<Record<number, TarMember['kind']>> = {
  [REGULAR_FILE]: 'file',
  [SYMBOLIC_LINK]: 'symlink',
  [DIRECTORY]: 'directory',
};

/** name, linkname and prefix */
const TEXT_FIELDS = [
  [0, 100],
  [157, 257],
  [345, 500],
] as const;
