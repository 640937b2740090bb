import { addExtension, Unpackr } from 'msgpackr';
import { DecodeError } from '../errors.js';
import { DeferredFunction, DeferredPg, DeferredValue, resolveDeferred } from './deferred-value.js';
import { define } from './own-property.js';
import {
  EXTENSION_FUNCTION,
  EXTENSION_JSON,
  EXTENSION_OBJECT,
  EXTENSION_PG,
  EXTENSION_RANGE,
  EXTENSION_TEXT,
  EXTENSION_UNCHANGED,
  EXTENSION_VALUE,
} from './pack-extensions.js';
import { rangeFrom } from './range-value.js';
import type { DeferredParsers } from './type-rules.js';
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
addExtension({ type: EXTENSION_OBJECT, read: objectOf });
addExtension({ type: EXTENSION_RANGE, read: rangeFrom });
addExtension({
  type: EXTENSION_FUNCTION,
  read: ([index, text]: [number, string]) => new DeferredFunction(index, text),
});
addExtension({ type: EXTENSION_PG, read: ([typeOid, text]: [number, string]) => new DeferredPg(typeOid, text) });
addExtension({ type: EXTENSION_VALUE, unpack: (bytes: Buffer) => new DeferredValue(Buffer.from(bytes)) });

/** What a reader does with values that the worker has left to it. */
export interface Deferral {
  readonly parsers: DeferredParsers;
  /** Columns that may hold such values. */
  readonly columnNames: readonly string[];
  /** `schema.table` and OID of the relation, for errors. */
  readonly relation: string;
  readonly relationId: number;
}

/** A reader for rows with these columns. Column names are what they are, `__proto__` and `constructor` included. */
export function createRowReader(columnNames: readonly string[], deferral?: Deferral): RowReader {
  const reader = columnNames.includes('__proto__')
    ? new ProtoRowReader(columnNames)
    : new PackedRowReader([...columnNames]);
  return deferral === undefined || deferral.columnNames.length === 0
    ? reader
    : new DeferringRowReader(reader, deferral);
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

/** For rows with values that are parsed here: reads the row, then parses what is in it. */
class DeferringRowReader implements RowReader {
  readonly #reader: RowReader;
  readonly #deferral: Deferral;

  constructor(reader: RowReader, deferral: Deferral) {
    this.#reader = reader;
    this.#deferral = deferral;
  }

  read(bytes: Buffer, start: number, end: number): Record<string, unknown> {
    const row = this.#reader.read(bytes, start, end);
    const { parsers, columnNames, relation, relationId } = this.#deferral;
    for (const name of columnNames) {
      try {
        const value = resolveDeferred(row[name], parsers);
        if (value !== row[name]) define(row, name, value);
      } catch (cause) {
        const message = `the parser of column ${JSON.stringify(name)} of ${relation} failed`;
        throw new DecodeError(message, { offset: start, relationId, cause });
      }
    }
    return row;
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
      define(row, name, packed[name === '__proto__' ? PROTO_STAND_IN : name]);
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

/** From keys and values in turn. */
function objectOf(parts: readonly unknown[]): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  for (let at = 0; at + 1 < parts.length; at += 2) define(object, String(parts[at]), parts[at + 1]);
  return object;
}
