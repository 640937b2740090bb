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
  if ((flags & EMPTY) !== 0) {
    requireEnd(bytes, 1);
    return 'empty';
  }
  let at = 1;
  let lower = '';
  if ((flags & LOWER_UNBOUNDED) === 0) {
    const end = elementEnd(bytes, at);
    lower = escaped(boundText(bytes.subarray(at + 4, end)));
    at = end;
  }
  let upper = '';
  if ((flags & UPPER_UNBOUNDED) === 0) {
    const end = elementEnd(bytes, at);
    upper = escaped(boundText(bytes.subarray(at + 4, end)));
    at = end;
  }
  requireEnd(bytes, at);
  return `${(flags & LOWER_INCLUSIVE) === 0 ? '(' : '['}${lower},${upper}${(flags & UPPER_INCLUSIVE) === 0 ? ')' : ']'}`;
}

const EMPTY = 0x01;
const LOWER_INCLUSIVE = 0x02;
const UPPER_INCLUSIVE = 0x04;
const LOWER_UNBOUNDED = 0x08;
const UPPER_UNBOUNDED = 0x10;

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
  return bound === '' || /["\\()[\],\s]/.test(bound) ? `"${bound.replace(/["\\]/g, '$&$&')}"` : bound;
}

function requireEnd(bytes: Buffer, end: number): void {
  if (end !== bytes.length) {
    throw new DecodeError('range has something after its end', { offset: end });
  }
}
