import { readdir, readFile, stat } from 'node:fs/promises';
import type { BackupProblems } from './backup-problems.js';
import { CONTROL_FILE_PATH, judgeControlFile } from './control-file.js';
import type { FoundFile } from './file-checks.js';
import type { Manifest } from './manifest.js';
import { systemReason } from './system-reason.js';
import { isIgnored, type ResolvedVerifyOptions } from './verify-options.js';

const SLASH = Buffer.from('/');

/** What the files on disk are compared with. */
interface Scan {
  readonly manifest: Manifest;
  readonly problems: BackupProblems;
  readonly signal: AbortSignal | undefined;
  /** Grows: what cannot be read is reported once. */
  readonly ignore: string[];
  readonly found: FoundFile[];
  /** Every path of the manifest that is there, with the right size or not. */
  readonly seen: Set<string>;
}

/**
 * Compares the names and sizes of a plain backup's files with the manifest. Gives those whose checksum is still to be
 * checked. Links are followed, as tablespaces are links.
 */
export async function scanPlainBackup(
  { directory, ignore, signal }: Pick<ResolvedVerifyOptions, 'directory' | 'ignore' | 'signal'>,
  manifest: Manifest,
  problems: BackupProblems,
): Promise<readonly FoundFile[]> {
  const scan: Scan = { manifest, problems, signal, ignore: [...ignore], found: [], seen: new Set() };
  await scanFolder(scan, '', Buffer.from(directory));
  for (const path of manifest.files.keys()) {
    if (!scan.seen.has(path) && !isIgnored(path, scan.ignore)) {
      problems.add(path, 'is present in the manifest but not on disk');
    }
  }
  return scan.found;
}

async function scanFolder(scan: Scan, relative: string, folder: Buffer): Promise<void> {
  scan.signal?.throwIfAborted();
  let names: Buffer[];
  try {
    names = await readdir(folder, { encoding: 'buffer' });
  } catch (error) {
    const problem = `cannot open directory: ${systemReason(error)}`;
    if (relative === '') throw scan.problems.fatal('.', problem);
    scan.ignore.push(relative);
    scan.problems.add(relative, problem);
    return;
  }
  for (const name of names.sort(Buffer.compare)) {
    const path = `${relative === '' ? '' : `${relative}/`}${name.toString('latin1')}`;
    if (!isIgnored(path, scan.ignore)) await scanFile(scan, path, Buffer.concat([folder, SLASH, name]));
  }
}

async function scanFile(scan: Scan, path: string, fullPath: Buffer): Promise<void> {
  const { manifest, problems } = scan;
  let status: Awaited<ReturnType<typeof stat>>;
  try {
    status = await stat(fullPath);
  } catch (error) {
    scan.ignore.push(path);
    problems.add(path, `cannot stat: ${systemReason(error)}`);
    return;
  }
  if (status.isDirectory()) return scanFolder(scan, path, fullPath);
  if (!status.isFile()) return problems.add(path, 'is not a regular file or directory');
  const file = manifest.files.get(path);
  if (file === undefined) return problems.add(path, 'is present on disk but not in the manifest');
  scan.seen.add(path);
  if (status.size !== file.size) {
    problems.add(path, `has size ${status.size} on disk but size ${file.size} in the manifest`);
  } else {
    scan.found.push({ file, path: fullPath, offset: 0 });
  }
  if (manifest.systemIdentifier !== undefined && path === CONTROL_FILE_PATH) {
    await checkControlFile(fullPath, manifest.systemIdentifier, problems);
  }
}

async function checkControlFile(path: Buffer, systemIdentifier: bigint, problems: BackupProblems): Promise<void> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw problems.fatal(CONTROL_FILE_PATH, `cannot be read: ${systemReason(error)}`);
  }
  const problem = judgeControlFile(bytes, systemIdentifier);
  if (problem !== undefined) throw problems.fatal(CONTROL_FILE_PATH, problem);
}
