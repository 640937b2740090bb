import { Command, Option } from 'commander';
import { dsnOption, flagValue, formatOption, repeatable } from './arguments.js';
import { PUBLISHED_ACTION_VALUE, TABLE_VALUE } from './flag-values.js';

/** `publication list | create | drop`. */
export function publicationProgram(parent: Command): Command {
  const publication = new Command('publication')
    .copyInheritedSettings(parent)
    .description('List, create or drop publications: which tables are streamed.')
    .addHelpText('after', PUBLICATION_NOTES);
  publication
    .command('list')
    .description('The publications of the database, and their tables.')
    .addOption(dsnOption())
    .addOption(formatOption('a table, or a line of JSON for each'))
    .action(async (flags) => (await import('./publication-command.js')).listPublicationsCommand(flags));
  publication
    .command('create')
    .description('Create a publication. Create it before the slot: a slot knows no later one.')
    .argument('<name>', 'name of the new publication')
    .addOption(dsnOption())
    .addOption(
      new Option('--all-tables', 'every table, future ones included; for superusers').conflicts(['table', 'schema']),
    )
    .option('--table <schema.table>', 'a table; repeatable', repeatable(flagValue(TABLE_VALUE)))
    .option(
      '--schema <name>',
      'every table of a schema (PostgreSQL 15), for superusers; repeatable',
      repeatable(String),
    )
    .option(
      '--publish <action>',
      'insert, update, delete or truncate, not all; repeatable',
      repeatable(flagValue(PUBLISHED_ACTION_VALUE)),
    )
    .option('--via-root', 'changes of partitions appear as those of the partitioned table')
    .action(async (name, flags, command: Command) => {
      if (!flags.allTables && flags.table === undefined && flags.schema === undefined) {
        command.error('error: a publication of nothing: give --table, --schema or --all-tables');
      }
      await (await import('./publication-command.js')).createPublicationCommand(name, flags);
    });
  publication
    .command('drop')
    .description('Drop a publication; its tables stay, streams that use it end.')
    .argument('<name>', 'name of the publication')
    .addOption(dsnOption())
    .action(async (name, flags) => (await import('./publication-command.js')).dropPublicationCommand(name, flags));
  return publication;
}

const PUBLICATION_NOTES = `
Tables are spelled as in the catalog, with double quotes where a name has a dot.

Examples:
  $ pg-walstream publication create my_publication --table public.orders --table public.customers
  $ pg-walstream publication create everything --all-tables
  $ pg-walstream publication list`;
