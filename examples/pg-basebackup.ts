/**
 * Takes a full backup of a server into ./backup/, with progress, verified while it arrives, and reads it once more at the end.
 * Every option of BaseBackup is a flag, or a variable: --max-rate-kb 1024 or BACKUP_MAX_RATE_KB=1024. --help lists them.
 *
 *   npm run example pg-basebackup
 *   DATABASE_URL=postgresql://... npm run example pg-basebackup -- --directory /backups/monday --format tar
 *
 * What it makes is started with
 *
 *   postgres -D ./backup
 */

import { parseArgs } from 'node:util';
import { BaseBackup, type BaseBackupOptions, ConfigurationError, Lsn, verifyBackup } from 'pg-walstream';
import { interruption } from './building-blocks/interruption.js';
import { embeddedDatabase } from './sample-shop/embedded-database.js';

/** What each takes. Without one the library's own default holds, but for the first, `checkpoint` and `manifest-checksums`. */
const FLAGS = {
  directory: 'a folder that is empty or not there yet; ./backup',
  target: 'server:/path or blackhole, to have it there instead of here',
  format: 'plain or tar',
  'wal-method': 'stream, fetch or none',
  slot: 'name of a physical slot',
  'create-slot': 'yes or no: whether that slot is made',
  'no-slot': 'yes or no: whether none is used, not even a temporary one',
  checkpoint: 'fast or spread; fast',
  'max-rate-kb': 'kB per second',
  label: 'text',
  compression: 'server-zstd:level=5, client-gzip, none and so on',
  'incremental-from': 'backup_manifest of an earlier backup',
  manifest: 'yes, no or force-encode',
  'manifest-checksums': 'NONE, CRC32C, SHA224, SHA256, SHA384 or SHA512; SHA256',
  'verify-checksums': 'yes or no: whether the server checks its pages',
  'tablespace-mapping': '/there=/here,/there2=/here2 or server-paths',
  'write-recovery-conf': 'yes or no: whether it becomes a standby',
  sync: 'yes or no: whether it survives a crash when it is done',
  'keep-on-error': 'yes or no: whether what was written stays when it fails',
  'idle-timeout-ms': 'milliseconds without a byte that are an error',
} as const;

type Flag = keyof typeof FLAGS;
type Values = Partial<Record<Flag | 'help', string | boolean>>;

const NAMES = Object.keys(FLAGS) as Flag[];
const variableOf = (flag: Flag) => `BACKUP_${flag.toUpperCase().replaceAll('-', '_')}`;
const optionOf = (flag: Flag) => flag.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase());

/** What the command line and the environment say; what is empty is not said. */
class Wishes {
  readonly #values: Values;

  constructor(values: Values) {
    this.#values = values;
  }

