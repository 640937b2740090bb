import { DecodeError } from '../errors.js';
import { EXACT_POWERS, MAX_EXACT_POWER } from './exact-powers.js';
import { requireByteCount } from './integer.js';
import type { PackWriter } from './pack-writer.js';
import { shortestOfFloat4 } from './shortest-float4.js';

/**
 * float4 and float8. Text: what C's strtod reads, `NaN`, `Infinity` or `-Infinity`. Binary: IEEE 754, big-endian.
 *
 * @see https://www.postgresql.org/docs/current/datatype-numeric.html#DATATYPE-FLOAT
 */

/** No number that PostgreSQL prints is longer; a bound for what is handed to `Number`. */
const MAX_TEXT_BYTES = 64;

/**
 * float4 too: its text is the shortest that identifies the float4 (`1.1`), and the double nearest to that text is the
 * number wanted.
 */
export function writeFloatText(source: Buffer, start: number, end: number, out: PackWriter): void {
  if (end - start > MAX_TEXT_BYTES || end <= start) {
    throw new DecodeError('float is empty or too long', { offset: start });
  }
  const negative = source[start] === 0x2d;
  const first = negative ? start + 1 : start;
  let mantissa = 0;
  let digitCount = 0;
  let leadingZeros = 0;
  let point = end;
  let at = first;
  for (; at < end; at++) {
    const byte = source[at] ?? 0;
    if (byte >= 0x30 && byte <= 0x39) {
      mantissa = mantissa * 10 + (byte - 0x30);
      digitCount++;
      if (mantissa === 0) {
        leadingZeros++;
      }
    } else if (byte === 0x2e && point === end) {
      point = at;
    } else {
      break;
    }
  }
  if (at < end || digitCount === 0) {
    out.writeFloat64(parseSpecial(source, start, end));
    return;
  }
  const significantDigits = digitCount - leadingZeros;
  const fractionDigits = point === end ? 0 : end - point - 1;
  let value: number;
  if (significantDigits <= 15 && fractionDigits <= MAX_EXACT_POWER) {
    // Both are exact doubles: the division rounds once, correctly.
    value = fractionDigits === 0 ? mantissa : mantissa / (EXACT_POWERS[fractionDigits] ?? 1);
  } else if (significantDigits <= 19 && fractionDigits <= MAX_EXACT_POWER) {
    value = parseLongDecimal(source, first, end, digitCount - 9, EXACT_POWERS[fractionDigits] ?? 1);
  } else {
    value = Number(source.toString('latin1', first, end));
  }
  out.writeFloat64(negative ? -value : value);
}

/**
 * A decimal of 16 to 19 digits, the length of most float8, correctly rounded, at a third of what `Number` of a string
 * costs. Digits and power of ten are divided in twice the precision of a double; should even that leave the rounding
 * open, `Number` decides.
 */
function parseLongDecimal(source: Buffer, start: number, end: number, topCount: number, power: number): number {
  let top = 0;
  let bottom = 0;
  let digitCount = 0;
  for (let at = start; at < end; at++) {
    const byte = source[at] ?? 0;
    if (byte !== 0x2e) {
      if (digitCount < topCount) {
        top = top * 10 + (byte - 0x30);
      } else {
        bottom = bottom * 10 + (byte - 0x30);
      }
      digitCount++;
    }
  }
  // digits = top * 10^9 + bottom = high + low, exactly.
  const topLow = top % 0x20000;
  const larger = (top - topLow) * 1e9;
  const smaller = topLow * 1e9 + bottom;
  const high = larger + smaller;
  const low = smaller - (high - larger);
  // quotient * power = product + productError, exactly (Dekker).
  const quotient = high / power;
  const product = quotient * power;
  const quotientHigh = upperHalf(quotient);
  const quotientLow = quotient - quotientHigh;
  const powerHigh = upperHalf(power);
  const powerLow = power - powerHigh;
  const productError =
    quotientHigh * powerHigh - product + quotientHigh * powerLow + quotientLow * powerHigh + quotientLow * powerLow;
  const correction = (high - product - productError + low) / power;
  const value = quotient + correction * (1 + CORRECTION_ERROR);
  return value === quotient + correction * (1 - CORRECTION_ERROR)
    ? value
    : Number(source.toString('latin1', start, end));
}

/** Far above the relative error of the correction, far below what decides a rounding but once in a million. */
const CORRECTION_ERROR = 2 ** -40;

/** The upper 26 bits of a double's mantissa, so that products of halves are exact (Veltkamp). */
function upperHalf(value: number): number {
  const shifted = value * 134217729;
  return shifted - (shifted - value);
}

export function writeFloat4Binary(source: Buffer, start: number, end: number, out: PackWriter): void {
  requireByteCount(start, end, 4);
  out.writeFloat64(shortestOfFloat4(source.readFloatBE(start)));
}

export function writeFloat8Binary(source: Buffer, start: number, end: number, out: PackWriter): void {
  requireByteCount(start, end, 8);
  // The bits are MessagePack's too. Through writeFloat64 a NaN would keep no payload either way.
  out.reserve(9);
  out.bytes[out.position] = 0xcb;
  out.view.setInt32(out.position + 1, source.readInt32BE(start));
  out.view.setInt32(out.position + 5, source.readInt32BE(start + 4));
  out.position += 9;
}

/** With an exponent, or no number at all. */
function parseSpecial(source: Buffer, start: number, end: number): number {
  const text = source.toString('latin1', start, end);
  if (text === 'NaN') {
    return Number.NaN;
  }
  if (text === 'Infinity') {
    return Number.POSITIVE_INFINITY;
  }
  if (text === '-Infinity') {
    return Number.NEGATIVE_INFINITY;
  }
  if (!/^-?\d+(?:\.\d+)?e[+-]?\d+$/.test(text)) {
    throw new DecodeError('float is not a number', { offset: start });
  }
  return Number(text);
}
