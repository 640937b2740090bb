import { decode, type Headers } from 'tar-stream/headers.js';
import { BackupError } from '../errors.js';

export const TAR_BLOCK_BYTES = 512;
/** An archive ends with two blocks of zeros. */
const TRAILER_BLOCKS = 2;

const SIZE_AT = 124;
/** First byte of a negative number in base 256; tar-stream makes -0 of -1. */
const NEGATIVE = 0xff;
const TYPE_AT = 156;
const REGULAR_FILE = 0x30;
const SYMBOLIC_LINK = 0x32;
const DIRECTORY = 0x35;

export interface TarMember {
  readonly kind: 'file' | 'directory' | 'symlink';
  /** Relative path without `./` and the `/` behind folders. Each character is one byte (latin1). */
  readonly path: string;
  /** Bytes of a file; 0 for everything else. */
  readonly size: number;
  /** Of a symlink, as sent; latin1. */
  readonly target: string;
}

/** Offsets are into the bytes that were given. */
export interface TarHandler {
  onMember(member: TarMember): void;
  onContent(bytes: Buffer, start: number, end: number): void;
  /** The file has as many bytes as promised. */
  onMemberEnd(): void;
}

/**
 * Cuts an archive of PostgreSQL's making into its members as the bytes come, without copying content. tar-stream reads
 * the headers; everything that PostgreSQL does not send is refused before it has any effect: extended headers, other
 * kinds of members, names that lead out of the folder.
 *
 * ```
 * archive: { header[512] content padding to 512 } zeros[1024]     14 leaves the zeros out
 * header:  name[100] mode[8] uid[8] gid[8] size[12] mtime[12] checksum[8] type[1] linkname[100] "ustar\0" "00" ...
 * ```
 *
 * @see https://github.com/postgres/postgres/blob/master/src/port/tar.c
 */
export class TarReader {
  readonly #archive: string;
  readonly #hasTrailer: boolean;
  readonly #handler: TarHandler;
  readonly #header = Buffer.alloc(TAR_BLOCK_BYTES);
  #headerFilled = 0;
  #contentLeft = 0;
  #paddingLeft = 0;
  #inFile = false;
  #zeroBlocks = 0;
  #offset = 0;

  /** `archive` names it in errors. */
  constructor(archive: string, hasTrailer: boolean, handler: TarHandler) {
    this.#archive = archive;
    this.#hasTrailer = hasTrailer;
    this.#handler = handler;
  }

  push(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      const count = this.#step(bytes, at, end);
      at += count;
      this.#offset += count;
    }
  }

  /** Nothing more comes; {@link BackupError} when something is missing. */
  end(): void {
    if (this.#inFile || this.#paddingLeft > 0 || this.#headerFilled > 0) throw this.#fault('it ends within a member');
    const trailer = this.#hasTrailer ? TRAILER_BLOCKS : 0;
    if (this.#zeroBlocks !== trailer) throw this.#fault('it is cut off');
  }

  #step(bytes: Buffer, at: number, end: number): number {
    const available = end - at;
    if (this.#inFile) {
      const count = Math.min(this.#contentLeft, available);
      this.#handler.onContent(bytes, at, at + count);
      this.#contentLeft -= count;
      if (this.#contentLeft === 0) this.#endFile();
      return count;
    }
    if (this.#paddingLeft > 0) {
      const count = Math.min(this.#paddingLeft, available);
      this.#paddingLeft -= count;
      return count;
    }
    const count = Math.min(TAR_BLOCK_BYTES - this.#headerFilled, available);
    bytes.copy(this.#header, this.#headerFilled, at, at + count);
    this.#headerFilled += count;
    if (this.#headerFilled === TAR_BLOCK_BYTES) {
      this.#headerFilled = 0;
      this.#onBlock(this.#header);
    }
    return count;
  }

  #onBlock(block: Buffer): void {
    if (block.every((byte) => byte === 0)) {
      this.#zeroBlocks++;
      if (!this.#hasTrailer || this.#zeroBlocks > TRAILER_BLOCKS) throw this.#fault('zeros where a member is expected');
      return;
    }
    if (this.#zeroBlocks > 0) throw this.#fault('something behind its end');
    const member = this.#memberFrom(block);
    this.#handler.onMember(member);
    if (member.kind !== 'file') return;
    this.#inFile = true;
    this.#contentLeft = member.size;
    this.#paddingLeft = (TAR_BLOCK_BYTES - (member.size % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
    if (member.size === 0) this.#endFile();
  }

  #endFile(): void {
    this.#inFile = false;
    this.#handler.onMemberEnd();
  }

  #memberFrom(block: Buffer): TarMember {
    const kind = KINDS[block[TYPE_AT]];
    if (kind === undefined) throw this.#fault(`a member of the type 0x${block[TYPE_AT].toString(16)}`);
    for (const [start, end] of TEXT_FIELDS) {
      const zero = block.indexOf(0, start);
      const rest = block.subarray(zero, end);
      if (zero < end && zero !== -1 && rest.some((byte) => byte !== 0)) throw this.#fault('a name with a NUL in it');
    }
    const header = this.#decode(block);
    const { size } = header;
    const isSize = Number.isSafeInteger(size) && size >= 0 && block[SIZE_AT] !== NEGATIVE;
    if (!isSize || (kind !== 'file' && size !== 0)) throw this.#fault('a member with an impossible size');
    return { kind, path: this.#pathFrom(header.name, kind), size, target: header.linkname ?? '' };
  }

  #decode(block: Buffer): Headers {
    try {
      const header = decode(block, 'latin1', false);
      if (header !== null) return header;
    } catch {
      // Its errors speak to users of tar files.
    }
    throw this.#fault('a header that is none');
  }

  #pathFrom(name: string, kind: TarMember['kind']): string {
    const withoutDot = name.startsWith('./') ? name.slice(2) : name;
    const path = kind !== 'file' && withoutDot.endsWith('/') ? withoutDot.slice(0, -1) : withoutDot;
    const harmless = path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
    if (!harmless || (process.platform === 'win32' && /[\\:]/.test(path))) {
      throw new BackupError(`${this.#archive} has a member with a name that leads elsewhere`, { path });
    }
    return path;
  }

  #fault(problem: string): BackupError {
    return new BackupError(`${this.#archive} is malformed: ${problem}, at byte ${this.#offset}`, {
      path: this.#archive,
    });
  }
}

const KINDS: Readonly<Record<number, TarMember['kind']>> = {
  [REGULAR_FILE]: 'file',
  [SYMBOLIC_LINK]: 'symlink',
  [DIRECTORY]: 'directory',
};

/** name, linkname and prefix: what is behind a NUL in them would be dropped. */
const TEXT_FIELDS = [
  [0, 100],
  [157, 257],
  [345, 500],
] as const;
