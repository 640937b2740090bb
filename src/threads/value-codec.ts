import { Packr, Unpackr } from 'msgpackr';

/*
 * What a transform returns crosses threads as msgpack: plain objects, arrays, strings, numbers, bigints of 64 bits,
 * booleans, null, dates and bytes.
 */

const packr = new Packr({ useRecords: false, moreTypes: true });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, moreTypes: true, copyBuffers: true } as object);

/** The value as msgpack, in memory that the next call may write over. */
export function packValue(value: unknown): Uint8Array {
  return packr.pack(value);
}

/** The value packed at `[start, end)`. */
export function unpackValue(bytes: Buffer, start: number, end: number): unknown {
  return unpackr.unpack(bytes, { start, end });
}
