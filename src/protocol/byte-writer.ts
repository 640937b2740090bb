import { wrong } from '../errors/option-checks.js';

const INITIAL_BYTES = 64;

/**
 * The counterpart of ByteReader: appends fields to one message. What a field cannot hold is a
 * ConfigurationError that names it.
 */
export class ByteWriter {
  #bytes = Buffer.allocUnsafe(INITIAL_BYTES);
  #length = 0;

  uint8(value: number, field: string): void {
    requireInteger(value, 0, 0xff, field);
    this.#room(1).writeUInt8(value, this.#length - 1);
  }

  uint16(value: number, field: string): void {
    requireInteger(value, 0, 0xffff, field);
    this.#room(2).writeUInt16BE(value, this.#length - 2);
  }

  int32(value: number, field: string): void {
    requireInteger(value, -0x8000_0000, 0x7fff_ffff, field);
    this.#room(4).writeInt32BE(value, this.#length - 4);
  }

  uint32(value: number, field: string): void {
    requireInteger(value, 0, 0xffff_ffff, field);
    this.#room(4).writeUInt32BE(value, this.#length - 4);
  }

  uint64(value: bigint, field: string): void {
    if (typeof value !== 'bigint' || BigInt.asUintN(64, value) !== value) {
      throw wrong(field, 'must be a bigint of 64 bits without a sign');
    }
    this.#room(8).writeBigUInt64BE(value, this.#length - 8);
  }

  int64(value: bigint, field: string): void {
    if (typeof value !== 'bigint' || BigInt.asIntN(64, value) !== value) {
      throw wrong(field, 'must be a bigint of 64 bits with a sign');
    }
    this.#room(8).writeBigInt64BE(value, this.#length - 8);
  }

  /** A string and its terminating zero byte, as UTF-8. */
  cString(text: string, field: string): void {
    if (typeof text !== 'string' || text.includes('\0')) throw wrong(field, 'must be a string without NUL');
    const bytes = Buffer.from(text);
    // A lone surrogate has no UTF-8: it would come back as another character.
    if (bytes.toString() !== text) throw wrong(field, 'must be well-formed Unicode');
    this.bytes(bytes, field);
    this.uint8(0, field);
  }

  bytes(value: Uint8Array, field: string): void {
    if (!(value instanceof Uint8Array)) throw wrong(field, 'must be bytes');
    this.#room(value.length).set(value, this.#length - value.length);
  }

  /** Length:Int32, then the bytes. */
  sizedBytes(value: Uint8Array, field: string): void {
    if (!(value instanceof Uint8Array)) throw wrong(field, 'must be bytes');
    this.int32(value.length, field);
    this.bytes(value, field);
  }

  /** Everything written; the writer begins anew, in other memory. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#bytes = Buffer.allocUnsafe(INITIAL_BYTES);
    this.#length = 0;
    return taken;
  }

  /** The memory in which the `count` bytes before `#length` are to be written now. */
  #room(count: number): Buffer {
    const start = this.#length;
    const end = start + count;
    if (end > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, end));
      this.#bytes.copy(larger, 0, 0, start);
      this.#bytes = larger;
    }
    this.#length = end;
    return this.#bytes;
  }
}

function requireInteger(value: number, min: number, max: number, field: string): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw wrong(field, `must be a whole number from ${min} to ${max}`);
  }
}
