/** Value of each ASCII hexadecimal digit; 0xff for every other byte. */
export const HEX_VALUES = new Uint8Array(256).fill(0xff);

/** The two lower-case hexadecimal digits of each byte, as a big-endian pair of ASCII codes. */
export const HEX_PAIRS = Uint16Array.from({ length: 256 }, (_, byte) =>
  Buffer.from(byte.toString(16).padStart(2, '0')).readUInt16BE(),
);

for (let value = 0; value < 16; value++) {
  const digit = value.toString(16);
  HEX_VALUES[digit.charCodeAt(0)] = value;
  HEX_VALUES[digit.toUpperCase().charCodeAt(0)] = value;
}
