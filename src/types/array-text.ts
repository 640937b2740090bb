import { DecodeError } from '../errors.js';
import type { ColumnWriter } from './column-writer.js';
import type { PackWriter } from './pack-writer.js';

/** MAXDIM of the server. */
export const MAX_ARRAY_DIMENSIONS = 6;

/**
 * A writer for the text of arrays:
 * ```
 * array    [bounds =] items            bounds = ([lower:upper])+ are dropped
 * items    {} | { item (delimiter item)* }
 * item     items | NULL | unquoted | "quoted", in which a backslash stands before any character taken literally
 * ```
 * @see https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
 */
export function arrayTextWriter(elementWriter: ColumnWriter, delimiter: string): ColumnWriter {
  const delimiterByte = delimiter.charCodeAt(0);
  return (source, start, end, out) => {
    const itemsStart = source[start] === 0x5b ? skipBounds(source, start, end) : start;
    if (itemsStart >= end || source[itemsStart] !== 0x7b) {
      throw new DecodeError('array does not begin with a brace', { offset: start });
    }
    if (writeItems(source, itemsStart, end, out, elementWriter, delimiterByte, 1) !== end) {
      throw new DecodeError('array has something after its closing brace', { offset: start });
    }
  };
}

function skipBounds(source: Buffer, start: number, end: number): number {
  const equals = source.indexOf(0x3d, start);
  if (equals < 0 || equals >= end) {
    throw new DecodeError('array has bounds but no items', { offset: start });
  }
  return equals + 1;
}

/** Writes the items from the opening brace at `start`; returns the position after their closing brace. */
function writeItems(
  source: Buffer,
  start: number,
  end: number,
  out: PackWriter,
  elementWriter: ColumnWriter,
  delimiter: number,
  depth: number,
): number {
  if (depth > MAX_ARRAY_DIMENSIONS) {
    throw new DecodeError(`array has more than ${MAX_ARRAY_DIMENSIONS} dimensions`, { offset: start });
  }
  const header = out.writeArrayHeader(0);
  if (start + 1 < end && source[start + 1] === 0x7d) {
    return start + 2;
  }
  let at = start + 1;
  for (let length = 1; ; length++) {
    const byte = source[at];
    if (byte === 0x7b) {
      at = writeItems(source, at, end, out, elementWriter, delimiter, depth + 1);
    } else if (byte === 0x22) {
      at = writeQuoted(source, at + 1, end, out, elementWriter);
    } else {
      at = writeUnquoted(source, at, end, out, elementWriter, delimiter);
    }
    if (at < end && source[at] === 0x7d) {
      out.setArrayLength(header, length);
      return at + 1;
    }
    if (at >= end || source[at] !== delimiter) {
      throw new DecodeError('array is not closed', { offset: at });
    }
    at++;
  }
}

function writeUnquoted(
  source: Buffer,
  start: number,
  end: number,
  out: PackWriter,
  elementWriter: ColumnWriter,
  delimiter: number,
): number {
  let at = start;
  for (; at < end; at++) {
    const byte = source[at];
    if (byte === delimiter || byte === 0x7d) {
      break;
    }
    if (byte === 0x22 || byte === 0x5c || byte === 0x7b) {
      throw new DecodeError('array has a special character outside quotes', { offset: at });
    }
  }
  if (at === start) {
    throw new DecodeError('array has an empty item', { offset: at });
  }
  const isNull =
    at - start === 4 &&
    source[start] === 0x4e &&
    source[start + 1] === 0x55 &&
    source[start + 2] === 0x4c &&
    source[start + 3] === 0x4c;
  if (isNull) {
    out.writeNil();
  } else {
    elementWriter(source, start, at, out);
  }
  return at;
}

/** Writes the item after an opening quote; returns the position after the closing one. */
function writeQuoted(source: Buffer, start: number, end: number, out: PackWriter, elementWriter: ColumnWriter): number {
  let escapeCount = 0;
  let at = start;
  for (; at < end && source[at] !== 0x22; at++) {
    if (source[at] === 0x5c) {
      escapeCount++;
      at++;
    }
  }
  if (at >= end) {
    throw new DecodeError('array has a quote that is not closed', { offset: start });
  }
  if (escapeCount === 0) {
    elementWriter(source, start, at, out);
  } else {
    writeUnescaped(source, start, at, escapeCount, out, elementWriter);
  }
  return at + 1;
}

function writeUnescaped(
  source: Buffer,
  start: number,
  end: number,
  escapeCount: number,
  out: PackWriter,
  elementWriter: ColumnWriter,
): void {
  const plain = Buffer.allocUnsafe(end - start - escapeCount);
  let to = 0;
  for (let at = start; at < end; at++) {
    if (source[at] === 0x5c) {
      at++;
    }
    plain[to++] = source[at] ?? 0;
  }
  try {
    elementWriter(plain, 0, to, out);
  } catch (error) {
    // The element's offset counts in the copy.
    throw error instanceof DecodeError ? new DecodeError(error.message, { offset: start }) : error;
  }
}
