import { DecodeError } from '../errors.js';

/**
 * Pieces of ISO 8601 that the text and the binary forms of the date/time types share. Years are astronomical: 1 BC is
 * year 0. Years outside 0000 to 9999 are expanded the way JavaScript does it, a sign and at least six digits.
 */

/** The two ASCII digits of 0 to 99, as a big-endian pair. */
const DIGIT_PAIRS = Uint16Array.from({ length: 100 }, (_, value) => {
  const tens = (value / 10) | 0;
  return ((0x30 + tens) << 8) | (0x30 + value - tens * 10);
});

/** Two ASCII digits. Returns the position after them. */
function writeTwoDigits(view: DataView, at: number, value: number): number {
  view.setUint16(at, DIGIT_PAIRS[value] ?? 0);
  return at + 2;
}

export function writeIsoYear(view: DataView, at: number, year: number): number {
  let to = at;
  if (year >= 0 && year <= 9999) {
    const century = (year / 100) | 0;
    to = writeTwoDigits(view, to, century);
    return writeTwoDigits(view, to, year - century * 100);
  }
  view.setUint8(to++, year < 0 ? 0x2d : 0x2b);
  const digits = String(Math.abs(year)).padStart(6, '0');
  for (let index = 0; index < digits.length; index++) {
    view.setUint8(to++, digits.charCodeAt(index));
  }
  return to;
}

/**
 * `YYYY-MM-DD` of a day counted from 2000-01-01, in the proleptic Gregorian calendar.
 *
 * @see https://howardhinnant.github.io/date_algorithms.html#civil_from_days
 */
export function writeIsoDay(view: DataView, at: number, daysFrom2000: number): number {
  // Counted from 0000-03-01, so that the leap day is the last of its year; 400 years have 146,097 days.
  // Kept to 32-bit integers, whose divisions by constants are cheap.
  const days = (daysFrom2000 + 730425) | 0;
  const era = Math.floor(days / 146097) | 0;
  const dayOfEra = (days - era * 146097) | 0;
  const yearOfEra =
    ((dayOfEra - ((dayOfEra / 1460) | 0) + ((dayOfEra / 36524) | 0) - ((dayOfEra / 146096) | 0)) / 365) | 0;
  const dayOfYear = dayOfEra - (365 * yearOfEra + ((yearOfEra / 4) | 0) - ((yearOfEra / 100) | 0));
  const shiftedMonth = ((5 * dayOfYear + 2) / 153) | 0;
  const day = dayOfYear - (((153 * shiftedMonth + 2) / 5) | 0) + 1;
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  let to = writeIsoYear(view, at, yearOfEra + era * 400 + (month <= 2 ? 1 : 0));
  view.setUint8(to++, 0x2d);
  to = writeTwoDigits(view, to, month);
  view.setUint8(to++, 0x2d);
  return writeTwoDigits(view, to, day);
}

/** `HH:MM:SS[.ffffff]` of microseconds since midnight, without trailing zeros in the fraction. */
export function writeIsoTime(view: DataView, at: number, microseconds: number): number {
  const seconds = (microseconds / 1e6) | 0;
  const hours = (seconds / 3600) | 0;
  const minutes = ((seconds - hours * 3600) / 60) | 0;
  let to = writeTwoDigits(view, at, hours);
  view.setUint8(to++, 0x3a);
  to = writeTwoDigits(view, to, minutes);
  view.setUint8(to++, 0x3a);
  to = writeTwoDigits(view, to, seconds - hours * 3600 - minutes * 60);
  return writeFraction(view, to, (microseconds - seconds * 1e6) | 0);
}

/** `.ffffff` without trailing zeros; nothing for 0. */
function writeFraction(view: DataView, at: number, microseconds: number): number {
  if (microseconds === 0) {
    return at;
  }
  view.setUint8(at, 0x2e);
  const high = (microseconds / 10000) | 0;
  const low = microseconds - high * 10000;
  const middle = (low / 100) | 0;
  writeTwoDigits(view, at + 1, high);
  writeTwoDigits(view, at + 3, middle);
  let to = writeTwoDigits(view, at + 5, low - middle * 100);
  while (view.getUint8(to - 1) === 0x30) {
    to--;
  }
  return to;
}

/** `±HH:MM[:SS]` of an offset in seconds east of UTC. */
export function writeIsoOffset(view: DataView, at: number, secondsEast: number): number {
  const seconds = Math.abs(secondsEast);
  const hours = (seconds / 3600) | 0;
  const minutes = ((seconds - hours * 3600) / 60) | 0;
  let to = at;
  view.setUint8(to++, secondsEast < 0 ? 0x2d : 0x2b);
  to = writeTwoDigits(view, to, hours);
  view.setUint8(to++, 0x3a);
  to = writeTwoDigits(view, to, minutes);
  const rest = seconds - hours * 3600 - minutes * 60;
  if (rest !== 0) {
    view.setUint8(to++, 0x3a);
    to = writeTwoDigits(view, to, rest);
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
