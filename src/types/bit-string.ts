import { DecodeError } from '../errors.js';

/** bit and varbit binary: int32 count of bits, then the bits from the highest of the first byte on. */
export function bitStringText(bytes: Buffer): string {
  const bitCount = bytes.readInt32BE(0);
  if (bitCount < 0 || bytes.length !== 4 + Math.ceil(bitCount / 8)) {
    throw new DecodeError(`bit string of ${bitCount} bits takes ${bytes.length} bytes`, { offset: 0 });
  }
  const digits = Buffer.allocUnsafe(bitCount);
  for (let index = 0; index < bitCount; index++) {
    digits[index] = 0x30 + (((bytes[4 + (index >> 3)] ?? 0) >> (7 - (index & 7))) & 1);
  }
  return digits.toString('latin1');
}
