import { DecodeError } from '../errors.js';
import type { ServerText } from './server-text.js';

/**
 * range binary:
 * ```
 * uint8                flags, below
 * int32 length, bound  lower, unless empty or unbounded
 * int32 length, bound  upper, unless empty or unbounded
 * ```
 * `boundText` prints a bound the way the server does.
 *
 * @see https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/rangetypes.c
 */
export function rangeText(bytes: Buffer, boundText: ServerText): string {
  const flags = bytes.readUInt8(0);
  if ((flags & RangeFlag.empty) !== 0) {
    requireEnd(bytes, 1);
    return 'empty';
  }
  let at = 1;
  let lower = '';
  if ((flags & RangeFlag.lowerUnbounded) === 0) {
    const end = elementEnd(bytes, at);
    lower = escaped(boundText(bytes.subarray(at + 4, end)));
    at = end;
  }
  let upper = '';
  if ((flags & RangeFlag.upperUnbounded) === 0) {
    const end = elementEnd(bytes, at);
    upper = escaped(boundText(bytes.subarray(at + 4, end)));
    at = end;
  }
  requireEnd(bytes, at);
  return `${(flags & RangeFlag.lowerInclusive) === 0 ? '(' : '['}${lower},${upper}${(flags & RangeFlag.upperInclusive) === 0 ? ')' : ']'}`;
}

/** What the first byte of a binary range says. */
export const RangeFlag = {
  empty: 0x01,
  lowerInclusive: 0x02,
  upperInclusive: 0x04,
  lowerUnbounded: 0x08,
  upperUnbounded: 0x10,
} as const;

/** multirange binary: int32 count, then for each range its int32 length and the range. */
export function multirangeText(bytes: Buffer, boundText: ServerText): string {
  const count = bytes.readInt32BE(0);
  const ranges: string[] = [];
  let at = 4;
  for (let index = 0; index < count; index++) {
    const end = elementEnd(bytes, at);
    ranges.push(rangeText(bytes.subarray(at + 4, end), boundText));
    at = end;
  }
  requireEnd(bytes, at);
  return `{${ranges.join(',')}}`;
}

function elementEnd(bytes: Buffer, at: number): number {
  const end = at + 4 + bytes.readInt32BE(at);
  if (end < at + 4 || end > bytes.length) {
    throw new DecodeError('range has a bound that goes beyond its end', { offset: at });
  }
  return end;
}

function escaped(bound: string): string {
  return bound === '' || /["\\()[\], \t\n\v\f\r]/.test(bound) ? `"${bound.replace(/["\\]/g, '$&$&')}"` : bound;
}

function requireEnd(bytes: Buffer, end: number): void {
  if (end !== bytes.length) {
    throw new DecodeError('range has something after its end', { offset: end });
  }
}
