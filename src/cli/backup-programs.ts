import { Command, Option } from 'commander';
import { dsnOption, flagValue, RequiredOption, repeatable } from './arguments.js';
import {
  BACKUP_FORMAT_VALUE,
  LSN_VALUE,
  PATH_MAPPING_VALUE,
  RATE_KB_VALUE,
  SLOT_NAME_VALUE,
  WAL_METHOD_VALUE,
} from './flag-values.js';

export function baseBackupProgram(parent: Command): Command {
  const command = new Command('basebackup');
  const given = new Set<string>();
  // One value stands for --slot and --no-slot; that both were given shows only here.
  for (const name of ['slot', 'no-slot']) command.on(`option:${name}`, () => given.add(name));
  return (
    command
      .copyInheritedSettings(parent)
      .description('Copy a whole server: a physical base backup, verified while it arrives.')
      .addOption(dsnOption())
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
      .option(
        '-S, --slot <name>',
        'slot that keeps the WAL until it was sent (default: a temporary one)',
        flagValue(SLOT_NAME_VALUE),
      )
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
        const wrong = wrongSlotFlags(flags, given) ?? wrongTargetFlags(flags);
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

/** Flags that say how a backup is written here. */
const LOCAL_FLAGS = [
  ['pgdata', '-D, --pgdata'],
  ['format', '-F, --format'],
  ['writeRecoveryConf', '-R, --write-recovery-conf'],
  ['tablespaceMapping', '-T, --tablespace-mapping'],
] as const;

/** What goes to another target is not written here; `client` is here. */
function wrongTargetFlags(
  flags: { target?: string } & Readonly<Partial<Record<(typeof LOCAL_FLAGS)[number][0], unknown>>>,
): string | undefined {
  const { target } = flags;
  if (target === undefined || target === 'client') {
    if (flags.pgdata === '-') return '-D, --pgdata must be a folder: no archive is written to standard output';
    if (flags.pgdata !== undefined) return undefined;
    if (target === 'client') return '-t, --target client needs -D, --pgdata <directory>';
    return "either '-D, --pgdata <directory>' or '-t, --target <target>' must be given";
  }
  const local = LOCAL_FLAGS.find(([key]) => flags[key] !== undefined);
  return local && `${local[1]} does not go with -t, --target ${target}: the backup is not written here`;
}

export function verifyBackupProgram(parent: Command, onVerdict: (good: boolean) => void): Command {
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
    .addHelpText('after', VERIFY_BACKUP_NOTES)
    .action(async (directory, flags) => {
      const { verifyBackupCommand } = await import('./verifybackup-command.js');
      onVerdict(await verifyBackupCommand(directory, flags));
    });
}

export function receiveWalProgram(parent: Command): Command {
  return new Command('receivewal')
    .copyInheritedSettings(parent)
    .description('Receive WAL into segment files, each byte as on the server.')
    .addOption(
      new RequiredOption('-D, --directory <path>', 'existing folder for the segments; goes on from what it holds'),
    )
    .addOption(dsnOption())
    .option(
      '-S, --slot <name>',
      'physical replication slot, so that the server keeps what was not received',
      flagValue(SLOT_NAME_VALUE),
    )
    .option('--create-slot', 'create the slot when it is missing; else that is an error')
    .option('--synchronous', 'make WAL safe as it comes, and tell the server at once')
    .option('-E, --endpos <lsn>', 'end when everything before this position (X/Y) is received', flagValue(LSN_VALUE))
    .addHelpText('after', RECEIVE_WAL_NOTES)
    .action(async (flags, command: Command) => {
      if (flags.createSlot && flags.slot === undefined) command.error('--create-slot needs --slot, which names it');
      const { receiveWalCommand } = await import('./receivewal-command.js');
      await receiveWalCommand(flags);
    });
}

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

const VERIFY_BACKUP_NOTES = `
Every problem is one line on stderr. Exit code: 0 without a problem, else 1.

Examples:
  $ pg-walstream verifybackup /backups/monday
  $ pg-walstream verifybackup /backups/monday -P -w /archive`;

const RECEIVE_WAL_NOTES = `
A segment that is not complete ends in .partial. Ctrl+C ends in good order; the next run goes on from there.

Examples:
  $ pg-walstream receivewal -D /archive -S archive --create-slot
  $ pg-walstream receivewal -D /archive --endpos 16/B374D848`;
