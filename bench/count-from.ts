/** The value of an option that is a whole number from 1. */
export function countFrom(option: string, text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new Error(`${option} must be a whole number, not '${text}'`);
  return count;
}
