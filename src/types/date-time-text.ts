import { DecodeError } from '../errors.js';
import { copyTwoDigits, writeIsoYear } from './iso-calendar.js';
import type { PackWriter } from './pack-writer.js';

/**
 * The text of date, time, timetz, timestamp and timestamptz under DateStyle ISO, made ISO 8601:
 * ```
 * date         Y..Y-MM-DD[ BC] | infinity | -infinity
 * time         HH:MM:SS[.f{1,6}]
 * zone         ±HH[:MM[:SS]]
 * timetz       time zone
 * timestamp    Y..Y-MM-DD time[ BC] | infinity | -infinity
 * timestamptz  Y..Y-MM-DD time zone[ BC] | infinity | -infinity
 * ```
 * @see https://www.postgresql.org/docs/current/datatype-datetime.html#DATATYPE-DATETIME-OUTPUT
 */

/** `+5874897-12-31T23:59:59.999999+15:59:59` is the longest. */
const MAX_ISO_BYTES = 48;

const NO_ZONE = 0;
/** UTC, which the session's setting makes of every timestamptz, is written `Z`. */
const ZONE_Z = 1;
/** The offset is part of the value and always written out. */
const ZONE_OFFSET = 2;

export function writeDateText(source: Buffer, start: number, end: number, out: PackWriter): void {
  if (writeInfinity(source, start, end, out)) {
    return;
  }
  out.reserve(MAX_ISO_BYTES);
  const isBc = endsInBc(source, start, end);
  const dateEnd = isBc ? end - 3 : end;
  const yearEnd = yearEndOf(source, start, dateEnd);
  if (yearEnd + 6 !== dateEnd) {
    throw new DecodeError('date is not of the form Y-MM-DD', { offset: start });
  }
  out.finishString(copyDate(source, start, yearEnd, isBc, out, out.position + 1));
}

export function writeTimestampText(source: Buffer, start: number, end: number, out: PackWriter): void {
  writeDateTime(source, start, end, out, NO_ZONE);
}

export function writeTimestamptzText(source: Buffer, start: number, end: number, out: PackWriter): void {
  writeDateTime(source, start, end, out, ZONE_Z);
}

export function writeTimeText(source: Buffer, start: number, end: number, out: PackWriter): void {
  out.reserve(MAX_ISO_BYTES);
  out.finishString(copyTime(source, start, end, out.bytes, out.position + 1, NO_ZONE));
}

export function writeTimetzText(source: Buffer, start: number, end: number, out: PackWriter): void {
  out.reserve(MAX_ISO_BYTES);
  out.finishString(copyTime(source, start, end, out.bytes, out.position + 1, ZONE_OFFSET));
}

function writeDateTime(source: Buffer, start: number, end: number, out: PackWriter, zone: number): void {
  if (writeInfinity(source, start, end, out)) {
    return;
  }
  out.reserve(MAX_ISO_BYTES);
  const isBc = endsInBc(source, start, end);
  const timeEnd = isBc ? end - 3 : end;
  const yearEnd = yearEndOf(source, start, timeEnd);
  if (source[yearEnd + 6] !== 0x20) {
    throw new DecodeError('timestamp has no space before its time', { offset: start });
  }
  const { bytes } = out;
  let to = copyDate(source, start, yearEnd, isBc, out, out.position + 1);
  bytes[to++] = 0x54;
  to = copyTime(source, yearEnd + 7, timeEnd, bytes, to, zone);
  out.finishString(to);
}

/** Writes `infinity` or `-infinity` when that is the value. */
function writeInfinity(source: Buffer, start: number, end: number, out: PackWriter): boolean {
  const signed = source[start] === 0x2d;
  if (source[signed ? start + 1 : start] !== 0x69) {
    return false;
  }
  if (source.toString('latin1', start, Math.min(end, start + 10)) !== (signed ? '-infinity' : 'infinity')) {
    throw new DecodeError('date or time is malformed', { offset: start });
  }
  out.writeString(signed ? '-infinity' : 'infinity');
  return true;
}

function endsInBc(source: Buffer, start: number, end: number): boolean {
  return end - start > 3 && source[end - 1] === 0x43 && source[end - 2] === 0x42 && source[end - 3] === 0x20;
}

