/** The longest delay that a timer takes. */
export const MAX_TIMER_MS = 2_147_483_647;

export interface NumberBounds {
  /** Default 1. */
  readonly least?: number;
  readonly most?: number;
}

/** A variable of the environment that holds a whole number; a RangeError that names it for anything else. */
export function wholeNumber(name: string, byDefault: number, { least = 1, most }: NumberBounds = {}): number {
  const text = process.env[name] || String(byDefault);
  const number = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= (most ?? number)) return number;
  const bounds = most === undefined ? `from ${least}` : `from ${least} to ${most}`;
  throw new RangeError(`${name} is '${text}': it has to be a whole number ${bounds}, such as ${byDefault}`);
}
