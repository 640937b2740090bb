import { shortestOfFloat4 } from './shortest-float4.js';

/**
 * A float8 as the server prints it with `extra_float_digits` above 0: the shortest digits that identify it, in fixed
 * notation from 0.0001 to below 10^15.
 *
 * @see https://github.com/postgres/postgres/blob/master/src/common/d2s.c
 */
export function float8Text(value: number): string {
  if (!Number.isFinite(value)) {
    return String(value);
  }
  return decimalText(value, shortestExponential(Math.abs(value)), 15);
}

/** The same for a float4, in fixed notation from 0.0001 to below 10^6. */
export function float4Text(value: number): string {
  const shortest = shortestOfFloat4(value);
  return Number.isFinite(value) ? decimalText(shortest, Math.abs(shortest).toExponential(), 6) : String(value);
}

/** `exponential` is the absolute value; below 10^`fixedDigits` it becomes fixed notation. */
function decimalText(value: number, exponential: string, fixedDigits: number): string {
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const [mantissa = '0', exponentText = '0'] = exponential.split('e');
  const exponent = Number(exponentText);
  const digits = mantissa.replace('.', '');
  if (exponent >= fixedDigits || exponent < -4) {
    const exponentDigits = String(Math.abs(exponent)).padStart(2, '0');
    return `${sign}${mantissa}e${exponent < 0 ? '-' : '+'}${exponentDigits}`;
  }
  if (exponent < 0) {
    return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  }
  const integer = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  const fraction = digits.slice(exponent + 1);
  return `${sign}${integer}${fraction === '' ? '' : `.${fraction}`}`;
}

/**
 * JavaScript's shortest form, unless that lies exactly half-way to the next float8: a reader that rounds to even takes
 * it for `value`, but PostgreSQL does not print it. Only integers above 2^53 have such short half-way neighbours.
 */
function shortestExponential(value: number): string {
  const shortest = value.toExponential();
  if (value < 2 ** 53 || !isHalfWay(shortest, value)) {
    return shortest;
  }
  for (let fractionDigits = 14; fractionDigits < 17; fractionDigits++) {
    const longer = value.toExponential(fractionDigits);
    if (Number(longer) === value && !isHalfWay(longer, value)) {
      return longer;
    }
  }
  return shortest;
}

function isHalfWay(exponential: string, value: number): boolean {
  const [mantissa = '0', exponentText = '0'] = exponential.split('e');
  const digits = mantissa.replace('.', '');
  const zeros = Number(exponentText) - (digits.length - 1);
  if (zeros < 0) {
    return false;
  }
  const distance = BigInt(digits) * 10n ** BigInt(zeros) - BigInt(value);
  // Distance between float8 of this binade, and of the one below at its lower edge.
  const bits = BigInt(value).toString(2);
  const gap = 1n << BigInt(bits.length - 53);
  const isPowerOfTwo = bits.indexOf('1', 1) < 0;
  return distance * 2n === gap || distance * (isPowerOfTwo ? 4n : 2n) === -gap;
}
