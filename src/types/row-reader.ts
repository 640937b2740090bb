import { addExtension, Unpackr } from 'msgpackr';
import { DecodeError } from '../errors.js';
import { EXTENSION_JSON, EXTENSION_TEXT, EXTENSION_UNCHANGED } from './pack-extensions.js';
import { UNCHANGED } from './unchanged.js';

/** Reads the packed rows of one relation version. */
export interface RowReader {
  /**
   * The row packed in `bytes[start, end)`, as a plain object with one own property per column.
   * @throws DecodeError when the bytes are not exactly one such row, or hold JSON that cannot be parsed.
   */
  read(bytes: Buffer, start: number, end: number): Record<string, unknown>;
}

/** First byte of a packed row: msgpackr's record 0. The values of the columns follow, in order. */
export const ROW_HEADER = 0x40;

/**
 * Stands in for a column named `__proto__`, which msgpackr renames. No column can have this name: identifiers hold no
 * NUL.
 */
const PROTO_STAND_IN = '__proto__\0';

// A reader with `noBuffer` is called without the extension's bytes, of which it needs none.
addExtension({
  type: EXTENSION_UNCHANGED,
  unpack: Object.assign((): typeof UNCHANGED => UNCHANGED, { noBuffer: true }),
});
addExtension({ type: EXTENSION_JSON, read: parseJson });
addExtension({ type: EXTENSION_TEXT, unpack: textOf });

/** A reader for rows with these columns. Column names are what they are, `__proto__` and `constructor` included. */
export function createRowReader(columnNames: readonly string[]): RowReader {
  if (!columnNames.includes('__proto__')) {
    return new PackedRowReader([...columnNames]);
  }
  return new ProtoRowReader(columnNames);
}

class PackedRowReader implements RowReader {
  readonly #unpackr: Unpackr;
  /** One object for all calls: an allocation less per row. */
  readonly #range = { start: 0, end: 0 };

  /** `columnNames` belongs to msgpackr from now on: it keeps its compiled reader on the array. */
  constructor(columnNames: string[]) {
    this.#unpackr = new Unpackr({
      structures: [columnNames],
      int64AsType: 'bigint',
      // A bytea must not keep the whole batch alive, nor change with it.
      copyBuffers: true,
    } as ConstructorParameters<typeof Unpackr>[0]);
  }

  read(bytes: Buffer, start: number, end: number): Record<string, unknown> {
    const range = this.#range;
    range.start = start;
    range.end = end;
    // msgpackr takes an end of 0 for "to the end".
    if (end <= start || bytes[start] !== ROW_HEADER) {
      throw new DecodeError('packed row without its header', { offset: start });
    }
    try {
      return this.#unpackr.unpack(bytes, range);
    } catch (error) {
      // The messages of msgpackr and of JSON.parse quote values, which must not reach a log: they are not kept.
      throw error instanceof DecodeError ? error : new DecodeError('malformed packed row', { offset: start });
    }
  }
}

/** For relations with a column named `__proto__`: reads it under another name and moves it. */
class ProtoRowReader implements RowReader {
  readonly #reader: PackedRowReader;
  readonly #columnNames: readonly string[];

  constructor(columnNames: readonly string[]) {
    this.#columnNames = [...columnNames];
    this.#reader = new PackedRowReader(columnNames.map((name) => (name === '__proto__' ? PROTO_STAND_IN : name)));
  }

  read(bytes: Buffer, start: number, end: number): Record<string, unknown> {
    const packed = this.#reader.read(bytes, start, end);
    const row: Record<string, unknown> = {};
    for (const name of this.#columnNames) {
      if (name === '__proto__') {
        Object.defineProperty(row, name, {
          value: packed[PROTO_STAND_IN],
          enumerable: true,
          configurable: true,
          writable: true,
        });
      } else {
        row[name] = packed[name];
      }
    }
    return row;
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

function textOf(bytes: Buffer | Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
