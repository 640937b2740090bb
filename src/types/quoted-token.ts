import { DecodeError } from '../errors.js';
import type { ColumnWriter } from './column-writer.js';
import type { PackWriter } from './pack-writer.js';

/*
 * Fields of a record and bounds of a range: characters taken as they are, "quoted" stretches in which two quotes stand
 * for one, and a backslash before any character taken literally, within quotes and without.
 *   https://www.postgresql.org/docs/current/rowtypes.html#ROWTYPES-IO-SYNTAX
 *   https://www.postgresql.org/docs/current/rangetypes.html#RANGETYPES-IO
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Where the token at `start` ends: at the first of the two bytes that stands outside quotes. */
export function tokenEnd(source: Buffer, start: number, end: number, separator: number, closer: number): number {
  let isQuoted = false;
  for (let at = start; at < end; at++) {
    const byte = source[at];
    if (byte === BACKSLASH) {
      at++;
    } else if (byte === QUOTE) {
      isQuoted = !isQuoted;
    } else if (!isQuoted && (byte === separator || byte === closer)) {
      return at;
    }
  }
  throw new DecodeError('record or range is not closed', { offset: start });
}

/** Writes what the token in `[start, end)` stands for. */
export function writeToken(source: Buffer, start: number, end: number, out: PackWriter, writer: ColumnWriter): void {
  if (isPlain(source, start, end)) {
    writer(source, start, end, out);
  } else if (source[start] === QUOTE && source[end - 1] === QUOTE && isPlain(source, start + 1, end - 1)) {
    writer(source, start + 1, end - 1, out);
  } else {
    writeCopied(unquoted(source, start, end), start, out, writer);
  }
}

/** Writes a value that was copied from `start`: offsets in its errors count in the copy. */
export function writeCopied(copy: Buffer, start: number, out: PackWriter, writer: ColumnWriter): void {
  try {
    writer(copy, 0, copy.length, out);
  } catch (error) {
    throw error instanceof DecodeError ? new DecodeError(error.message, { offset: start }) : error;
  }
}

function isPlain(source: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    if (source[at] === QUOTE || source[at] === BACKSLASH) return false;
  }
  return true;
}

function unquoted(source: Buffer, start: number, end: number): Buffer {
  const plain = Buffer.allocUnsafe(end - start);
  let to = 0;
  let isQuoted = false;
  for (let at = start; at < end; at++) {
    const byte = source[at];
    if (byte === BACKSLASH) {
      if (++at === end) throw new DecodeError('backslash at the end of a record or range', { offset: start });
      plain[to++] = source[at];
    } else if (byte !== QUOTE) {
      plain[to++] = byte;
    } else if (isQuoted && at + 1 < end && source[at + 1] === QUOTE) {
      plain[to++] = QUOTE;
      at++;
    } else {
      isQuoted = !isQuoted;
    }
  }
  return plain.subarray(0, to);
}
