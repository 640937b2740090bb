import { ConfigurationError } from '../errors.js';

/*
 * Checks of what a user gave, one value each: a ConfigurationError names the option by its path, `slot.create`.
 */

/** The longest delay that a timer takes. */
export const MAX_TIMER_MS = 0x7fff_ffff;

/** Threads for one stream or one verification. */
export const MAX_WORKERS = 64;

export function wrong(option: string, problem: string): ConfigurationError {
  return new ConfigurationError(`${option} ${problem}`, { option });
}

/** An object that was written as one: arrays, dates and other classes' objects have no options in them, null has none. */
export function plainObject<T extends object>(value: T, option: string, what = 'an object'): T {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const prototype: object | null = Object.getPrototypeOf(value);
    // That of another realm's objects is another, and has none above it either.
    if (prototype === null || Object.getPrototypeOf(prototype) === null) return value;
  }
  throw wrong(option, `must be ${what}`);
}

export function refuseUnknown(given: object, known: ReadonlySet<string>, prefix: string): void {
  for (const name of Object.keys(given)) {
    if (!known.has(name)) throw wrong(`${prefix}${name}`, `is no option; there are ${[...known].join(', ')}`);
  }
}

export function text(value: string, option: string): string {
  if (typeof value !== 'string') throw wrong(option, 'must be a string');
  return value;
}

export function list<T>(
  values: readonly T[],
  option: string,
  what: string,
  check: (value: T, option: string) => unknown,
): readonly T[] {
  if (!Array.isArray(values)) throw wrong(option, `must be ${what}`);
  for (const value of values) check(value, option);
  return values;
}

/** Whether it is one; its caller says what is wrong. */
export function isListOf<T>(value: unknown, fits: (item: unknown) => item is T): value is T[];
export function isListOf(value: unknown, fits: (item: unknown) => boolean): boolean;
export function isListOf(value: unknown, fits: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(fits);
}

export function flag(value: boolean | undefined, option: string): boolean {
  if (value !== undefined && typeof value !== 'boolean') throw wrong(option, 'must be true or false');
  return value ?? false;
}

export function oneOf<const T extends string | number>(
  value: T | undefined,
  option: string,
  allowed: readonly T[],
  fallback: T,
): T {
  if (value === undefined) return fallback;
  if (!allowed.includes(value))
    throw wrong(option, `must be ${allowed.map((one) => JSON.stringify(one)).join(' or ')}`);
  return value;
}

export function integer(value: number | undefined, option: string, min: number, max: number, fallback: number): number {
  if (value === undefined) return fallback;
  if (!Number.isInteger(value) || value < min || value > max) {
    throw wrong(option, `must be a whole number from ${min} to ${max}`);
  }
  return value;
}

/** A bound on time; absent, there is none. */
export function timeLimit(value: number | undefined, option: string): number | undefined {
  const inRange = typeof value === 'number' && value >= 0 && value <= MAX_TIMER_MS;
  if (value !== undefined && !inRange) throw wrong(option, `must be a number from 0 to ${MAX_TIMER_MS}`);
  return value;
}

export function callback<T>(value: T | undefined, option: string): T | undefined {
  if (value !== undefined && typeof value !== 'function') throw wrong(option, 'must be a function');
  return value;
}

export function signalFrom(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw wrong('signal', 'must be an AbortSignal');
  return signal;
}