  text(flag: Flag): string | undefined {
    return String(this.#values[flag] ?? '') || process.env[variableOf(flag)] || undefined;
  }

  /** What is no number is left to the library to refuse. */
  number(flag: Flag): number | undefined {
    const text = this.text(flag);
    return text === undefined ? undefined : Number(text);
  }

  yes(flag: Flag): boolean | undefined {
    const text = this.text(flag);
    if (text === undefined) return undefined;
    if (!['yes', 'no'].includes(text)) throw new TypeError(`${this.source(flag)} is '${text}': it has to be yes or no`);
    return text === 'yes';
  }

  slot(): BaseBackupOptions['slot'] {
    const [name, create, none] = [this.text('slot'), this.yes('create-slot'), this.yes('no-slot')];
    if (none && name !== undefined)
      throw new TypeError(`${this.source('no-slot')} and ${this.source('slot')} exclude each other`);
    if (create && name === undefined) throw new TypeError(`${this.source('create-slot')} needs --slot`);
    if (none) return false;
    return name === undefined ? undefined : { name, create: create ? 'always' : 'never' };
  }

  tablespaceMapping(): BaseBackupOptions['tablespaceMapping'] {
    const text = this.text('tablespace-mapping');
    if (text === undefined || text === 'server-paths') return text;
    const pairs = text.split(',').map((pair) => pair.split('='));
    if (pairs.every((pair) => pair.length === 2)) return Object.fromEntries(pairs);
    throw new TypeError(
      `${this.source('tablespace-mapping')} is '${text}': it has to be ${FLAGS['tablespace-mapping']}`,
    );
  }

  /** Where the wish comes from: how a wrong one is called. */
  source(flag: Flag): string {
    return !this.#values[flag] && process.env[variableOf(flag)] ? variableOf(flag) : `--${flag}`;
  }

  /** The library's error in the words of the one who wished. */
  inTheirWords({ message, option }: ConfigurationError): string {
    const wrong = NAMES.find((flag) => optionOf(flag) === /^\w*/.exec(option)?.[0]);
    const said = wrong === undefined ? message : message.replace(option, this.source(wrong));
    return NAMES.reduce(
      (text, flag) => text.replaceAll(new RegExp(`(?<!-)\\b${optionOf(flag)}: `, 'g'), `--${flag} `),
      said,
    );
  }
}

const HELP = `flags, each of them a variable too, such as ${variableOf('max-rate-kb')}:
${NAMES.map((flag) => `  --${flag.padEnd(20)} ${FLAGS[flag]}\n`).join('')}`;

function optionsFrom(wishes: Wishes): BaseBackupOptions {
  const target = wishes.text('target');
  const isHere = target === undefined || target === 'client';
  const options = {
    directory: wishes.text('directory') ?? (isHere ? './backup' : undefined),
    target,
    format: wishes.text('format'),
    walMethod: wishes.text('wal-method'),
    slot: wishes.slot(),
    checkpoint: wishes.text('checkpoint') ?? 'fast',
    maxRateKb: wishes.number('max-rate-kb'),
    label: wishes.text('label'),
    compression: wishes.text('compression'),
    incrementalFrom: wishes.text('incremental-from'),
    manifest: wishes.text('manifest'),
    manifestChecksums: wishes.text('manifest-checksums') ?? 'SHA256',
    verifyChecksums: wishes.yes('verify-checksums'),
    tablespaceMapping: wishes.tablespaceMapping(),
    writeRecoveryConf: wishes.yes('write-recovery-conf'),
    sync: wishes.yes('sync'),
    keepOnError: wishes.yes('keep-on-error'),
    idleTimeoutMs: wishes.number('idle-timeout-ms'),
  } satisfies Record<Exclude<keyof BaseBackupOptions, 'connection' | 'signal'>, unknown>;
  // What has no value takes the library's default; what is wrong it refuses.
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as BaseBackupOptions;
}

/** Takes the backup; where it is, `undefined` when that is not here. */
async function take(options: BaseBackupOptions): Promise<string | undefined> {
  const backup = new BaseBackup(options);
  let percentShown = 0;
  backup.on('progress', ({ receivedBytes, expectedBytes, archive }) => {
    const percent = expectedBytes ? Math.floor((receivedBytes / expectedBytes) * 100) : 0;
    if (percent < percentShown + 10) return;
    percentShown = percent;
    console.log(`${percent} % of ${megabytes(expectedBytes)} MB, in ${archive ?? 'the beginning'}`);
  });
  backup.on('notice', ({ severity, message }) => console.error(`${severity}: ${message}`));

  const result = await backup.run();
  const { startLsn, endLsn, timeline, fileCount, byteCount, verified, unverifiedReason, durationMs } = result;
  console.log(
    `${fileCount ?? 'unknown'} files of ${megabytes(byteCount)} MB in ${(durationMs / 1000).toFixed(1)} s; ` +
      `WAL from ${Lsn.format(startLsn)} to ${Lsn.format(endLsn)} on timeline ${timeline}`,
  );
  console.log(verified ? 'verified against the manifest while it arrived' : `not verified: ${unverifiedReason}`);
  return result.directory;
}

/** The same again, from the disk: what one does before trusting a backup that is older. */
async function verify(directory: string, parseWal: boolean): Promise<void> {
  const { ok, problems } = await verifyBackup(directory, { parseWal, signal: interruption });
  for (const { path, problem } of problems) console.error(`${path}: ${problem}`);
  if (!ok) throw new Error(`${directory} is not as its manifest says`);
}

function megabytes(bytes: number | undefined): string {
  return bytes === undefined ? 'unknown' : (bytes / 1e6).toFixed(1);
}

async function run(wishes: Wishes): Promise<void> {
  const wished = optionsFrom(wishes);
  const left = wished.keepOnError ? 'what was written stays, and is no backup' : 'what was written is removed';
  const connection = process.env.DATABASE_URL || (await embeddedDatabase());
  const directory = await take({ ...wished, connection, signal: interruption }).catch((error: Error) => {
    if (error instanceof ConfigurationError) throw new TypeError(wishes.inTheirWords(error));
    throw error === interruption.reason ? new Error(`interrupted: ${left}`) : error;
  });
  if (directory === undefined) {
    console.log(`done: it went to ${wished.target}`);
    return;
  }
  await verify(directory, wished.walMethod !== 'none').catch((error: Error) => {
    throw error === interruption.reason
      ? new Error(`interrupted: ${directory} is whole, and not read once more`)
      : error;
  });
  console.log(`done: ${directory} is good`);
}

try {
  const { values } = parseArgs({
    options: {
      ...Object.fromEntries(NAMES.map((flag) => [flag, { type: 'string' } as const])),
      help: { type: 'boolean' },
    },
  });
  if (values.help) process.stdout.write(HELP);
  else await run(new Wishes(values));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
