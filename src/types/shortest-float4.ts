import { EXACT_POWERS } from './exact-powers.js';

/**
 * The double nearest to the shortest decimal that identifies this float4, which is what PostgreSQL prints: 1.1 and not
 * 1.10000002384185791. `value` must be a float4.
 *
 * @see https://github.com/postgres/postgres/blob/master/src/common/f2s.c
 */
export function shortestOfFloat4(value: number): number {
  // Integers below 2^24 are their own shortest form; so are 0, -0, NaN and the infinities.
  if ((value === Math.trunc(value) && Math.abs(value) < 0x1000000) || !Number.isFinite(value)) {
    return value;
  }
  const magnitude = Math.abs(value);
  const shortest = shortestMagnitude(magnitude);
  return value < 0 ? -shortest : shortest;
}

function shortestMagnitude(magnitude: number): number {
  const isPowerOfTwo = nextFloat4(magnitude) - magnitude !== magnitude - previousFloat4(magnitude);
  // Six digits survive float4 whenever it is normal, so a shorter form is found with six.
  for (let digits = magnitude < FLOAT4_MIN_NORMAL ? 1 : 6; digits <= 9; digits++) {
    const candidate = decimalCandidate(magnitude, digits);
    if (identifies(candidate, magnitude)) {
      return candidate;
    }
    if (isPowerOfTwo && candidate < magnitude) {
      // The next float4 is twice as far above as below: the decimal above may do where the nearer one below does not.
      const above = shiftLastDigit(magnitude.toExponential(digits - 1), 1);
      if (identifies(above, magnitude)) {
        return above;
      }
    }
  }
  return magnitude;
}

const FLOAT4_MIN_NORMAL = 2 ** -126;

const scratch = new DataView(new ArrayBuffer(4));

/** The float4 after `value`, which is positive and finite; the infinity after the last is given as 2^128. */
function nextFloat4(value: number): number {
  scratch.setFloat32(0, value);
  scratch.setInt32(0, scratch.getInt32(0) + 1);
  const next = scratch.getFloat32(0);
  return next === Number.POSITIVE_INFINITY ? 2 ** 128 : next;
}

function previousFloat4(value: number): number {
  scratch.setFloat32(0, value);
  scratch.setInt32(0, scratch.getInt32(0) - 1);
  return scratch.getFloat32(0);
}

/**
 * Whether every correctly rounding reader takes `candidate` for the float4 `magnitude`. PostgreSQL does not accept a
 * decimal half-way between two float4, whatever way it would be rounded.
 */
function identifies(candidate: number, magnitude: number): boolean {
  if (Math.fround(candidate) !== magnitude) {
    return false;
  }
  // Sums of neighbouring float4 are exact doubles.
  return candidate < magnitude
    ? candidate * 2 > magnitude + previousFloat4(magnitude)
    : candidate * 2 < magnitude + nextFloat4(magnitude);
}

/** The double nearest to `magnitude` rounded to so many significant decimal digits. */
function decimalCandidate(magnitude: number, digits: number): number {
  // With at most 12 decimal places the scaled float4 is exact: 24 bits times 5^12.
  if (magnitude >= 1e-3 && magnitude < 1e9) {
    let integerDigits = magnitude < 1 ? (magnitude < 0.1 ? (magnitude < 0.01 ? -2 : -1) : 0) : 1;
    while (integerDigits < 9 && magnitude >= (EXACT_POWERS[integerDigits] ?? 0) && magnitude >= 1) {
      integerDigits++;
    }
    const places = digits - integerDigits;
    if (places >= 0) {
      const power = EXACT_POWERS[places] ?? 1;
      const scaled = magnitude * power;
      let rounded = Math.floor(scaled + 0.5);
      if (rounded - scaled === 0.5 && rounded % 2 === 1) {
        rounded--;
      }
      return rounded / power;
    }
  }
  const exponential = magnitude.toExponential(digits - 1);
  // JavaScript rounds a tie up, PostgreSQL to the even digit.
  return /[13579]e/.test(exponential) && isTie(magnitude, digits)
    ? shiftLastDigit(exponential, -1)
    : Number(exponential);
}

/** Whether `magnitude` lies exactly between two decimals of so many digits: what follows them is 5 and zeros. */
function isTie(magnitude: number, digits: number): boolean {
  if (!/5e/.test(magnitude.toExponential(digits))) {
    return false;
  }
  const [exact = ''] = magnitude.toExponential(100).replace('.', '').split('e');
  return /^50*$/.test(exact.slice(digits));
}

/** The number in exponential notation with its last digit one higher or lower. */
function shiftLastDigit(exponential: string, step: 1 | -1): number {
  const [mantissa = '', exponent = ''] = exponential.split('e');
  const fractionDigits = Math.max(mantissa.length - 2, 0);
  return Number(`${Number(mantissa.replace('.', '')) + step}e${Number(exponent) - fractionDigits}`);
}
