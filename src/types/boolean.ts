import { DecodeError } from '../errors.js';
import type { PackWriter } from './pack-writer.js';

/** Text: `t` or `f`. */
export function writeBooleanText(source: Buffer, start: number, end: number, out: PackWriter): void {
  const byte = source[start];
  if (end - start !== 1 || (byte !== 0x74 && byte !== 0x66)) {
    throw new DecodeError('boolean is neither t nor f', { offset: start });
  }
  out.writeBoolean(byte === 0x74);
}

/** Binary: one byte, 0 or 1. */
export function writeBooleanBinary(source: Buffer, start: number, end: number, out: PackWriter): void {
  const byte = source[start];
  if (end - start !== 1 || (byte !== 0 && byte !== 1)) {
    throw new DecodeError('boolean is neither 0 nor 1', { offset: start });
  }
  out.writeBoolean(byte === 1);
}
