/** The highest power of ten that a double holds exactly. */
export const MAX_EXACT_POWER = 22;

/** Powers of ten, by exponent. */
export const EXACT_POWERS = Array.from({ length: MAX_EXACT_POWER + 1 }, (_, exponent) => Number(`1e${exponent}`));
