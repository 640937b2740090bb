import { constants, isUtf8 } from 'node:buffer';
import { DecodeError } from '../errors.js';
import {
  EXTENSION_JSON,
  EXTENSION_OBJECT,
  EXTENSION_RANGE,
  EXTENSION_UNCHANGED,
  EXTENSION_VALUE,
} from './pack-extensions.js';

/**
 * Copies up to this many bytes are done by four-byte words, longer ones by `TypedArray.set`, whose call alone costs
 * about 40 ns. Measured on Node 20, from shared memory: 12 against 48 ns at 64 bytes, 25 against 62 at 128. The
 * longer ones then also need a check for UTF-8, where words tell ASCII by the way: even at about 600.
 */
const WORD_COPY_MAX_BYTES = 512;

/**
 * Longest text that is taken, in bytes: more may not fit into a JavaScript string (about 512 MiB on 64-bit platforms).
 */
export const MAX_TEXT_BYTES = constants.MAX_STRING_LENGTH;

/** Longest header of a MessagePack value: str 32, bin 32 and array 32 take five bytes, ext 32 six. */
const HEADER_MAX_BYTES = 6;

/**
 * An append-only MessagePack buffer. Every `write...` method appends exactly one value.
 *
 * `bytes`, `view` and `position` are open to the column writers: they call {@link reserve} once per value, then write
 * in place. `bytes` and `view` change when the buffer grows, so they must be read after `reserve`.
 */
export class PackWriter {
  bytes: Buffer;
  view: DataView;
  position = 0;
  #source: Buffer;
  #sourceView: DataView;

  constructor(initialBytes: number) {
    // Not from Buffer's pool, so that the ArrayBuffer belongs to this writer alone and can be transferred.
    this.bytes = Buffer.allocUnsafeSlow(Math.max(initialBytes, 64));
    this.view = viewOf(this.bytes);
    this.#source = this.bytes;
    this.#sourceView = this.view;
  }

  /** Makes room for `byteCount` more bytes, at least doubling the buffer when it is too small. */
  reserve(byteCount: number): void {
    if (this.position + byteCount > this.bytes.length) {
      this.#grow(byteCount);
    }
  }

  /**
   * The bytes written so far, over an ArrayBuffer of their own that can be transferred. The writer goes on with a new
   * buffer of `nextBytes`, or of the same size.
   */
  take(nextBytes: number = this.bytes.length): Buffer {
    const taken = this.bytes.subarray(0, this.position);
    this.bytes = Buffer.allocUnsafeSlow(Math.max(nextBytes, 64));
    this.view = viewOf(this.bytes);
    this.position = 0;
    // The last source would otherwise be kept alive until the next value.
    this.#source = this.bytes;
    this.#sourceView = this.view;
    return taken;
  }

  writeNil(): void {
    this.reserve(1);
    this.bytes[this.position++] = 0xc0;
  }

  writeUnchanged(): void {
    this.#writeFixExtension(EXTENSION_UNCHANGED);
  }

  writeBoolean(value: boolean): void {
    this.reserve(1);
    this.bytes[this.position++] = value ? 0xc3 : 0xc2;
  }

  /** An integer of -2^31 to 2^32 - 1 in its shortest form. */
  writeInteger(value: number): void {
    this.reserve(5);
    const { bytes, view, position } = this;
    // 0x40 to 0x7f, integers in plain MessagePack, begin rows: 64 and above take the uint 8 form.
    if (value >= 0) {
      if (value < 0x40) {
        bytes[position] = value;
        this.position = position + 1;
      } else if (value < 0x100) {
        bytes[position] = 0xcc;
        bytes[position + 1] = value;
        this.position = position + 2;
      } else if (value < 0x10000) {
        bytes[position] = 0xcd;
        view.setUint16(position + 1, value);
        this.position = position + 3;
      } else {
        bytes[position] = 0xce;
        view.setUint32(position + 1, value);
        this.position = position + 5;
      }
    } else if (value >= -32) {
      bytes[position] = value;
      this.position = position + 1;
    } else if (value >= -0x80) {
      bytes[position] = 0xd0;
      bytes[position + 1] = value;
      this.position = position + 2;
    } else if (value >= -0x8000) {
      bytes[position] = 0xd1;
      view.setInt16(position + 1, value);
      this.position = position + 3;
    } else {
      bytes[position] = 0xd2;
      view.setInt32(position + 1, value);
      this.position = position + 5;
    }
  }