/** Position of the `-` after the year: four digits or, beyond the year 9999, up to seven. */
function yearEndOf(source: Buffer, start: number, end: number): number {
  let at = start;
  for (; at < end && source[at] !== 0x2d; at++) {
    const byte = source[at] ?? 0;
    if (byte < 0x30 || byte > 0x39) {
      throw new DecodeError('year has a character that is not a digit', { offset: at });
    }
  }
  if (at - start < 4 || at - start > 7 || at === end) {
    throw new DecodeError('year does not have 4 to 7 digits', { offset: start });
  }
  return at;
}

function copyDate(
  source: Buffer,
  start: number,
  yearEnd: number,
  isBc: boolean,
  out: PackWriter,
  position: number,
): number {
  const { bytes } = out;
  let to = position;
  if (yearEnd - start === 4 && !isBc) {
    copyTwoDigits(source, start, yearEnd, bytes, to);
    copyTwoDigits(source, start + 2, yearEnd, bytes, to + 2);
    to += 4;
  } else {
    const year = Number(source.toString('latin1', start, yearEnd));
    to = writeIsoYear(out.view, to, isBc ? 1 - year : year);
  }
  if (source[yearEnd + 3] !== 0x2d) {
    throw new DecodeError('date is not of the form Y-MM-DD', { offset: start });
  }
  bytes[to] = 0x2d;
  copyTwoDigits(source, yearEnd + 1, source.length, bytes, to + 1);
  bytes[to + 3] = 0x2d;
  copyTwoDigits(source, yearEnd + 4, source.length, bytes, to + 4);
  return to + 6;
}

function copyTime(source: Buffer, start: number, end: number, bytes: Buffer, position: number, zone: number): number {
  let to = position;
  if (source[start + 2] !== 0x3a || source[start + 5] !== 0x3a) {
    throw new DecodeError('time is not of the form HH:MM:SS', { offset: start });
  }
  copyTwoDigits(source, start, end, bytes, to);
  bytes[to + 2] = 0x3a;
  copyTwoDigits(source, start + 3, end, bytes, to + 3);
  bytes[to + 5] = 0x3a;
  copyTwoDigits(source, start + 6, end, bytes, to + 6);
  to += 8;
  let at = start + 8;
  if (at < end && source[at] === 0x2e) {
    const fractionEnd = Math.min(end, at + 7);
    bytes[to++] = 0x2e;
    at++;
    for (; at < fractionEnd; at++) {
      const byte = source[at] ?? 0;
      if (byte < 0x30 || byte > 0x39) {
        break;
      }
      bytes[to++] = byte;
    }
  }
  if (zone !== NO_ZONE) {
    return copyZone(source, at, end, bytes, to, zone);
  }
  if (at !== end) {
    throw new DecodeError('time has something after its seconds', { offset: at });
  }
  return to;
}

function copyZone(source: Buffer, start: number, end: number, bytes: Buffer, position: number, zone: number): number {
  const sign = source[start];
  const byteCount = end - start;
  if ((sign !== 0x2b && sign !== 0x2d) || (byteCount !== 3 && byteCount !== 6 && byteCount !== 9)) {
    throw new DecodeError('time zone is not of the form ±HH[:MM[:SS]]', { offset: start });
  }
  if (zone === ZONE_Z && byteCount === 3 && source[start + 1] === 0x30 && source[start + 2] === 0x30) {
    bytes[position] = 0x5a;
    return position + 1;
  }
  bytes[position] = sign;
  let to = position + 1;
  for (let at = start + 1; at < end; at += 3) {
    if (at > start + 1) {
      if (source[at - 1] !== 0x3a) {
        throw new DecodeError('time zone is not of the form ±HH[:MM[:SS]]', { offset: start });
      }
      bytes[to++] = 0x3a;
    }
    copyTwoDigits(source, at, end, bytes, to);
    to += 2;
  }
  if (byteCount === 3) {
    bytes[to] = 0x3a;
    bytes[to + 1] = 0x30;
    bytes[to + 2] = 0x30;
    to += 3;
  }
  return to;
}
