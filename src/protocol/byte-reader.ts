import { isUtf8 } from 'node:buffer';
import { DecodeError } from '../errors.js';

/** A cursor over one message that never reads past its end: {@link DecodeError} with the offset instead. */
export class ByteReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get offset(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#end - this.#at;
  }

  /** The next byte, which stays the next one; `undefined` at the end. */
  peek(): number | undefined {
    return this.#at < this.#end ? this.#bytes[this.#at] : undefined;
  }

  uint8(): number {
    return this.#bytes[this.#advance(1)];
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#advance(2));
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#advance(4));
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#advance(4));
  }

  uint64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#advance(8));
  }

  int64(): bigint {
    return this.#bytes.readBigInt64BE(this.#advance(8));
  }

  /** A string that ends in a zero byte. Names must not become other names, so invalid UTF-8 is a {@link DecodeError}. */
  cString(): string {
    const zero = this.#bytes.indexOf(0, this.#at);
    if (zero === -1 || zero >= this.#end) {
      throw new DecodeError('string without its terminating zero byte', { offset: this.#at });
    }
    if (!isUtf8(this.#bytes.subarray(this.#at, zero))) {
      throw new DecodeError('string is not valid UTF-8', { offset: this.#at });
    }
    const text = this.#bytes.toString('utf8', this.#at, zero);
    this.#at = zero + 1;
    return text;
  }

  /** A copy of the next `count` bytes. */
  copy(count: number): Buffer {
    const start = this.#advance(count);
    return Buffer.from(this.#bytes.subarray(start, start + count));
  }

  /** {@link DecodeError} unless every byte was read. */
  expectEnd(): void {
    if (this.#at !== this.#end) {
      throw new DecodeError(`${this.#end - this.#at} bytes after the end of the message`, { offset: this.#at });
    }
  }

  #advance(count: number): number {
    const start = this.#at;
    if (count < 0 || count > this.#end - start) {
      throw new DecodeError(`${count} bytes wanted where ${this.#end - start} are left`, { offset: start });
    }
    this.#at = start + count;
    return start;
  }
}
