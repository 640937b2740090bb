import { DecodeError } from '../errors.js';
import { HEX_VALUES } from './hex-digits.js';
import type { PackWriter } from './pack-writer.js';

/**
 * bytea text, either form:
 * ```
 * hex     \x then two hexadecimal digits per byte
 * escape  bytes as they are, `\\` for a backslash, `\ooo` for any byte
 * ```
 * @see https://www.postgresql.org/docs/current/datatype-binary.html
 */
export function writeByteaText(source: Buffer, start: number, end: number, out: PackWriter): void {
  if (source[start] !== 0x5c || source[start + 1] !== 0x78 || end - start < 2) {
    writeByteaEscape(source, start, end, out);
    return;
  }
  const digitCount = end - start - 2;
  if (digitCount % 2 !== 0) {
    throw new DecodeError('bytea has an odd number of hexadecimal digits', { offset: start });
  }
  out.writeBinaryHeader(digitCount / 2);
  const { bytes } = out;
  let to = out.position;
  let bits = 0;
  for (let at = start + 2; at < end; at += 2) {
    const high = HEX_VALUES[source[at] ?? 0] ?? 0xff;
    const low = HEX_VALUES[source[at + 1] ?? 0] ?? 0xff;
    bits |= high | low;
    bytes[to++] = (high << 4) | low;
  }
  if (bits > 0xf) {
    throw new DecodeError('bytea has a character that is not a hexadecimal digit', { offset: start });
  }
  out.position = to;
}

/** bytea binary: the bytes. */
export function writeByteaBinary(source: Buffer, start: number, end: number, out: PackWriter): void {
  out.writeBinary(source, start, end);
}

function writeByteaEscape(source: Buffer, start: number, end: number, out: PackWriter): void {
  let byteCount = 0;
  for (let at = start; at < end; byteCount++) {
    at += source[at] === 0x5c ? escapeByteCount(source, at, end) : 1;
  }
  out.writeBinaryHeader(byteCount);
  const { bytes } = out;
  let to = out.position;
  for (let at = start; at < end; ) {
    const byte = source[at] ?? 0;
    if (byte !== 0x5c) {
      bytes[to++] = byte;
      at++;
    } else if (source[at + 1] === 0x5c) {
      bytes[to++] = 0x5c;
      at += 2;
    } else {
      bytes[to++] = octal(source, at + 1) * 64 + octal(source, at + 2) * 8 + octal(source, at + 3);
      at += 4;
    }
  }
  out.position = to;
}

/** Length of the escape at a backslash. */
function escapeByteCount(source: Buffer, at: number, end: number): number {
  if (at + 1 < end && source[at + 1] === 0x5c) {
    return 2;
  }
  const isOctal =
    at + 3 < end && octal(source, at + 1) <= 3 && octal(source, at + 2) <= 7 && octal(source, at + 3) <= 7;
  if (!isOctal) {
    throw new DecodeError('bytea has an unknown escape', { offset: at });
  }
  return 4;
}

/** Value of an octal digit; above 7 for any other byte. */
function octal(source: Buffer, at: number): number {
  return ((source[at] ?? 0) - 0x30) >>> 0;
}
