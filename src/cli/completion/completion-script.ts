import type { CommandSpec, FlagSpec } from './completion-spec.js';

/** A script that completes these commands in a shell. All words are our own: none needs quoting but descriptions. */
export function completionScript(shell: 'bash' | 'zsh' | 'fish', commands: readonly CommandSpec[]): string {
  switch (shell) {
    case 'bash':
      return bashScript(commands);
    case 'zsh':
      return zshScript(commands);
    case 'fish':
      return fishScript(commands);
    default:
      return shell satisfies never;
  }
}

/** Where the words before the cursor lead; `at` is the command's path. */
function bashScript(commands: readonly CommandSpec[]): string {
  return `_pg_walstream() {
  local at= i cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]}
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at \${COMP_WORDS[i]}" in
      ${casePattern(pathsBelow(commands))}) at="$at \${COMP_WORDS[i]}" ;;
    esac
  done
  case "$at $prev" in
${valueCases(commands, (words) => `COMPREPLY=($(compgen -W '${words}' -- "$cur")); return`, 'return')}
  esac
  case "$at" in
${wordCases(commands, (words) => `COMPREPLY=($(compgen -W '${words}' -- "$cur"))`)}
  esac
}
complete -o default -F _pg_walstream pg-walstream
`;
}

function zshScript(commands: readonly CommandSpec[]): string {
  return `#compdef pg-walstream
_pg_walstream() {
  local at= i
  for ((i = 2; i < CURRENT; i++)); do
    case "$at $words[i]" in
      ${casePattern(pathsBelow(commands))}) at="$at $words[i]" ;;
    esac
  done
  case "$at $words[CURRENT-1]" in
${valueCases(commands, (words) => `compadd -- ${words}; return`, '_files; return')}
  esac
  case "$at" in
${wordCases(commands, (words) => `compadd -- ${words}`)}
  esac
}
compdef _pg_walstream pg-walstream
`;
}

function fishScript(commands: readonly CommandSpec[]): string {
  const lines = commands.flatMap(({ path, commands: children, flags, argumentChoices }) => {
    const start = `complete -c pg-walstream -n '__pg_walstream_at "${path}"'`;
    return [
      ...children.map(({ name, description }) => `${start} -f -a ${name} -d ${fishQuote(description)}`),
      ...(argumentChoices.length > 0 ? [`${start} -f -a '${argumentChoices.join(' ')}'`] : []),
      ...flags.map((flag) => `${start} ${fishFlag(flag)}`),
    ];
  });
  return `function __pg_walstream_at
  set -l at
  for word in (commandline -opc)[2..]
    switch (string trim "$at $word")
      case ${pathsBelow(commands)
        .map((path) => `'${path}'`)
        .join(' ')}
        set at (string trim "$at $word")
    end
  end
  test "$at" = "$argv[1]"
end
${lines.join('\n')}
`;
}

function fishFlag({ names, description, value, choices }: FlagSpec): string {
  const parts = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  if (value === 'required') parts.push('-r');
  if (choices.length > 0) parts.push(`-f -a '${choices.join(' ')}'`);
  return `${parts.join(' ')} -d ${fishQuote(description)}`;
}

function fishQuote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function pathsBelow(commands: readonly CommandSpec[]): string[] {
  return commands.map(({ path }) => path).filter((path) => path !== '');
}

/** A place as the scripts of bash and zsh have it: every word with a space before it. */
function place(path: string): string {
  return path === '' ? '' : ` ${path}`;
}

function casePattern(paths: readonly string[]): string {
  return paths.map((path) => `"${place(path)}"`).join(' | ');
}

/**
 * After a flag that needs a value there is no other flag: its choices, or what the shell has for any value. After one that
 * may have a value there is all that there is without.
 */
function valueCases(commands: readonly CommandSpec[], offer: (words: string) => string, otherwise: string): string {
  return commands
    .flatMap((command) =>
      command.flags
        .filter(({ value }) => value !== 'none')
        .map(({ names, value, choices }) => {
          const patterns = names.map((name) => `"${place(command.path)} ${name}"`).join(' | ');
          const words = value === 'optional' ? [...choices, ...wordsAt(command)] : choices;
          return `    ${patterns}) ${words.length > 0 ? offer(words.join(' ')) : otherwise} ;;`;
        }),
    )
    .join('\n');
}

function wordCases(commands: readonly CommandSpec[], offer: (words: string) => string): string {
  return commands.map((command) => `    "${place(command.path)}") ${offer(wordsAt(command).join(' '))} ;;`).join('\n');
}

/** What may come next where no value is awaited. */
function wordsAt({ commands: children, flags, argumentChoices }: CommandSpec): string[] {
  return [
    ...children.map(({ name }) => name),
    ...argumentChoices,
    ...flags.flatMap(({ names }) => names.filter((name) => name.startsWith('--'))),
  ];
}
