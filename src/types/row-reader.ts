import { DecodeError } from '../errors.js';
import { resolveDeferred } from './deferred-value.js';
import { define } from './own-property.js';
import type { PackSource } from './pack-source.js';
import type { DeferredParsers } from './type-rules.js';

/** Reads the packed rows of one relation version. */
export interface RowReader {
  /**
   * The row packed at `[start, end)`, as a plain object with one own property per column.
   * @throws DecodeError when the bytes are not exactly one such row, or hold JSON that cannot be parsed.
   */
  read(source: PackSource, start: number, end: number): Record<string, unknown>;
}

/** First byte of a packed row: record 0 of msgpackr's format. The values of the columns follow, in order. */
export const ROW_HEADER = 0x40;
/** Rows that are read before a reader is compiled: many relations have no more. */
const READS_BEFORE_COMPILING = 3;

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
  const reader = new PackedRowReader(columnNames);
  return deferral === undefined || deferral.columnNames.length === 0
    ? reader
    : new DeferringRowReader(reader, deferral);
}

type ReadColumns = (source: PackSource) => Record<string, unknown>;

class PackedRowReader implements RowReader {
  readonly #columnNames: readonly string[];
  #readColumns: ReadColumns;
  #reads = 0;

  constructor(columnNames: readonly string[]) {
    this.#columnNames = [...columnNames];
    this.#readColumns = (source) => this.#readByName(source);
  }

  read(source: PackSource, start: number, end: number): Record<string, unknown> {
    if (end <= start || source.bytes[start] !== ROW_HEADER) {
      throw new DecodeError('packed row without its header', { offset: start });
    }
    try {
      source.enter(start + 1, end);
      const row = this.#readColumns(source);
      if (source.atEnd) return row;
    } catch (error) {
      if (error instanceof DecodeError) throw error;
    }
    // Nothing of an error goes on: it might quote values.
    throw new DecodeError('malformed packed row', { offset: start });
  }

  #readByName(source: PackSource): Record<string, unknown> {
    if (++this.#reads > READS_BEFORE_COMPILING) this.#readColumns = compile(this.#columnNames) ?? this.#readColumns;
    const row: Record<string, unknown> = {};
    for (const name of this.#columnNames) define(row, name, source.read());
    return row;
  }
}

/**
 * One object literal, which costs a fraction of setting properties by name. `undefined` where the process forbids code
 * from strings (`--disallow-code-generation-from-strings`).
 */
function compile(columnNames: readonly string[]): ReadColumns | undefined {
  // In brackets `__proto__` is a name like any other.
  const properties = columnNames.map((name) =>
    name === '__proto__' ? '["__proto__"]: source.read()' : `${JSON.stringify(name)}: source.read()`,
  );
  try {
    return new Function('source', `return { ${properties.join(', ')} };`) as ReadColumns;
  } catch {
    return undefined;
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

  read(source: PackSource, start: number, end: number): Record<string, unknown> {
    const row = this.#reader.read(source, start, end);
    const { parsers, columnNames, relation, relationId } = this.#deferral;
    for (const name of columnNames) {
      try {
        const value = resolveDeferred(row[name], parsers);
        if (value !== row[name]) define(row, name, value);
      } catch (cause) {
        const message = `the parser of column ${JSON.stringify(name)} of ${relation} failed`;
        throw new DecodeError(message, { offset: start, relationId, relation, column: name, cause });
      }
    }
    return row;
  }
}
