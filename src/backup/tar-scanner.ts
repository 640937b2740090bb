import { paddedTarBytes, parseTarHeader, TAR_BLOCK_BYTES, type TarHeader } from './tar-header.js';

/** Told what an archive holds, in its order. */
export interface TarHandler {
  onMember(header: TarHeader): void;
  /** Some bytes of the member named last. */
  onData(bytes: Buffer): void;
  onMemberEnd(): void;
}

/** Cuts a stream of bytes into the members of a tar archive; holds no more than a header. */
export class TarScanner {
  readonly #handler: TarHandler;
  readonly #block = Buffer.alloc(TAR_BLOCK_BYTES);
  #blockFilled = 0;
  #dataLeft = 0;
  #paddingLeft = 0;
  #inMember = false;
  #zeroBlocks = 0;
  #problem: string | undefined;

  constructor(handler: TarHandler) {
    this.#handler = handler;
  }

  /** A sentence when the bytes are no archive: nothing more is read then. */
  push(bytes: Buffer): string | undefined {
    let at = 0;
    while (at < bytes.length && this.#problem === undefined) {
      if (this.#dataLeft > 0) {
        const count = Math.min(this.#dataLeft, bytes.length - at);
        this.#handler.onData(bytes.subarray(at, at + count));
        this.#dataLeft -= count;
        at += count;
        if (this.#dataLeft === 0) this.#endMember();
      } else if (this.#paddingLeft > 0) {
        const count = Math.min(this.#paddingLeft, bytes.length - at);
        this.#paddingLeft -= count;
        at += count;
      } else {
        const count = Math.min(TAR_BLOCK_BYTES - this.#blockFilled, bytes.length - at);
        bytes.copy(this.#block, this.#blockFilled, at, at + count);
        this.#blockFilled += count;
        at += count;
        if (this.#blockFilled === TAR_BLOCK_BYTES) this.#onBlock();
      }
    }
    return this.#problem;
  }

  /** A sentence unless the archive is whole: two blocks of zeros end it. */
  end(): string | undefined {
    if (this.#problem !== undefined) return this.#problem;
    const between = !this.#inMember && this.#paddingLeft === 0 && this.#blockFilled === 0;
    return between && this.#zeroBlocks >= 2 ? undefined : 'the archive is cut off';
  }

  #onBlock(): void {
    this.#blockFilled = 0;
    const header = parseTarHeader(this.#block, 0);
    if (header === 'end') {
      this.#zeroBlocks++;
    } else if ('problem' in header) {
      this.#problem = header.problem;
    } else if (this.#zeroBlocks > 0) {
      this.#problem = 'a member after the end of the archive';
    } else {
      this.#inMember = true;
      this.#dataLeft = header.byteCount;
      this.#paddingLeft = paddedTarBytes(header.byteCount) - header.byteCount;
      this.#handler.onMember(header);
      if (header.byteCount === 0) this.#endMember();
    }
  }

  #endMember(): void {
    this.#inMember = false;
    this.#handler.onMemberEnd();
  }
}
