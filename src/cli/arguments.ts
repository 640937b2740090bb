import { InvalidArgumentError, Option } from 'commander';
import type { FlagValue } from './flag-values.js';

/** A parser of one value, as commander wants it. */
export function flagValue<T>({ parse, expected }: FlagValue<T>): (text: string) => T {
  return (text) => {
    const value = parse(text);
    if (value === undefined) throw new InvalidArgumentError(`Expected ${expected}.`);
    return value;
  };
}

/** A flag that may be given several times. */
export function repeatable<T>(
  one: (text: string) => T,
): (text: string, before: readonly T[] | undefined) => readonly T[] {
  return (text, before = []) => [...before, one(text)];
}

/** `--dsn`, which every command that connects has. */
export function dsnOption(): Option {
  return new Option('-d, --dsn <url>', 'connection string (default: DATABASE_URL, then the PG* variables)');
}

/** `--format pretty|jsonl`. */
export function formatOption(description: string): Option {
  return new Option('--format <format>', description).choices(['pretty', 'jsonl']).default('pretty');
}
