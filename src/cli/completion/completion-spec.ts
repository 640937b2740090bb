import type { Command } from 'commander';

/** A command at its place, such as `slot list`; the program itself is at ``. */
export interface CommandSpec {
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly flags: readonly FlagSpec[];
  /** What its first argument may be, where that is one of a few words. */
  readonly argumentChoices: readonly string[];
}

export interface FlagSpec {
  /** With their dashes. */
  readonly names: readonly string[];
  readonly description: string;
  readonly value: 'none' | 'optional' | 'required';
  /** What the value may be, where it is one of a few words. */
  readonly choices: readonly string[];
}

/** The program and all its commands, as commander has them. */
export function describeCommands(program: Command): CommandSpec[] {
  return describe(program, '');
}

function describe(command: Command, path: string): CommandSpec[] {
  const help = command.createHelp();
  const own: CommandSpec = {
    path,
    commands: command.commands.map((child) => ({ name: child.name(), description: child.description() })),
    flags: help.visibleOptions(command).map((option) => ({
      names: [option.short, option.long].filter((name) => name !== undefined && name !== null),
      description: option.description,
      value: option.required ? 'required' : option.optional ? 'optional' : 'none',
      choices: option.argChoices ?? choicesInHelp(option.flags),
    })),
    argumentChoices: command.registeredArguments[0]?.argChoices ?? [],
  };
  const children = command.commands.flatMap((child) => describe(child, `${path} ${child.name()}`.trim()));
  return [own, ...children];
}

/** `-F, --format <plain|tar>`: what is shown as the value is all that it may be, by whole words. */
function choicesInHelp(flags: string): readonly string[] {
  return /<(\w+(?:\|\w+)+)>$/.exec(flags)?.[1]?.split('|') ?? [];
}
