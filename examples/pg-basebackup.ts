/**
 * Takes a full backup of a server into ./backup/, with progress, verified while it arrives, and reads it once more at the end.
 * Every option is a flag, or a variable: --max-rate-kb 1024 or BACKUP_MAX_RATE_KB=1024.
 *
 *   npm run example pg-basebackup
 *   DATABASE_URL=postgresql://... npm run example pg-basebackup -- --directory /backups/monday --format tar
 *
 * What it makes is started with
 *
 *   postgres -D ./backup
 */
import { parseArgs } from 'node:util';
import { BaseBackup, type BaseBackupOptions, Lsn, verifyBackup } from 'pg-walstream';
import { embeddedDatabase } from './sample-shop/embedded-database.js';

type Name = (typeof NAMES)[number];

const NAMES = [
  'directory',
  'format',
  'wal-method',
  'slot',
  'checkpoint',
  'max-rate-kb',
  'label',
  'compression',
  'incremental-from',
  'manifest',
  'manifest-checksums',
  'write-recovery-conf',
  'sync',
] as const;

try {
  const { values } = parseArgs({
    options: Object.fromEntries(NAMES.map((name) => [name, { type: 'string' } as const])),
  });
  const given = (name: Name) => values[name] ?? process.env[`BACKUP_${name.toUpperCase().replaceAll('-', '_')}`];
  const yes = (name: Name) => {
    const text = given(name);
    if (text !== undefined && !['yes', 'no'].includes(text))
      throw new Error(`${name} is '${text}': it has to be yes or no`);
    return text === undefined ? undefined : text === 'yes';
  };
  const directory = given('directory') ?? './backup';
  // What has no value takes the library's default. Wrong values it names itself.
  const options = {
    format: given('format'),
    walMethod: given('wal-method'),
    slot: given('slot'),
    checkpoint: given('checkpoint') ?? 'fast',
    maxRateKb: given('max-rate-kb') === undefined ? undefined : Number(given('max-rate-kb')),
    label: given('label'),
    compression: given('compression'),
    incrementalFrom: given('incremental-from'),
    manifest: given('manifest'),
    manifestChecksums: given('manifest-checksums') ?? 'SHA256',
    writeRecoveryConf: yes('write-recovery-conf'),
    sync: yes('sync'),
  };
  const interrupt = new AbortController();
  process.once('SIGINT', () => interrupt.abort(new Error('interrupted: what was written is removed')));

  const backup = new BaseBackup({
    ...(Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as BaseBackupOptions),
    connection: process.env.DATABASE_URL || (await embeddedDatabase()),
    directory,
    signal: interrupt.signal,
  });
  let percentShown = 0;
  backup.on('progress', ({ receivedBytes, expectedBytes, archive }) => {
    const percent = expectedBytes ? Math.floor((receivedBytes / expectedBytes) * 100) : 0;
    if (percent < percentShown + 10) return;
    percentShown = percent;
    console.log(`${percent} % of ${megabytes(expectedBytes)} MB, in ${archive ?? 'the beginning'}`);
  });
  backup.on('notice', ({ severity, message }) => console.error(`${severity}: ${message}`));

  const { startLsn, endLsn, timeline, fileCount, byteCount, verified, unverifiedReason, durationMs } =
    await backup.run();
  console.log(
    `${fileCount ?? 'unknown'} files of ${megabytes(byteCount)} MB in ${(durationMs / 1000).toFixed(1)} s; ` +
      `WAL from ${Lsn.format(startLsn)} to ${Lsn.format(endLsn)} on timeline ${timeline}`,
  );
  console.log(verified ? 'verified against the manifest while it arrived' : `not verified: ${unverifiedReason}`);

  // The same again, from the disk: what one does before trusting a backup that is older.
  const { ok, problems } = await verifyBackup(directory, { signal: interrupt.signal });
  for (const { path, problem } of problems) console.error(`${path}: ${problem}`);
  if (!ok) throw new Error(`${directory} is not as its manifest says`);
  console.log(`done: ${directory} is good`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

function megabytes(bytes: number | undefined): string {
  return bytes === undefined ? 'unknown' : (bytes / 1e6).toFixed(1);
}
