import { type Command, InvalidArgumentError, Option } from 'commander';
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

/** A flag that must be given. With commander's own kind a misspelt flag would be told as the one that is missing. */
export class RequiredOption extends Option {}

/** What there is to say of a command's arguments when each by itself is right; before the command runs. */
export async function checkArguments(command: Command): Promise<void> {
  const extra = command.args[command.registeredArguments.length];
  if (extra !== undefined) command.error(`error: too many arguments for '${command.name()}': '${extra}'`);
  for (const option of command.options) {
    if (option instanceof RequiredOption && command.getOptionValue(option.attributeName()) === undefined) {
      command.error(`error: required option '${option.flags}' not specified`);
    }
  }
  if (command.options.some((option) => option.attributeName() === 'dsn')) {
    const { checkConnection } = await import('./connection-check.js');
    checkConnection(command.getOptionValue('dsn'));
  }
}

/** `--dsn`, which every command that connects has. */
export function dsnOption(): Option {
  return new Option('-d, --dsn <url>', 'connection string (default: DATABASE_URL, then the PG* variables)');
}

/** `--format pretty|jsonl`. */
export function formatOption(description: string): Option {
  return new Option('--format <format>', description).choices(['pretty', 'jsonl']).default('pretty');
}
