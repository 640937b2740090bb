import { Argument, Command } from 'commander';
import { printText } from '../print-text.js';

/** `completion bash|zsh|fish`: completes what commander knows of `parent`. */
export function completionProgram(parent: Command): Command {
  return new Command('completion')
    .copyInheritedSettings(parent)
    .description('Print a script that completes commands and flags in a shell.')
    .addArgument(new Argument('<shell>', 'bash, zsh or fish').choices(['bash', 'zsh', 'fish']))
    .addHelpText('after', COMPLETION_NOTES)
    .action(async (shell: 'bash' | 'zsh' | 'fish') => {
      const { completionScript } = await import('./completion-script.js');
      const { describeCommands } = await import('./completion-spec.js');
      await printText(completionScript(shell, describeCommands(parent)));
    });
}

const COMPLETION_NOTES = `
Examples:
  $ source <(pg-walstream completion bash)                                         in ~/.bashrc
  $ source <(pg-walstream completion zsh)                                          in ~/.zshrc, after compinit
  $ pg-walstream completion fish > ~/.config/fish/completions/pg-walstream.fish`;
