/** Value of each ASCII hexadecimal digit; 0xff for every other byte. */
export const HEX_VALUES = new Uint8Array(256).fill(0xff);

/** ASCII codes of the lower-case hexadecimal digits. */
export const HEX_DIGITS = new Uint8Array(16);

for (let value = 0; value < 16; value++) {
  const digit = value.toString(16);
  HEX_DIGITS[value] = digit.charCodeAt(0);
  HEX_VALUES[digit.charCodeAt(0)] = value;
  HEX_VALUES[digit.toUpperCase().charCodeAt(0)] = value;
}
