import { DecodeError } from '../errors.js';

/**
 * Pieces of ISO 8601 that the text and the binary forms of the date/time types share. Years are astronomical: 1 BC is
 * year 0. Years outside 0000 to 9999 are expanded the way JavaScript does it, a sign and at least six digits.
 */

/** Two ASCII digits. Returns the position after them. */
export function writeTwoDigits(bytes: Buffer, at: number, value: number): number {
  const tens = (value / 10) | 0;
  bytes[at] = 0x30 + tens;
  bytes[at + 1] = 0x30 + value - tens * 10;
  return at + 2;
}

export function writeIsoYear(bytes: Buffer, at: number, year: number): number {
  let to = at;
  if (year >= 0 && year <= 9999) {
    const century = (year / 100) | 0;
    to = writeTwoDigits(bytes, to, century);
    return writeTwoDigits(bytes, to, year - century * 100);
  }
  bytes[to++] = year < 0 ? 0x2d : 0x2b;
  const digits = String(Math.abs(year)).padStart(6, '0');
  for (let index = 0; index < digits.length; index++) {
    bytes[to++] = digits.charCodeAt(index);
  }
  return to;
}

/**
 * `YYYY-MM-DD` of a day counted from 2000-01-01, in the proleptic Gregorian calendar.
 *
 * @see https://howardhinnant.github.io/date_algorithms.html#civil_from_days
 */
export function writeIsoDay(bytes: Buffer, at: number, daysFrom2000: number): number {
  // Counted from 0000-03-01, so that the leap day is the last of its year; 400 years have 146,097 days.
  const days = daysFrom2000 + 730425;
  const era = Math.floor(days / 146097);
  const dayOfEra = days - era * 146097;
  const yearOfEra =
    ((dayOfEra - ((dayOfEra / 1460) | 0) + ((dayOfEra / 36524) | 0) - ((dayOfEra / 146096) | 0)) / 365) | 0;
  const dayOfYear = dayOfEra - (365 * yearOfEra + ((yearOfEra / 4) | 0) - ((yearOfEra / 100) | 0));
  const shiftedMonth = ((5 * dayOfYear + 2) / 153) | 0;
  const day = dayOfYear - (((153 * shiftedMonth + 2) / 5) | 0) + 1;
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  let to = writeIsoYear(bytes, at, yearOfEra + era * 400 + (month <= 2 ? 1 : 0));
  bytes[to++] = 0x2d;
  to = writeTwoDigits(bytes, to, month);
  bytes[to++] = 0x2d;
  return writeTwoDigits(bytes, to, day);
}

/** `HH:MM:SS[.ffffff]` of microseconds since midnight, without trailing zeros in the fraction. */
export function writeIsoTime(bytes: Buffer, at: number, microseconds: number): number {
  const seconds = Math.floor(microseconds / 1e6);
  const hours = (seconds / 3600) | 0;
  const minutes = ((seconds - hours * 3600) / 60) | 0;
  let to = writeTwoDigits(bytes, at, hours);
  bytes[to++] = 0x3a;
  to = writeTwoDigits(bytes, to, minutes);
  bytes[to++] = 0x3a;
  to = writeTwoDigits(bytes, to, seconds - hours * 3600 - minutes * 60);
  return writeFraction(bytes, to, microseconds - seconds * 1e6);
}

/** `.ffffff` without trailing zeros; nothing for 0. */
function writeFraction(bytes: Buffer, at: number, microseconds: number): number {
  if (microseconds === 0) {
    return at;
  }
  bytes[at] = 0x2e;
  const high = (microseconds / 10000) | 0;
  const low = microseconds - high * 10000;
  const middle = (low / 100) | 0;
  writeTwoDigits(bytes, at + 1, high);
  writeTwoDigits(bytes, at + 3, middle);
  let to = writeTwoDigits(bytes, at + 5, low - middle * 100);
  while (bytes[to - 1] === 0x30) {
    to--;
  }
  return to;
}

/** `±HH:MM[:SS]` of an offset in seconds east of UTC. */
export function writeIsoOffset(bytes: Buffer, at: number, secondsEast: number): number {
  const seconds = Math.abs(secondsEast);
  const hours = (seconds / 3600) | 0;
  const minutes = ((seconds - hours * 3600) / 60) | 0;
  let to = at;
  bytes[to++] = secondsEast < 0 ? 0x2d : 0x2b;
  to = writeTwoDigits(bytes, to, hours);
  bytes[to++] = 0x3a;
  to = writeTwoDigits(bytes, to, minutes);
  const rest = seconds - hours * 3600 - minutes * 60;
  if (rest !== 0) {
    bytes[to++] = 0x3a;
    to = writeTwoDigits(bytes, to, rest);
  }
  return to;
}

/** Copies two decimal digits. */
export function copyTwoDigits(source: Buffer, from: number, end: number, bytes: Buffer, to: number): void {
  const tens = source[from] ?? 0;
  const ones = source[from + 1] ?? 0;
  if (from + 2 > end || tens < 0x30 || tens > 0x39 || ones < 0x30 || ones > 0x39) {
    throw new DecodeError('date or time has a character that is not a digit', { offset: from });
  }
  bytes[to] = tens;
  bytes[to + 1] = ones;
}
