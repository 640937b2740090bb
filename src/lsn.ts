import { ConfigurationError } from './errors.js';

const LSN_TEXT = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;

/**
 * Log sequence numbers: unsigned 64-bit positions in the WAL, held as `bigint` because they exceed 2^53.
 * Text form is PostgreSQL's `X/Y`: two upper-case hexadecimal halves without padding.
 *
 * @see https://www.postgresql.org/docs/current/datatype-pg-lsn.html
 */
export const Lsn = {
  /** `'16/B374D848'` → `bigint`. Throws {@link ConfigurationError} when the text is not an LSN. */
  parse(text: string): bigint {
    const match = typeof text === 'string' ? LSN_TEXT.exec(text) : null;
    if (match === null) {
      const given = typeof text === 'string' ? JSON.stringify(text) : `a value of type ${typeof text}`;
      throw new ConfigurationError(`not an LSN: ${given}; expected hexadecimal X/Y such as 16/B374D848`, {
        option: 'lsn',
      });
    }
    return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
  },

  /** `bigint` → `'16/B374D848'`. */
  format(lsn: bigint): string {
    const high = (lsn >> 32n) & 0xffffffffn;
    return `${high.toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
  },

  /** Negative, zero or positive, as `a` is before, at or after `b`: fit for `Array.prototype.sort`. */
  compare(a: bigint, b: bigint): number {
    return a < b ? -1 : a > b ? 1 : 0;
  },
} as const;

export function maxLsn(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