  /** Any number, as a 64-bit float. Reads as the same number, -0 and NaN included. */
  writeFloat64(value: number): void {
    this.reserve(9);
    this.bytes[this.position] = 0xcb;
    this.view.setFloat64(this.position + 1, value);
    this.position += 9;
  }

  /** A 64-bit integer given by its halves; always reads as a bigint. */
  writeInt64(high: number, low: number): void {
    this.reserve(9);
    const { view, position } = this;
    this.bytes[position] = 0xd3;
    view.setInt32(position + 1, high);
    view.setInt32(position + 5, low);
    this.position = position + 9;
  }

  /** A 64-bit integer; always reads as a bigint. */
  writeBigInt64(value: bigint): void {
    this.reserve(9);
    this.bytes[this.position] = 0xd3;
    this.view.setBigInt64(this.position + 1, value);
    this.position += 9;
  }

  /**
   * A string from the UTF-8 bytes of `source`.
   * @throws DecodeError when they are not valid UTF-8 or more than {@link MAX_TEXT_BYTES}.
   */
  writeUtf8Slice(source: Buffer, start: number, end: number): void {
    const byteCount = end - start;
    requireTextLength(byteCount, start);
    this.reserve(byteCount + HEADER_MAX_BYTES);
    this.#writeStringHeader(byteCount);
    this.#copyUtf8(source, start, end);
  }

  /** A JavaScript string. */
  writeString(value: string): void {
    const byteCount = Buffer.byteLength(value);
    this.reserve(byteCount + HEADER_MAX_BYTES);
    this.#writeStringHeader(byteCount);
    this.position += this.bytes.write(value, this.position);
  }

  /** JSON text, carried as it is and parsed when the row is read. */
  writeJson(source: Buffer, start: number, end: number): void {
    const byteCount = end - start;
    requireTextLength(byteCount, start);
    this.#writeFixExtension(EXTENSION_JSON);
    this.reserve(byteCount + HEADER_MAX_BYTES);
    this.#writeStringHeader(byteCount);
    this.#copyUtf8(source, start, end);
  }

  /** Bytes; reads as a Buffer of its own. */
  writeBinary(source: Buffer, start: number, end: number): void {
    const byteCount = end - start;
    this.writeBinaryHeader(byteCount);
    this.bytes.set(source.subarray(start, end), this.position);
    this.position += byteCount;
  }

  /** Header of a bytes value, with room reserved for the `byteCount` bytes that the caller then writes. */
  writeBinaryHeader(byteCount: number): void {
    this.reserve(byteCount + HEADER_MAX_BYTES);
    const { bytes, view, position } = this;
    if (byteCount < 0x100) {
      bytes[position] = 0xc4;
      bytes[position + 1] = byteCount;
      this.position = position + 2;
    } else if (byteCount < 0x10000) {
      bytes[position] = 0xc5;
      view.setUint16(position + 1, byteCount);
      this.position = position + 3;
    } else {
      bytes[position] = 0xc6;
      view.setUint32(position + 1, byteCount);
      this.position = position + 5;
    }
  }

  /** Header of a string, with room reserved for the `byteCount` bytes of valid UTF-8 that the caller then writes. */
  writeStringHeader(byteCount: number): void {
    this.reserve(byteCount + HEADER_MAX_BYTES);
    this.#writeStringHeader(byteCount);
  }

  /**
   * Ends a string of at most 255 bytes whose length was not known before: the caller reserved two bytes more than the
   * string takes, wrote it from `position` + 1 on, up to `end`, and left `position` as it was.
   */
  finishString(end: number): void {
    const { bytes, position } = this;
    const byteCount = end - position - 1;
    if (byteCount < 32) {
      bytes[position] = 0xa0 | byteCount;
      this.position = end;
    } else {
      bytes.copyWithin(position + 2, position + 1, end);
      bytes[position] = 0xd9;
      bytes[position + 1] = byteCount;
      this.position = end + 1;
    }
  }

  /**
   * Header of an array whose `length` values follow. Returns its position for {@link setArrayLength}, for those who
   * know the length only at the end.
   */
  writeArrayHeader(length: number): number {
    this.reserve(5);
    const { position } = this;
    this.bytes[position] = 0xdd;
    this.view.setUint32(position + 1, length);
    this.position = position + 5;
    return position;
  }

  setArrayLength(headerPosition: number, length: number): void {
    this.view.setUint32(headerPosition + 1, length);
  }

