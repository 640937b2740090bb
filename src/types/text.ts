import { DecodeError } from '../errors.js';
import type { PackWriter } from './pack-writer.js';

/** The server's own text as a string: text kinds in both forms, and every type whose text is its value. */
export function writeText(source: Buffer, start: number, end: number, out: PackWriter): void {
  out.writeUtf8Slice(source, start, end);
}

/**
 * `"char"`: one byte, empty for 0. Bytes beyond ASCII are no character in UTF-8; servers before 16 send them as they
 * are, later ones as `\ooo`, which is what this gives for both.
 *
 * @see https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/char.c
 */
export function writeCharText(source: Buffer, start: number, end: number, out: PackWriter): void {
  if (end - start === 1) {
    writeCharBinary(source, start, end, out);
  } else {
    out.writeUtf8Slice(source, start, end);
  }
}

export function writeCharBinary(source: Buffer, start: number, end: number, out: PackWriter): void {
  if (end - start !== 1) {
    throw new DecodeError('"char" does not take one byte', { offset: start });
  }
  const byte = source[start] ?? 0;
  if (byte === 0) {
    out.writeStringHeader(0);
  } else if (byte < 0x80) {
    out.writeUtf8Slice(source, start, end);
  } else {
    out.writeString(`\\${byte.toString(8)}`);
  }
}
