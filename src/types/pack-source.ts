import { DecodeError } from '../errors.js';
import { DeferredFunction, DeferredPg, DeferredValue } from './deferred-value.js';
import { define } from './own-property.js';
import {
  EXTENSION_FUNCTION,
  EXTENSION_JSON,
  EXTENSION_OBJECT,
  EXTENSION_PG,
  EXTENSION_RANGE,
  EXTENSION_UNCHANGED,
  EXTENSION_VALUE,
} from './pack-extensions.js';
import { type RangeParts, rangeFrom } from './range-value.js';
import { UNCHANGED } from './unchanged.js';

/**
 * Text is made in windows: one string of so many bytes, of which the short ASCII ones around are slices. A call into the
 * engine for each costs several times as much. A slice keeps its window alive, so this also bounds what a string that
 * somebody keeps can hold.
 */
const WINDOW_BYTES = 1024;
/** Longer text is made on its own. */
const MAX_SLICED_BYTES = 256;

/** Packed memory, and where it is being read. It is not to change: parts of it are remembered. */
export class PackSource {
  readonly bytes: Buffer;
  readonly #view: DataView;
  at = 0;
  #end = 0;
  #window = '';
  #windowStart = 0;
  #windowEnd = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** What is read next lies in `[start, end)`. */
  enter(start: number, end: number): void {
    this.at = start;
    this.#end = end;
  }

  get atEnd(): boolean {
    return this.at === this.#end;
  }

  /**
   * The next value that a PackWriter wrote.
   * @throws DecodeError or RangeError when there is none.
   */
  read(): unknown {
    const token = this.bytes[this.at++];
    if (token < 0x40) return token;
    if (token >= 0xa0 && token < 0xc0) return this.#text(token & 0x1f);
    switch (token) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return this.#binary(this.#uint8());
      case 0xc5:
        return this.#binary(this.#uint16());
      case 0xc6:
        return this.#binary(this.#uint32());
      case 0xc7:
        return this.#extension(this.#uint8());
      case 0xc8:
        return this.#extension(this.#uint16());
      case 0xc9:
        return this.#extension(this.#uint32());
      case 0xcb:
        this.at += 8;
        return this.#view.getFloat64(this.at - 8);
      case 0xcc:
        return this.#uint8();
      case 0xcd:
        return this.#uint16();
      case 0xce:
        return this.#uint32();
      case 0xd0:
        this.at += 1;
        return this.#view.getInt8(this.at - 1);
      case 0xd1:
        this.at += 2;
        return this.#view.getInt16(this.at - 2);
      case 0xd2:
        this.at += 4;
        return this.#view.getInt32(this.at - 4);
      case 0xd3:
        this.at += 8;
        return this.#view.getBigInt64(this.at - 8);
      case 0xd4:
        return this.#marked();
      case 0xd9:
        return this.#text(this.#uint8());
      case 0xda:
        return this.#text(this.#uint16());
      case 0xdb:
        return this.#text(this.#uint32());
      case 0xdd:
        return this.#array();
      default:
        if (token >= 0xe0) return token - 0x100;
        throw this.#malformed();
    }
  }

  #uint8(): number {
    this.at += 1;
    return this.#view.getUint8(this.at - 1);
  }

  #uint16(): number {
    this.at += 2;
    return this.#view.getUint16(this.at - 2);
  }

  #uint32(): number {
    this.at += 4;
    return this.#view.getUint32(this.at - 4);
  }

  #text(byteCount: number): string {
    const start = this.#skip(byteCount);
    const end = this.at;
    if (byteCount > MAX_SLICED_BYTES || !this.#isAscii(start, end)) return this.bytes.toString('utf8', start, end);
    if (start < this.#windowStart || end > this.#windowEnd) {
      this.#windowStart = start;
      this.#windowEnd = Math.min(start + WINDOW_BYTES, this.bytes.length);
      this.#window = this.bytes.toString('latin1', start, this.#windowEnd);
    }
    return this.#window.substring(start - this.#windowStart, end - this.#windowStart);
  }

  #isAscii(start: number, end: number): boolean {
    let bits = 0;
    let at = start;
    for (const lastWord = end - 4; at <= lastWord; at += 4) bits |= this.#view.getInt32(at);
    for (; at < end; at++) bits |= this.bytes[at];
    return (bits & 0x80808080) === 0;
  }

  /** Bytes of their own: they must not keep the whole memory alive. */
  #binary(byteCount: number): Buffer {
    const start = this.#skip(byteCount);
    const own = Buffer.allocUnsafeSlow(byteCount);
    this.bytes.copy(own, 0, start, this.at);
    return own;
  }

  #array(): unknown[] {
    const length = this.#uint32();
    // Every element takes a byte at least.
    if (length > this.#end - this.at) throw this.#malformed();
    const values: unknown[] = [];
    for (let index = 0; index < length; index++) values.push(this.read());
    return values;
  }

  /** An extension that the next value belongs to. */
  #marked(): unknown {
    const extension = this.#uint8();
    // The filler byte.
    this.at++;
    switch (extension) {
      case EXTENSION_UNCHANGED:
        return UNCHANGED;
      case EXTENSION_JSON:
        return parseJson(this.read());
      case EXTENSION_OBJECT:
        return objectOf(this.read() as unknown[]);
      case EXTENSION_RANGE:
        return rangeFrom(this.read() as RangeParts);
      case EXTENSION_FUNCTION: {
        const [index, text] = this.read() as [number, string];
        return new DeferredFunction(index, text);
      }
      case EXTENSION_PG: {
        const [typeOid, text] = this.read() as [number, string];
        return new DeferredPg(typeOid, text);
      }
      default:
        throw this.#malformed();
    }
  }

  /** An extension over bytes. */
  #extension(byteCount: number): unknown {
    if (this.#uint8() !== EXTENSION_VALUE) throw this.#malformed();
    return new DeferredValue(this.#binary(byteCount));
  }

  /** Where the next `byteCount` bytes begin; reading goes on after them. */
  #skip(byteCount: number): number {
    const start = this.at;
    if (byteCount > this.#end - start) throw this.#malformed();
    this.at = start + byteCount;
    return start;
  }

  #malformed(): DecodeError {
    return new DecodeError('malformed packed row', { offset: this.at });
  }
}

function parseJson(text: unknown): unknown {
  try {
    return JSON.parse(String(text));
  } catch {
    // Not the cause: its message quotes the text.
    throw new DecodeError('json value cannot be parsed', { offset: 0 });
  }
}

/** From keys and values in turn. */
function objectOf(parts: readonly unknown[]): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  for (let at = 0; at + 1 < parts.length; at += 2) define(object, String(parts[at]), parts[at + 1]);
  return object;
}