  /** Header of an object, whose keys (strings) and values follow in turn. Returns its position, like that of an array. */
  writeObjectHeader(keyCount: number): number {
    this.#writeFixExtension(EXTENSION_OBJECT);
    return this.writeArrayHeader(keyCount * 2);
  }

  setObjectLength(headerPosition: number, keyCount: number): void {
    this.setArrayLength(headerPosition, keyCount * 2);
  }

  /** Header of a range, whose lower and upper bound follow. */
  writeRangeHeader(flags: number): void {
    this.#writeFixExtension(EXTENSION_RANGE);
    this.writeArrayHeader(3);
    this.writeInteger(flags);
  }

  /** The server's text, from UTF-8 bytes, for a parser that runs when the row is read. */
  writeUnparsed(extension: number, parser: number, source: Buffer, start: number, end: number): void {
    this.#writeFixExtension(extension);
    this.writeArrayHeader(2);
    this.writeInteger(parser);
    this.writeUtf8Slice(source, start, end);
  }

  /** A value that is packed already, in a way of its own. */
  writePacked(packed: Uint8Array): void {
    this.reserve(packed.length + HEADER_MAX_BYTES);
    this.#writeExtensionHeader(EXTENSION_VALUE, packed.length);
    this.bytes.set(packed, this.position);
    this.position += packed.length;
  }

  #writeStringHeader(byteCount: number): void {
    const { bytes, view, position } = this;
    if (byteCount < 32) {
      bytes[position] = 0xa0 | byteCount;
      this.position = position + 1;
    } else if (byteCount < 0x100) {
      bytes[position] = 0xd9;
      bytes[position + 1] = byteCount;
      this.position = position + 2;
    } else if (byteCount < 0x10000) {
      bytes[position] = 0xda;
      view.setUint16(position + 1, byteCount);
      this.position = position + 3;
    } else {
      bytes[position] = 0xdb;
      view.setUint32(position + 1, byteCount);
      this.position = position + 5;
    }
  }

  #writeExtensionHeader(type: number, byteCount: number): void {
    const { bytes, view, position } = this;
    if (byteCount < 0x100) {
      bytes[position] = 0xc7;
      bytes[position + 1] = byteCount;
      bytes[position + 2] = type;
      this.position = position + 3;
    } else if (byteCount < 0x10000) {
      bytes[position] = 0xc8;
      view.setUint16(position + 1, byteCount);
      bytes[position + 3] = type;
      this.position = position + 4;
    } else {
      bytes[position] = 0xc9;
      view.setUint32(position + 1, byteCount);
      bytes[position + 5] = type;
      this.position = position + 6;
    }
  }

  #writeFixExtension(type: number): void {
    this.reserve(3);
    const { bytes, position } = this;
    bytes[position] = 0xd4;
    bytes[position + 1] = type;
    bytes[position + 2] = 0;
    this.position = position + 3;
  }

  #copyUtf8(source: Buffer, start: number, end: number): void {
    const { bytes, position } = this;
    const byteCount = end - start;
    // The bits of all bytes together say whether all of them are ASCII, which needs no further check.
    let bits = 0;
    let from = start;
    let to = position;
    if (byteCount > WORD_COPY_MAX_BYTES) {
      bytes.set(source.subarray(start, end), position);
      bits = 0x80;
    } else {
      if (byteCount >= 8) {
        const sourceView = source === this.#source ? this.#sourceView : this.#bindSource(source);
        const { view } = this;
        for (const lastWord = end - 4; from <= lastWord; from += 4) {
          const word = sourceView.getInt32(from);
          bits |= word;
          view.setInt32(to, word);
          to += 4;
        }
      }
      for (; from < end; from++) {
        const byte = source[from] ?? 0;
        bits |= byte;
        bytes[to++] = byte;
      }
    }
    if ((bits & 0x80808080) !== 0 && !isUtf8(bytes.subarray(position, position + byteCount))) {
      throw new DecodeError('text is not valid UTF-8', { offset: start });
    }
    this.position = position + byteCount;
  }

  #bindSource(source: Buffer): DataView {
    this.#source = source;
    this.#sourceView = viewOf(source);
    return this.#sourceView;
  }

  #grow(byteCount: number): void {
    const needed = this.position + byteCount;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, needed));
    this.bytes.copy(grown, 0, 0, this.position);
    this.bytes = grown;
    this.view = viewOf(grown);
  }
}

function requireTextLength(byteCount: number, start: number): void {
  if (byteCount > MAX_TEXT_BYTES) {
    throw new DecodeError(`text of ${byteCount} bytes is longer than a JavaScript string can be`, { offset: start });
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
