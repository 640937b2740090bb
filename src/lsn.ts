import { wrong } from './errors/option-checks.js';
import { ConfigurationError } from './errors.js';

const MAX_LSN = 0xffff_ffff_ffff_ffffn;
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

  /** `bigint` → `'16/B374D848'`. Throws {@link ConfigurationError} for what is no unsigned 64-bit `bigint`. */
  format(lsn: bigint): string {
    checkLsn(lsn, 'lsn');
    return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
  },

  /** Negative, zero or positive, as `a` is before, at or after `b`: fit for `Array.prototype.sort`. */
  compare(a: bigint, b: bigint): number {
    return a < b ? -1 : a > b ? 1 : 0;
  },
} as const;

/** {@link ConfigurationError} naming the option when it is no position. */
export function checkLsn(lsn: bigint, option: string): void {
  if (typeof lsn !== 'bigint' || lsn < 0n || lsn > MAX_LSN) {
    throw wrong(option, 'must be a bigint of 64 bits; Lsn.parse reads X/Y');
  }
}

export function maxLsn(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
