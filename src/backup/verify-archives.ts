import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { whyNoCodec } from './archive-codec.js';
import { type IndexedMember, indexArchive } from './archive-index.js';
import type { CompressionMethod } from './backup-compression.js';
import type { BackupProblems } from './backup-problems.js';
import type { ArchiveToCheck, CheckedMember } from './checksum-task.js';
import { CONTROL_FILE_PATH, CONTROL_FILE_READ_BYTES, judgeControlFile } from './control-file.js';
import type { ChecksumPool, FoundFile } from './file-checks.js';
import type { Manifest, ManifestFile } from './manifest.js';
import { systemReason } from './system-reason.js';
import { isIgnored, type ResolvedVerifyOptions } from './verify-options.js';
import type { WalVerdicts } from './wal-archive-scan.js';
import type { ArchiveStretch } from './wal-source.js';

const WAL_FOLDER = 'pg_wal/';
const MAX_OID = 0xffff_ffff;
const ARCHIVE_NAME = /^(base|pg_wal|\d{1,10})\.(tar|tgz|tar\.gz|tar\.lz4|tar\.zst)$/;

interface Archive {
  readonly name: string;
  readonly path: string;
  readonly compression: 'none' | CompressionMethod;
  /** Of what is in it, in the manifest. */
  readonly prefix: string;
}

/** What was found in the archives of a backup. */
export interface ArchivesFound {
  /** Members whose checksum is still to be checked. */
  readonly found: readonly FoundFile[];
  /** Segments by name, in archives that are not compressed. */
  readonly segments: ReadonlyMap<string, ArchiveStretch>;
  /** Of the WAL in each compressed archive that has any: it was checked as it came by. */
  readonly wal: readonly WalVerdicts[];
}

/** What the members are compared with. */
interface Scan {
  readonly options: ResolvedVerifyOptions;
  readonly manifest: Manifest;
  readonly pool: ChecksumPool;
  readonly problems: BackupProblems;
  readonly found: FoundFile[];
  readonly segments: Map<string, ArchiveStretch>;
  readonly wal: WalVerdicts[];
  readonly seen: Set<string>;
}

/**
 * Compares what the archives of a backup hold with the manifest. Those that are not compressed are checked like files, in
 * any order; others by one thread each, from beginning to end.
 */
export async function scanArchives(
  options: ResolvedVerifyOptions,
  manifest: Manifest,
  pool: ChecksumPool,
  problems: BackupProblems,
): Promise<ArchivesFound> {
  const scan: Scan = { options, manifest, pool, problems, found: [], segments: new Map(), wal: [], seen: new Set() };
  for (const archive of await listArchives(options, problems)) {
    options.signal?.throwIfAborted();
    if (archive.compression === 'none') await scanArchive(scan, archive);
    else if (archive.prefix === WAL_FOLDER && !readsWal(options)) continue;
    else {
      const reason = whyNoCodec(archive.compression);
      if (reason === undefined) await scanCompressed(scan, archive, archive.compression);
      else problems.add(archive.name, `cannot be read: ${reason}`);
    }
  }
  for (const path of manifest.files.keys()) {
    if (!scan.seen.has(path) && !isIgnored(path, options.ignore)) {
      problems.add(path, 'is present in the manifest but not on disk');
    }
  }
  return scan;
}

/** Whether WAL is looked for in the archives. */
function readsWal({ parseWal, walDirectory }: ResolvedVerifyOptions): boolean {
  return parseWal && walDirectory === undefined;
}

async function listArchives(options: ResolvedVerifyOptions, problems: BackupProblems): Promise<Archive[]> {
  const { directory, ignore } = options;
  let names: string[];
  try {
    names = await readdir(directory, { encoding: 'latin1' });
  } catch (error) {
    throw problems.fatal('.', `cannot open directory: ${systemReason(error)}`);
  }
  const archives: Archive[] = [];
  for (const name of names.sort()) {
    if (isIgnored(name, ignore)) continue;
    const path = join(directory, name);
    const archive = archiveOf(name, path);
    if (archive === undefined) problems.add(name, 'is not expected in a tar format backup');
    else if (await isRegular(name, path, problems)) archives.push(archive);
  }
  return archives;
}

/** Whether a backup in tar format has files of this name. */
export function isArchiveName(name: string): boolean {
  return ARCHIVE_NAME.test(name);
}

function archiveOf(name: string, path: string): Archive | undefined {
  const [, what, suffix] = ARCHIVE_NAME.exec(name) ?? [];
  if (what === undefined || suffix === undefined) return undefined;
  const compression =
    suffix === 'tar' ? 'none' : suffix.endsWith('gz') ? 'gzip' : suffix.endsWith('lz4') ? 'lz4' : 'zstd';
  if (what === 'base') return { name, path, compression, prefix: '' };
  if (what === 'pg_wal') return { name, path, compression, prefix: WAL_FOLDER };
  const oid = Number(what);
  return oid === 0 || oid > MAX_OID ? undefined : { name, path, compression, prefix: `pg_tblspc/${oid}/` };
}

