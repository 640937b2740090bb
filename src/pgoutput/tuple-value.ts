import type { ColumnFormat } from '../types/column-writer.js';
import type { UNCHANGED } from '../types/unchanged.js';

/** A column's value as it is in a tuple: exactly the server's bytes, of which nothing has been interpreted. */
export class TupleValue {
  /** How `bytes` are to be read. */
  readonly format: ColumnFormat;
  /** What the server sent, or is to have sent: without the length. */
  readonly bytes: Buffer;

  /** The bytes are not copied. */
  constructor(format: ColumnFormat, bytes: Buffer) {
    this.format = format;
    this.bytes = bytes;
  }

  /** What the server sends of a column in text format. */
  static fromText(text: string): TupleValue {
    return new TupleValue('text', Buffer.from(text));
  }

  /** What the server sends of a column in binary format; the bytes are not copied. */
  static fromBinary(bytes: Uint8Array): TupleValue {
    return new TupleValue('binary', Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  }

  /**
   * The server's text; `undefined` for a value in binary format. Bytes that are not UTF-8 become U+FFFD here, and stay
   * what they are in `bytes`.
   */
  get text(): string | undefined {
    return this.format === 'text' ? this.bytes.toString() : undefined;
  }
}

/**
 * TupleData: the columns of a row in the relation's order.
 *
 * - 'n', null: null
 * - 'u', an unchanged TOAST value, which is not null and was not sent: {@link UNCHANGED}
 * - 't', text: a {@link TupleValue} with format `text`
 * - 'b', binary: a {@link TupleValue} with format `binary`
 *
 * In a key, columns outside the replica identity are placeholders: null, whatever the row holds.
 */
export type Tuple = readonly (TupleValue | typeof UNCHANGED | null)[];
