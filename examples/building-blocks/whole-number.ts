/** A variable of the environment that holds a whole number from `least`; a RangeError that names it for anything else. */
export function wholeNumber(name: string, byDefault: number, least = 1): number {
  const text = process.env[name] || String(byDefault);
  const number = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!(number >= least)) throw new RangeError(`${name} is '${text}': it has to be a whole number from ${least}`);
  return number;
}
