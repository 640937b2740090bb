import { DecodeError } from '../errors.js';
import type { ColumnWriter } from './column-writer.js';
import type { PackWriter } from './pack-writer.js';
import { tokenEnd, writeToken } from './quoted-token.js';
import { RangeFlag } from './range.js';

/**
 * A range: bounds as values of its subtype, `null` where there is none. A bound that is the value `infinity` is a bound.
 * A multirange is an array of ranges.
 */
export type RangeValue<Bound = unknown> =
  | { readonly empty: true }
  | {
      readonly lower: Bound | null;
      readonly upper: Bound | null;
      readonly lowerInclusive: boolean;
      readonly upperInclusive: boolean;
    };

const COMMA = 0x2c;
const OPEN_EXCLUSIVE = 0x28;
const CLOSE_EXCLUSIVE = 0x29;
const OPEN_INCLUSIVE = 0x5b;
const CLOSE_INCLUSIVE = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const EMPTY_BYTES = Buffer.from('empty');

/**
 * A writer for the text of ranges:
 * ```
 * range    empty | ( '(' | '[' ) [bound] , [bound] ( ')' | ']' )
 * ```
 */
export function rangeTextWriter(boundWriter: ColumnWriter): ColumnWriter {
  return (source, start, end, out) => {
    if (writeRangeText(source, start, end, out, boundWriter) !== end) {
      throw new DecodeError('range has something after its end', { offset: start });
    }
  };
}

/** A writer for the text of multiranges: ranges within braces, separated by commas. */
export function multirangeTextWriter(boundWriter: ColumnWriter): ColumnWriter {
  return (source, start, end, out) => {
    if (end - start < 2 || source[start] !== OPEN_BRACE || source[end - 1] !== CLOSE_BRACE) {
      throw new DecodeError('multirange is not within braces', { offset: start });
    }
    const header = out.writeArrayHeader(0);
    let length = 0;
    for (let at = start + 1; at < end - 1; length++) {
      if (length > 0) {
        if (source[at++] !== COMMA) throw new DecodeError('multirange without a comma', { offset: at });
      }
      at = writeRangeText(source, at, end - 1, out, boundWriter);
    }
    out.setArrayLength(header, length);
  };
}

/** Writes the range at `start`; returns where it ends. */
function writeRangeText(
  source: Buffer,
  start: number,
  end: number,
  out: PackWriter,
  boundWriter: ColumnWriter,
): number {
  const opener = source[start];
  if (start < end && (opener === OPEN_EXCLUSIVE || opener === OPEN_INCLUSIVE)) {
    // Either closer ends a bound; a range's own text never holds them outside quotes.
    const lowerEnd = tokenEnd(source, start + 1, end, COMMA, CLOSE_EXCLUSIVE);
    if (source[lowerEnd] !== COMMA) throw new DecodeError('range with one bound', { offset: start });
    const upperEnd = tokenEnd(source, lowerEnd + 1, end, CLOSE_INCLUSIVE, CLOSE_EXCLUSIVE);
    const lowerInclusive = opener === OPEN_INCLUSIVE ? RangeFlag.lowerInclusive : 0;
    out.writeRangeHeader(lowerInclusive | (source[upperEnd] === CLOSE_INCLUSIVE ? RangeFlag.upperInclusive : 0));
    writeBoundText(source, start + 1, lowerEnd, out, boundWriter);
    writeBoundText(source, lowerEnd + 1, upperEnd, out, boundWriter);
    return upperEnd + 1;
  }
  const emptyEnd = start + EMPTY_BYTES.length;
  if (emptyEnd > end || EMPTY_BYTES.compare(source, start, emptyEnd) !== 0) {
    throw new DecodeError('range without a bracket', { offset: start });
  }
  writeEmptyRange(out);
  return emptyEnd;
}

function writeBoundText(source: Buffer, start: number, end: number, out: PackWriter, boundWriter: ColumnWriter): void {
  if (start === end) out.writeNil();
  else writeToken(source, start, end, out, boundWriter);
}

/** A writer for binary ranges; their form is described at {@link rangeText}. */
export function rangeBinaryWriter(boundWriter: ColumnWriter): ColumnWriter {
  return (source, start, end, out) => {
    if (end <= start) throw new DecodeError('range without its flags', { offset: start });
    const flags = source[start];
    let at = start + 1;
    if ((flags & RangeFlag.empty) !== 0) {
      writeEmptyRange(out);
    } else {
      out.writeRangeHeader(flags);
      at = writeBoundBinary(source, at, end, out, (flags & RangeFlag.lowerUnbounded) === 0, boundWriter);
      at = writeBoundBinary(source, at, end, out, (flags & RangeFlag.upperUnbounded) === 0, boundWriter);
    }
    if (at !== end) throw new DecodeError('range has something after its end', { offset: start });
  };
}

/** A writer for binary multiranges; their form is described at {@link multirangeText}. */
export function multirangeBinaryWriter(boundWriter: ColumnWriter): ColumnWriter {
  const rangeWriter = rangeBinaryWriter(boundWriter);
  return (source, start, end, out) => {
    const count = end - start < 4 ? -1 : source.readInt32BE(start);
    // A range takes five bytes at least.
    if (count < 0 || count > (end - start - 4) / 5) {
      throw new DecodeError(`multirange of ${count} ranges`, { offset: start });
    }
    out.writeArrayHeader(count);
    let at = start + 4;
    for (let index = 0; index < count; index++) at = writePart(source, at, end, out, rangeWriter);
    if (at !== end) throw new DecodeError('multirange has something after its end', { offset: start });
  };
}

function writeBoundBinary(
  source: Buffer,
  at: number,
  end: number,
  out: PackWriter,
  isBounded: boolean,
  boundWriter: ColumnWriter,
): number {
  if (isBounded) return writePart(source, at, end, out, boundWriter);
  out.writeNil();
  return at;
}

/** Writes the value whose length stands at `at`; returns where it ends. */
function writePart(source: Buffer, at: number, end: number, out: PackWriter, writer: ColumnWriter): number {
  const byteCount = end - at < 4 ? -1 : source.readInt32BE(at);
  if (byteCount < 0 || byteCount > end - at - 4) {
    throw new DecodeError('range has a bound that goes beyond its end', { offset: at });
  }
  writer(source, at + 4, at + 4 + byteCount, out);
  return at + 4 + byteCount;
}

function writeEmptyRange(out: PackWriter): void {
  out.writeRangeHeader(RangeFlag.empty);
  out.writeNil();
  out.writeNil();
}

/** A range as it is packed. */
export type RangeParts = readonly [flags: number, lower: unknown, upper: unknown];

/** What was written is read as this. */
export function rangeFrom([flags, lower, upper]: RangeParts): RangeValue {
  if ((flags & RangeFlag.empty) !== 0) return { empty: true };
  return {
    lower,
    upper,
    lowerInclusive: (flags & RangeFlag.lowerInclusive) !== 0,
    upperInclusive: (flags & RangeFlag.upperInclusive) !== 0,
  };
}
