import { createHash } from 'node:crypto';
import { cp, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { Lsn } from '../../src/lsn.js';
import { manifestBytes } from '../../src/testing/manifest-bytes.js';
import { connect } from '../support/server.js';

/** What a manifest leaves out, or a copy should not have. */
const NOT_COPIED = new Set(['postmaster.pid', 'postmaster.opts', 'pg_replslot', 'pg_stat_tmp']);
const NOT_IN_MANIFEST = new Set(['pg_wal', 'postgresql.auto.conf', 'backup_manifest']);

export interface CopiedBackup {
  readonly directory: string;
  readonly startLsn: string;
  readonly stopLsn: string;
  readonly systemIdentifier: string;
}

/** A folder that goes away with the test. */
export async function temporaryFolder(t: { after(hook: () => Promise<void>): void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'walstream-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A copy of the data directory, taken as the documentation's low-level API has it, with a manifest made here. */
export async function copyBackup(server: EmbeddedServer, directory: string): Promise<CopiedBackup> {
  const client = await connect(server);
  const old = server.major < 15;
  try {
    const start = old ? "pg_start_backup('copy', true, false)" : "pg_backup_start('copy', true)";
    const { rows: started } = await client.query<{ lsn: string }>(`SELECT ${start}::text AS lsn`);
    await client.query('CREATE TABLE IF NOT EXISTS written (n int, t text)');
    await client.query("INSERT INTO written SELECT n, repeat('x', 900) FROM generate_series(1, 6000) n");
    const filter = (source: string) => !NOT_COPIED.has(source.slice(server.dataDirectory.length + 1));
    await cp(server.dataDirectory, directory, { recursive: true, filter });
    const stop = old ? 'pg_stop_backup(false, false)' : 'pg_backup_stop(false)';
    const { rows: stopped } = await client.query<{ lsn: string; labelfile: string }>(
      `SELECT lsn::text, labelfile FROM ${stop}`,
    );
    await cp(join(server.dataDirectory, 'pg_wal'), join(directory, 'pg_wal'), { recursive: true });
    const { rows: system } = await client.query<{ id: string }>(
      'SELECT system_identifier::text AS id FROM pg_control_system()',
    );
    await writeFile(join(directory, 'backup_label'), stopped[0]?.labelfile ?? '');
    const backup = {
      directory,
      startLsn: started[0]?.lsn ?? '',
      stopLsn: stopped[0]?.lsn ?? '',
      systemIdentifier: system[0]?.id ?? '',
    };
    await sealBackup(backup, server.major >= 17 ? 2 : 1);
    return backup;
  } finally {
    await client.end();
  }
}

/** Writes the manifest of what is there now. */
export async function sealBackup(backup: CopiedBackup, version: 1 | 2): Promise<void> {
  const { directory, startLsn, stopLsn, systemIdentifier } = backup;
  const files: string[] = [];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name).slice(directory.length + 1);
    if (NOT_IN_MANIFEST.has(path.split('/')[0] ?? '')) continue;
    const bytes = await readFile(join(directory, path));
    const checksum = createHash('sha256').update(bytes).digest('hex');
    files.push(
      `{ "Path": ${JSON.stringify(path)}, "Size": ${bytes.length}, "Last-Modified": "2026-01-01 00:00:00 GMT", "Checksum-Algorithm": "SHA256", "Checksum": "${checksum}" }`,
    );
  }
  const walRanges = [`{ "Timeline": 1, "Start-LSN": "${startLsn}", "End-LSN": "${stopLsn}" }`];
  const manifest = manifestBytes({
    version,
    ...(version === 2 && { systemIdentifier }),
    files,
    walRanges,
  });
  await writeFile(join(directory, 'backup_manifest'), manifest);
}

/** Another bit at this byte. */
export async function flip(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, offset);
  byte[0] ^= 0x10;
  await file.write(byte, 0, 1, offset);
}

/** The segment in which the backup's WAL begins, and where in it. */
export async function firstSegment(
  walDirectory: string,
  { startLsn }: CopiedBackup,
): Promise<{ path: string; offset: number }> {
  const lsn = Lsn.parse(startLsn);
  const number = (lsn / (16n * 1024n * 1024n)).toString(16).toUpperCase().padStart(8, '0');
  const name = (await readdir(walDirectory)).find((one) => one.length === 24 && one.endsWith(number)) ?? '';
  return { path: join(walDirectory, name), offset: Number(lsn % (16n * 1024n * 1024n)) };
}
