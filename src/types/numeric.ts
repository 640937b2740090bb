import { DecodeError } from '../errors.js';
import type { PackWriter } from './pack-writer.js';

/**
 * numeric binary, printed as the server prints it:
 * ```
 * int16   count of base-10000 digits
 * int16   weight: power of 10000 of the first digit
 * uint16  sign: 0 positive, 0x4000 negative, 0xC000 NaN, 0xD000 Infinity, 0xF000 -Infinity
 * uint16  display scale: decimal digits after the point
 * int16[] digits, 0 to 9999
 * ```
 * @see https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/numeric.c
 */
export function writeNumericBinary(source: Buffer, start: number, end: number, out: PackWriter): void {
  if (end - start < 8) {
    throw new DecodeError('numeric is shorter than its header', { offset: start });
  }
  const digitCount = source.readUInt16BE(start);
  const weight = source.readInt16BE(start + 2);
  const sign = source.readUInt16BE(start + 4);
  const scale = source.readUInt16BE(start + 6);
  if (end - start !== 8 + 2 * digitCount) {
    throw new DecodeError(`numeric of ${digitCount} digits takes ${end - start} bytes`, { offset: start });
  }
  if (sign !== SIGN_POSITIVE && sign !== SIGN_NEGATIVE) {
    out.writeString(specialText(sign, start));
    return;
  }
  if (scale > MAX_SCALE) {
    throw new DecodeError(`numeric has a scale of ${scale}`, { offset: start });
  }
  const first = start + 8;
  const leading = weight < 0 || digitCount === 0 ? 0 : digitAt(source, first);
  const leadingLength = leading < 10 ? 1 : leading < 100 ? 2 : leading < 1000 ? 3 : 4;
  const integerLength = weight < 0 ? 1 : leadingLength + 4 * weight;
  const negative = sign === SIGN_NEGATIVE;
  out.writeStringHeader((negative ? 1 : 0) + integerLength + (scale > 0 ? scale + 1 : 0));
  const { bytes } = out;
  let to = out.position;
  if (negative) {
    bytes[to++] = 0x2d;
  }
  // Digits beyond those that are there, on either side, are zero.
  to = writeDigits(bytes, to, leading, leadingLength);
  let index = 1;
  for (; index <= weight; index++) {
    to = writeDigits(bytes, to, index < digitCount ? digitAt(source, first + 2 * index) : 0, 4);
  }
  if (scale > 0) {
    bytes[to++] = 0x2e;
    const last = to + scale;
    for (index = weight + 1; to < last; index++) {
      const digit = index >= 0 && index < digitCount ? digitAt(source, first + 2 * index) : 0;
      const places = last - to;
      to = places >= 4 ? writeDigits(bytes, to, digit, 4) : writeLastDigits(bytes, to, digit, places);
    }
  }
  out.position = to;
}

const SIGN_POSITIVE = 0;
const SIGN_NEGATIVE = 0x4000;
/** NUMERIC_DSCALE_MAX of the server. */
const MAX_SCALE = 0x3fff;

function specialText(sign: number, start: number): string {
  switch (sign) {
    case 0xc000:
      return 'NaN';
    case 0xd000:
      return 'Infinity';
    case 0xf000:
      return '-Infinity';
    default:
      throw new DecodeError('numeric has an unknown sign', { offset: start });
  }
}

function digitAt(source: Buffer, at: number): number {
  const digit = source.readUInt16BE(at);
  if (digit > 9999) {
    throw new DecodeError('numeric has a digit above 9999', { offset: at });
  }
  return digit;
}

/** The lowest `length` (1 to 4) decimal digits of a base-10000 digit. */
function writeDigits(bytes: Buffer, at: number, digit: number, length: number): number {
  let to = at;
  if (length > 3) {
    bytes[to++] = 0x30 + ((digit / 1000) | 0);
  }
  if (length > 2) {
    bytes[to++] = 0x30 + (((digit / 100) | 0) % 10);
  }
  if (length > 1) {
    bytes[to++] = 0x30 + (((digit / 10) | 0) % 10);
  }
  bytes[to++] = 0x30 + (digit % 10);
  return to;
}

/** The highest `places` (1 to 3) decimal digits of the base-10000 digit in which the scale ends. */
function writeLastDigits(bytes: Buffer, at: number, digit: number, places: number): number {
  let to = at;
  bytes[to++] = 0x30 + ((digit / 1000) | 0);
  if (places > 1) {
    bytes[to++] = 0x30 + (((digit / 100) | 0) % 10);
  }
  if (places > 2) {
    bytes[to++] = 0x30 + (((digit / 10) | 0) % 10);
  }
  return to;
}
