import { Argument, Command } from 'commander';
import { dsnOption, flagValue, formatOption } from './arguments.js';
import { LSN_VALUE, SECONDS_VALUE, SLOT_NAME_VALUE } from './flag-values.js';

/** `slot list | create | drop | advance`. */
export function slotProgram(parent: Command): Command {
  const slot = new Command('slot')
    .copyInheritedSettings(parent)
    .description('List, create, drop or advance replication slots.')
    .addHelpText('after', SLOT_NOTES);
  slot
    .command('list')
    .description('All slots of the server, and the WAL that each keeps.')
    .addOption(dsnOption())
    .addOption(formatOption('a table, or a line of JSON for each'))
    .action(async (flags) => (await import('./slot-command.js')).listSlotsCommand(flags));
  slot
    .command('create')
    .description('Create a slot for pgoutput; what is committed from then on waits in it.')
    .argument('<name>', 'name of the new slot', flagValue(SLOT_NAME_VALUE))
    .addOption(dsnOption())
    .option('--physical', 'a slot for WAL itself, not for changes')
    .option('--reserve-wal', 'physical: keep WAL from now on, not from the first connection')
    .option('--two-phase', 'logical: decode transactions when they are prepared')
    .option('--failover', 'logical: have it copied to standbys (PostgreSQL 17)')
    .action(async (name, flags, command: Command) => {
      const [own, others] = flags.physical ? ['--physical', LOGICAL_ONLY] : ['a logical slot', PHYSICAL_ONLY];
      const wrong = others.find(([key]) => flags[key] !== undefined);
      if (wrong !== undefined) command.error(`error: ${wrong[1]} does not go with ${own}`);
      await (await import('./slot-command.js')).createSlotCommand(name, flags);
    });
  slot
    .command('drop')
    .description('Drop a slot, and with it what waits in it.')
    .argument('<name>', 'name of the slot', flagValue(SLOT_NAME_VALUE))
    .addOption(dsnOption())
    .option('--wait <seconds>', 'wait so long for a connection that holds it', flagValue(SECONDS_VALUE))
    .action(async (name, flags) => (await import('./slot-command.js')).dropSlotCommand(name, flags));
  slot
    .command('advance')
    .description('Move a slot forward: what lies before the position is never sent.')
    .argument('<name>', 'name of the slot', flagValue(SLOT_NAME_VALUE))
    .addArgument(
      new Argument('<lsn>', 'position X/Y; beyond the end of WAL it is that end').argParser(flagValue(LSN_VALUE)),
    )
    .addOption(dsnOption())
    .action(async (name, lsn, flags) => (await import('./slot-command.js')).advanceSlotCommand(name, lsn, flags));
  return slot;
}

const LOGICAL_ONLY = [
  ['twoPhase', '--two-phase'],
  ['failover', '--failover'],
] as const;
const PHYSICAL_ONLY = [['reserveWal', '--reserve-wal']] as const;

const SLOT_NOTES = `
A slot keeps WAL on the server until its consumer has confirmed it, for ever if nobody comes: drop those that nobody
needs any more.

Examples:
  $ pg-walstream slot create my_slot
  $ pg-walstream slot list --format jsonl
  $ pg-walstream slot advance my_slot 16/B374D848
  $ pg-walstream slot drop my_slot`;
