import { Command } from 'commander';
import { dsnOption, flagValue, formatOption, repeatable } from '../arguments.js';
import { SLOT_NAME_VALUE } from '../flag-values.js';

/** `doctor`; `setHealthy` is told whether there was no problem. */
export function doctorProgram(parent: Command, setHealthy: (healthy: boolean) => void): Command {
  return new Command('doctor')
    .copyInheritedSettings(parent)
    .description('Check everything that a stream needs, and say what to change.')
    .addOption(dsnOption())
    .option('-S, --slot <name>', 'slot that is to be streamed from', flagValue(SLOT_NAME_VALUE))
    .option('--publication <name>', 'publication to stream (default: all there are); repeatable', repeatable(String))
    .addOption(formatOption('lines for people, or a line of JSON for each check'))
    .addHelpText('after', DOCTOR_NOTES)
    .action(async (flags) => {
      const { doctorCommand } = await import('./doctor-command.js');
      setHealthy(await doctorCommand(flags));
    });
}

const DOCTOR_NOTES = `
It changes nothing. A problem keeps a stream from working; a warning does not, or not yet. Exit code: 0 without a
problem, else 1.

Examples:
  $ pg-walstream doctor --slot my_slot --publication my_publication
  $ pg-walstream doctor --format jsonl | grep -v '"ok"'`;