async function isRegular(name: string, path: string, problems: BackupProblems): Promise<boolean> {
  try {
    if ((await stat(path)).isFile()) return true;
    problems.add(name, 'is not a regular file');
  } catch (error) {
    problems.add(name, `cannot stat: ${systemReason(error)}`);
  }
  return false;
}

async function scanArchive(scan: Scan, archive: Archive): Promise<void> {
  const { members, problem } = await readIndex(archive, scan.problems);
  if (problem !== undefined) scan.problems.add(archive.name, problem);
  for (const member of members) {
    if (member.kind !== 'file') continue;
    const path = archive.prefix + member.path;
    const stretch = { archivePath: archive.path, offset: member.offset, byteCount: member.size };
    if (path.startsWith(WAL_FOLDER)) scan.segments.set(path.slice(WAL_FOLDER.length), stretch);
    const file = compareMember(scan, archive, path, member.size);
    if (file === undefined) continue;
    scan.found.push({ file, path: Buffer.from(archive.path), offset: member.offset });
    if (path === CONTROL_FILE_PATH) judgeControl(scan, await readStretch(stretch));
  }
}

async function readIndex(
  archive: Archive,
  problems: BackupProblems,
): Promise<{ readonly members: readonly IndexedMember[]; readonly problem: string | undefined }> {
  try {
    return await indexArchive(archive.path);
  } catch (error) {
    problems.add(archive.name, `cannot be read: ${systemReason(error)}`);
    return { members: [], problem: undefined };
  }
}

async function scanCompressed(scan: Scan, archive: Archive, compression: CompressionMethod): Promise<void> {
  const { manifest, options, pool, problems } = scan;
  const algorithms = new Map<string, ManifestFile['algorithm']>();
  if (!options.skipChecksums) {
    for (const { path, algorithm } of manifest.files.values()) {
      if (path.startsWith(archive.prefix)) algorithms.set(path.slice(archive.prefix.length), algorithm);
    }
  }
  const { path } = archive;
  const wal = readsWal(options) ? walIn(archive, manifest) : undefined;
  const task = { kind: 'archive', path, compression, algorithms, wanted: CONTROL_FILE_PATH, wal } as const;
  const reply = await pool.run(task, options.signal);
  if (reply.kind !== 'archive') throw new Error('the reply is to another task');
  if (reply.wal !== undefined) scan.wal.push(reply.wal);
  if (reply.problem !== undefined) problems.add(archive.name, reply.problem);
  for (const member of reply.members) {
    if (member.kind === 'file') judgeMember(scan, archive, member, reply.wantedBytes);
  }
}

/** Where the WAL of the backup would lie in this archive: that of a tablespace has none. */
function walIn({ prefix }: Archive, { walRanges, systemIdentifier }: Manifest): ArchiveToCheck['wal'] {
  if (prefix !== '' && prefix !== WAL_FOLDER) return undefined;
  const folder = prefix === WAL_FOLDER ? '' : WAL_FOLDER;
  return { folder, ranges: walRanges.map((range) => ({ ...range, systemIdentifier })) };
}

function judgeMember(scan: Scan, archive: Archive, member: CheckedMember, control: Uint8Array | undefined): void {
  const path = archive.prefix + member.path;
  const file = compareMember(scan, archive, path, member.size);
  if (file === undefined) return;
  const matches = member.checksum === undefined || member.checksum === file.checksum;
  if (!matches) scan.problems.add(path, 'checksum mismatch');
  if (path === CONTROL_FILE_PATH && control !== undefined) judgeControl(scan, Buffer.from(control));
}

/** The file of the manifest, if the member has its name and its size. */
function compareMember(scan: Scan, archive: Archive, path: string, byteCount: number): ManifestFile | undefined {
  const { manifest, options, problems, seen } = scan;
  if (isIgnored(path, options.ignore)) return undefined;
  const file = manifest.files.get(path);
  if (file === undefined) {
    problems.add(path, `is present in archive ${archive.name} but not in the manifest`);
    return undefined;
  }
  if (seen.has(path)) {
    problems.add(path, `comes a second time in archive ${archive.name}`);
    return undefined;
  }
  seen.add(path);
  if (byteCount === file.size) return file;
  problems.add(path, `has size ${byteCount} in archive ${archive.name} but size ${file.size} in the manifest`);
  return undefined;
}

function judgeControl({ manifest, problems }: Scan, bytes: Buffer): void {
  if (manifest.systemIdentifier === undefined) return;
  const problem = judgeControlFile(bytes, manifest.systemIdentifier);
  if (problem !== undefined) throw problems.fatal(CONTROL_FILE_PATH, problem);
}

async function readStretch({ archivePath, offset, byteCount }: ArchiveStretch): Promise<Buffer> {
  await using file = await open(archivePath, 'r');
  const bytes = Buffer.alloc(Math.min(byteCount, CONTROL_FILE_READ_BYTES));
  const { bytesRead } = await file.read(bytes, 0, bytes.length, offset);
  return bytes.subarray(0, bytesRead);
}
