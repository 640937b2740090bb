import { DecodeError } from '../errors.js';
import { MAX_ARRAY_DIMENSIONS } from './array-text.js';
import type { ColumnWriter } from './column-writer.js';
import type { PackWriter } from './pack-writer.js';

/**
 * A writer for binary arrays:
 * ```
 * int32   dimensions, 0 when empty
 * int32   1 when there are nulls
 * uint32  element type OID
 * then for each dimension  int32 length, int32 lower bound (dropped)
 * then for each element    int32 byte count, -1 for null, and the element
 * ```
 * `writerOf` gives the writer for the element type that the value names.
 *
 * @see https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/arrayfuncs.c
 */
export function arrayBinaryWriter(writerOf: (elementOid: number) => ColumnWriter): ColumnWriter {
  let knownOid = -1;
  let elementWriter: ColumnWriter | undefined;
  return (source, start, end, out) => {
    if (end - start < 12) {
      throw new DecodeError('array is shorter than its header', { offset: start });
    }
    const dimensions = source.readInt32BE(start);
    const elementOid = source.readUInt32BE(start + 8);
    const first = start + 12 + 8 * dimensions;
    if (dimensions < 0 || dimensions > MAX_ARRAY_DIMENSIONS || first > end) {
      throw new DecodeError(`array has ${dimensions} dimensions`, { offset: start });
    }
    const elementCount = requireElementCount(source, start, dimensions, end - first);
    if (elementWriter === undefined || elementOid !== knownOid) {
      elementWriter = writerOf(elementOid);
      knownOid = elementOid;
    }
    if (elementCount === 0) {
      out.writeArrayHeader(0);
    } else if (writeDimension(source, start + 12, first, first, end, out, elementWriter) !== end) {
      throw new DecodeError('array has something after its last element', { offset: start });
    }
  };
}

/** The product of the lengths. Each element takes four bytes at least, so no length can ask for more than there is. */
function requireElementCount(source: Buffer, start: number, dimensions: number, remainingBytes: number): number {
  let elementCount = dimensions === 0 ? 0 : 1;
  for (let dimension = 0; dimension < dimensions; dimension++) {
    const length = source.readInt32BE(start + 12 + 8 * dimension);
    elementCount *= length;
    if (length < 0 || elementCount > remainingBytes / 4) {
      throw new DecodeError('array has more elements than bytes', { offset: start });
    }
  }
  if (elementCount === 0 && remainingBytes > 0) {
    throw new DecodeError('empty array has elements', { offset: start });
  }
  return elementCount;
}

/** Writes one dimension, whose length stands at `lengthAt`, from the element at `start`; returns where it ends. */
function writeDimension(
  source: Buffer,
  lengthAt: number,
  lengthsEnd: number,
  start: number,
  end: number,
  out: PackWriter,
  elementWriter: ColumnWriter,
): number {
  const length = source.readInt32BE(lengthAt);
  out.writeArrayHeader(length);
  let at = start;
  if (lengthAt + 8 < lengthsEnd) {
    for (let index = 0; index < length; index++) {
      at = writeDimension(source, lengthAt + 8, lengthsEnd, at, end, out, elementWriter);
    }
    return at;
  }
  for (let index = 0; index < length; index++) {
    if (at + 4 > end) {
      throw new DecodeError('array ends before its last element', { offset: at });
    }
    const byteCount = source.readInt32BE(at);
    at += 4;
    if (byteCount === -1) {
      out.writeNil();
      continue;
    }
    if (byteCount < 0 || byteCount > end - at) {
      throw new DecodeError(`array element of ${byteCount} bytes`, { offset: at });
    }
    elementWriter(source, at, at + byteCount, out);
    at += byteCount;
  }
  return at;
}
