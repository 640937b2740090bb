import { DecodeError } from '../errors.js';
import { requireByteCount } from './integer.js';
import { writeIsoDay, writeIsoOffset, writeIsoTime } from './iso-calendar.js';
import type { PackWriter } from './pack-writer.js';

/**
 * The binary forms of the date/time types, as ISO 8601:
 * ```
 * date                    int32 days since 2000-01-01; the extremes are ±infinity
 * time                    int64 microseconds since midnight
 * timetz                  int64 microseconds since midnight, int32 seconds west of UTC
 * timestamp, timestamptz  int64 microseconds since 2000-01-01 (UTC); the extremes are ±infinity
 * ```
 * @see https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/timestamp.c
 */

const DAY_MICROSECONDS = 86_400_000_000;
/** 4713-11-24 BC (Julian day 0) and 5874897-12-31, the server's limits, in days since 2000-01-01. */
const MIN_DAY = -2_451_545;
const MAX_DAY = 2_145_031_948;
/** The first timestamp beyond the server's limit, 294277-01-01, in days since 2000-01-01. */
const END_TIMESTAMP_DAY = 106_751_983;
/** `+5874897-12-31` and `+294276-12-31T23:59:59.999999Z` are the longest: a short string's one-byte header does. */
const MAX_ISO_BYTES = 40;

export function writeDateBinary(source: Buffer, start: number, end: number, out: PackWriter): void {
  requireByteCount(start, end, 4);
  const days = source.readInt32BE(start);
  if (days === 0x7fffffff || days === -0x80000000) {
    out.writeString(days < 0 ? '-infinity' : 'infinity');
    return;
  }
  requireDay(days, MAX_DAY + 1, start);
  out.reserve(MAX_ISO_BYTES);
  out.finishString(writeIsoDay(out.view, out.position + 1, days));
}

export function writeTimeBinary(source: Buffer, start: number, end: number, out: PackWriter): void {
  requireByteCount(start, end, 8);
  const microseconds = readTimeOfDay(source, start);
  out.reserve(MAX_ISO_BYTES);
  out.finishString(writeIsoTime(out.view, out.position + 1, microseconds));
}

export function writeTimetzBinary(source: Buffer, start: number, end: number, out: PackWriter): void {
  requireByteCount(start, end, 12);
  const microseconds = readTimeOfDay(source, start);
  const secondsWest = source.readInt32BE(start + 8);
  if (Math.abs(secondsWest) >= 16 * 3600) {
    throw new DecodeError('timetz has an offset of 16 hours or more', { offset: start });
  }
  out.reserve(MAX_ISO_BYTES);
  const to = writeIsoTime(out.view, out.position + 1, microseconds);
  out.finishString(writeIsoOffset(out.view, to, -secondsWest));
}

export function writeTimestampBinary(source: Buffer, start: number, end: number, out: PackWriter): void {
  requireByteCount(start, end, 8);
  writeInstant(source, start, out, false);
}

export function writeTimestamptzBinary(source: Buffer, start: number, end: number, out: PackWriter): void {
  requireByteCount(start, end, 8);
  writeInstant(source, start, out, true);
}

function writeInstant(source: Buffer, start: number, out: PackWriter, isUtc: boolean): void {
  const high = source.readInt32BE(start);
  const low = source.readUInt32BE(start + 4);
  if ((high === 0x7fffffff && low === 0xffffffff) || (high === -0x80000000 && low === 0)) {
    out.writeString(high < 0 ? '-infinity' : 'infinity');
    return;
  }
  let days: number;
  let microseconds: number;
  if (high >= -0x200000 && high < 0x200000) {
    // Within 2^53 microseconds, 285 years, of 2000: exact as a double.
    const total = high * 0x100000000 + low;
    days = Math.floor(total / DAY_MICROSECONDS);
    microseconds = total - days * DAY_MICROSECONDS;
  } else {
    const total = source.readBigInt64BE(start);
    const wide = BigInt.asIntN(64, total);
    const remainder = ((wide % 86_400_000_000n) + 86_400_000_000n) % 86_400_000_000n;
    microseconds = Number(remainder);
    days = Number((wide - remainder) / 86_400_000_000n);
  }
  requireDay(days, END_TIMESTAMP_DAY, start);
  out.reserve(MAX_ISO_BYTES);
  const { view } = out;
  let to = writeIsoDay(view, out.position + 1, days);
  view.setUint8(to++, 0x54);
  to = writeIsoTime(view, to, microseconds);
  if (isUtc) {
    view.setUint8(to++, 0x5a);
  }
  out.finishString(to);
}

function readTimeOfDay(source: Buffer, start: number): number {
  const microseconds = source.readInt32BE(start) * 0x100000000 + source.readUInt32BE(start + 4);
  if (microseconds < 0 || microseconds > DAY_MICROSECONDS) {
    throw new DecodeError('time of day is out of range', { offset: start });
  }
  return microseconds;
}

function requireDay(days: number, endDay: number, start: number): void {
  if (days < MIN_DAY || days >= endDay) {
    throw new DecodeError('date is out of range', { offset: start });
  }
}
