import { BackupError } from '../errors.js';
import { parseTarHeader, TAR_BLOCK_BYTES, TAR_TRAILER_BLOCKS, type TarMember, tarPaddingBytes } from './tar-header.js';

/**
 * How an archive ends and begins: `server` with exactly two blocks of zeros, `server-14` without them, and `disk`, where
 * another tar may have packed it: with the folder itself first, and more zeros at the end.
 */
export type TarOrigin = 'server' | 'server-14' | 'disk';

/** Offsets are into the bytes that were given. */
export interface TarHandler {
  /** `header`: its block, which changes afterwards. */
  onMember(member: TarMember, header: Buffer): void;
  onContent(bytes: Buffer, start: number, end: number): void;
  /** The file has as many bytes as promised. */
  onMemberEnd(): void;
}

/**
 * Cuts an archive into its members as the bytes come, without copying content. What {@link parseTarHeader} does not take
 * is refused before it has any effect.
 *
 * ```
 * archive: { header[512] content padding to 512 } zeros[1024]
 * ```
 */
export class TarReader {
  readonly #archive: string;
  readonly #origin: TarOrigin;
  readonly #handler: TarHandler;
  readonly #header = Buffer.alloc(TAR_BLOCK_BYTES);
  #headerFilled = 0;
  #contentLeft = 0;
  #paddingLeft = 0;
  #inFile = false;
  #zeroBlocks = 0;
  #offset = 0;

  /** `archive` names it in errors. */
  constructor(archive: string, origin: TarOrigin, handler: TarHandler) {
    this.#archive = archive;
    this.#origin = origin;
    this.#handler = handler;
  }

  /** {@link BackupError} when the bytes are no archive of PostgreSQL's making. */
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
    const complete =
      this.#origin === 'disk'
        ? this.#zeroBlocks >= TAR_TRAILER_BLOCKS
        : this.#zeroBlocks === (this.#origin === 'server' ? TAR_TRAILER_BLOCKS : 0);
    if (!complete) throw this.#fault('it is cut off');
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
    const member = parseTarHeader(block);
    if (member === 'end') {
      this.#zeroBlocks++;
      const allowed = { disk: Number.POSITIVE_INFINITY, server: TAR_TRAILER_BLOCKS, 'server-14': 0 }[this.#origin];
      if (this.#zeroBlocks > allowed) throw this.#fault('zeros where a member is expected');
      return;
    }
    if (this.#zeroBlocks > 0) throw this.#fault('something behind its end');
    if ('problem' in member) throw this.#fault(member.problem);
    if (member.path === '') {
      if (this.#origin !== 'disk') throw this.#fault('a member without a name');
      return;
    }
    this.#handler.onMember(member, block);
    if (member.kind !== 'file') return;
    this.#inFile = true;
    this.#contentLeft = member.size;
    this.#paddingLeft = tarPaddingBytes(member.size);
    if (member.size === 0) this.#endFile();
  }

  #endFile(): void {
    this.#inFile = false;
    this.#handler.onMemberEnd();
  }

  #fault(problem: string): BackupError {
    return new BackupError(`${this.#archive} is malformed: ${problem}, at byte ${this.#offset}`, {
      path: this.#archive,
    });
  }
}
