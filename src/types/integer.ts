import { DecodeError } from '../errors.js';
import type { PackWriter } from './pack-writer.js';

/**
 * Integers. Text: an optional `-` and decimal digits. Binary: two's complement, big-endian; oid, xid and cid unsigned.
 *
 * @see https://www.postgresql.org/docs/current/datatype-numeric.html
 */

export function writeInt2Text(source: Buffer, start: number, end: number, out: PackWriter): void {
  out.writeInteger(parseInteger(source, start, end, -0x8000, 0x7fff));
}

export function writeInt4Text(source: Buffer, start: number, end: number, out: PackWriter): void {
  out.writeInteger(parseInteger(source, start, end, -0x80000000, 0x7fffffff));
}

export function writeUint4Text(source: Buffer, start: number, end: number, out: PackWriter): void {
  out.writeInteger(parseInteger(source, start, end, 0, 0xffffffff));
}

export function writeInt8Text(source: Buffer, start: number, end: number, out: PackWriter): void {
  const negative = source[start] === 0x2d;
  const firstDigit = negative ? start + 1 : start;
  const digitCount = end - firstDigit;
  if (digitCount < 1 || digitCount > 19) {
    throw new DecodeError('int8 has no or too many digits', { offset: start });
  }
  let high: number;
  let low: number;
  if (digitCount <= 15) {
    const value = parseDigits(source, firstDigit, end);
    high = Math.floor(value / 0x100000000);
    low = value >>> 0;
  } else {
    // value = top * 10^9 + bottom, in steps of which none leaves the integers that a double holds exactly.
    const top = parseDigits(source, firstDigit, end - 9);
    const bottom = parseDigits(source, end - 9, end);
    const upper = Math.floor(top / 0x10000) * 1e9;
    const lower = (top % 0x10000) * 1e9 + bottom;
    const lowSum = (upper % 0x10000) * 0x10000 + (lower >>> 0);
    high = Math.floor(upper / 0x10000) + Math.floor(lower / 0x100000000) + (lowSum >= 0x100000000 ? 1 : 0);
    low = lowSum >>> 0;
    if (high > 0x7fffffff && !(negative && high === 0x80000000 && low === 0)) {
      throw new DecodeError('int8 is out of range', { offset: start });
    }
  }
  if (negative) {
    low = -low >>> 0;
    high = low === 0 ? -high : ~high;
  }
  out.writeInt64(high, low);
}

export function writeInt2Binary(source: Buffer, start: number, end: number, out: PackWriter): void {
  requireByteCount(start, end, 2);
  out.writeInteger(source.readInt16BE(start));
}

export function writeInt4Binary(source: Buffer, start: number, end: number, out: PackWriter): void {
  requireByteCount(start, end, 4);
  out.writeInteger(source.readInt32BE(start));
}

export function writeUint4Binary(source: Buffer, start: number, end: number, out: PackWriter): void {
  requireByteCount(start, end, 4);
  out.writeInteger(source.readUInt32BE(start));
}

export function writeInt8Binary(source: Buffer, start: number, end: number, out: PackWriter): void {
  requireByteCount(start, end, 8);
  out.writeInt64(source.readInt32BE(start), source.readInt32BE(start + 4));
}

/** @throws DecodeError unless the value takes exactly `byteCount` bytes. */
export function requireByteCount(start: number, end: number, byteCount: number): void {
  if (end - start !== byteCount) {
    throw new DecodeError(`binary value takes ${end - start} bytes instead of ${byteCount}`, { offset: start });
  }
}

function parseInteger(source: Buffer, start: number, end: number, min: number, max: number): number {
  const negative = source[start] === 0x2d;
  const firstDigit = negative ? start + 1 : start;
  if (end - firstDigit < 1 || end - firstDigit > 10) {
    throw new DecodeError('integer has no or too many digits', { offset: start });
  }
  const digits = parseDigits(source, firstDigit, end);
  const value = negative ? 0 - digits : digits;
  if (value < min || value > max) {
    throw new DecodeError('integer is out of range', { offset: start });
  }
  return value;
}

/** At most 15 digits, so that the number is exact. */
function parseDigits(source: Buffer, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = (source[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) {
      throw new DecodeError('integer has a character that is not a digit', { offset: at });
    }
    value = value * 10 + digit;
  }
  return value;
}
