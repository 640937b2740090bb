import { execFile } from 'node:child_process';
import { appendFile, chmod, chown, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { ConfigurationError, ConnectionError } from '../errors.js';
import { executable, isReachableByAll, type PostgresBinaries, type PostgresMajor } from './postgres-binaries.js';

export interface ClusterOptions {
  /** Lines of postgresql.conf; they win over the defaults below. */
  readonly settings?: Readonly<Record<string, string>>;
  /**
   * Lines of pg_hba.conf. By default everybody is trusted on the socket, whose folder is ours alone, and on loopback;
   * with a `password`, loopback asks for it.
   */
  readonly hba?: readonly string[];
  /** Of the superuser `postgres`. */
  readonly password?: string;
  /** Checksums of data pages, which initdb makes by default from 18 on. */
  readonly dataChecksums?: boolean;
  /** Further files of the data directory by name, such as `server.key`; all get mode 0600. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Where our servers listen. */
export const SERVER_HOST = '127.0.0.1';
const LOG_TAIL_BYTES = 16_384;
/** The shortest limit of sockaddr_un.sun_path among the platforms, without its final zero. */
const SOCKET_PATH_LIMIT_BYTES = 103;

/** Made for tests, demos and benches: everything logical replication needs, and no waiting for disks. */
const DEFAULT_SETTINGS: Readonly<Record<string, string>> = {
  wal_level: 'logical',
  max_wal_senders: '32',
  max_replication_slots: '32',
  max_prepared_transactions: '32',
  fsync: 'off',
  full_page_writes: 'off',
  log_line_prefix: '%m [%p] %q%u@%d ',
  // Segments in the data directory go away with it, also after SIGKILL; those of /dev/shm would stay.
  ...(process.platform === 'win32' ? {} : { dynamic_shared_memory_type: 'mmap' }),
};

const execute = promisify(execFile);

/** A database cluster in a folder of its own, with the socket and the log of its server beside the data directory. */
export class DatabaseCluster {
  readonly binaries: PostgresBinaries;
  readonly directory: string;
  readonly dataDirectory: string;
  readonly logPath: string;

  private constructor(binaries: PostgresBinaries, directory: string) {
    this.binaries = binaries;
    this.directory = directory;
    this.dataDirectory = join(directory, 'data');
    this.logPath = join(directory, 'server.log');
  }

  /** Makes the folder, in `parent` or where short-lived files go; {@link initialise} fills it. */
  static async make(binaries: PostgresBinaries, parent: string | undefined): Promise<DatabaseCluster> {
    return new DatabaseCluster(binaries, await makeDirectory(binaries, parent));
  }

  /** Node drops the supplementary groups when it sets uid and gid. The environment, secrets included, stays ours. */
  get spawnOptions() {
    const environment: NodeJS.ProcessEnv = { LC_ALL: 'C', TZ: 'UTC', HOME: this.directory };
    for (const name of ['PATH', 'SystemRoot', 'TEMP', 'TMP', 'LD_LIBRARY_PATH']) {
      const value = process.env[name];
      if (value !== undefined) environment[name] = value;
    }
    return { cwd: this.directory, env: environment, windowsHide: true, ...this.binaries.identity };
  }

  programPath(name: string): string {
    return join(this.binaries.binDirectory, executable(name));
  }

  /** Runs one of PostgreSQL's programs to its end. */
  async run(program: string, args: readonly string[]): Promise<void> {
    await execute(this.programPath(program), args, this.spawnOptions);
  }

  async initialise(options: ClusterOptions): Promise<void> {
    await this.clearLog();
    const args = [
      '-D',
      this.dataDirectory,
      '--no-sync',
      '--encoding=UTF8',
      '--locale=C',
      '--auth=trust',
      '-U',
      'postgres',
    ];
    if (options.dataChecksums) args.push('--data-checksums');
    const passwordFile = join(this.directory, 'password');
    if (options.password !== undefined) {
      await this.#writeOwn(passwordFile, `${options.password}\n`);
      args.push(`--pwfile=${passwordFile}`);
    }
    try {
      await this.run('initdb', args);
    } catch (cause) {
      throw initdbFailure(this.binaries.major, cause);
    }
    await rm(passwordFile, { force: true });
    await appendFile(join(this.dataDirectory, 'postgresql.conf'), this.#configuration(options.settings ?? {}));
    const hba = options.hba ?? defaultHba(options.password === undefined ? 'trust' : 'scram-sha-256');
    await writeFile(join(this.dataDirectory, 'pg_hba.conf'), `${hba.join('\n')}\n`);
    for (const [name, content] of Object.entries(options.files ?? {})) {
      await this.#writeOwn(join(this.dataDirectory, name), content);
    }
  }

  /** The tail of the server's log. */
  async log(): Promise<string> {
    const file = await open(this.logPath, 'r');
    try {
      const { size } = await file.stat();
      const tail = Buffer.alloc(Math.min(size, LOG_TAIL_BYTES));
      await file.read(tail, 0, tail.length, size - tail.length);
      return tail.toString();
    } finally {
      await file.close();
    }
  }

  clearLog(): Promise<void> {
    return this.#writeOwn(this.logPath, '');
  }

  /** The lines of postmaster.pid; none while no server runs. */
  async readPidFile(): Promise<string[]> {
    try {
      return (await readFile(join(this.dataDirectory, 'postmaster.pid'), 'utf8')).split('\n');
    } catch {
      return [];
    }
  }

  /** What its server did not do, with the reason that the log gives. */
  async failure(what: string, cause?: unknown): Promise<ConnectionError> {
    const log = await this.log().catch(() => '');
    const reason = /(?:FATAL|PANIC): {2}(.*)$/m.exec(log)?.[1];
    return new ConnectionError(
      `the embedded PostgreSQL ${this.binaries.major} ${what}${reason === undefined ? '' : `: ${reason}`}`,
      {
        host: SERVER_HOST,
        phase: 'startup',
        retryable: false,
        cause: cause ?? new Error(`end of the server's log:\n${log}`),
      },
    );
  }

  /** Removes everything; its server must have ended. */
  async remove(): Promise<void> {
    await this.#removeLeftSharedMemory();
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }

  #configuration(settings: Readonly<Record<string, string>>): string {
    const all = {
      ...DEFAULT_SETTINGS,
      listen_addresses: SERVER_HOST,
      unix_socket_directories: process.platform === 'win32' ? '' : this.directory,
      ...settings,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`);
    return `\n${lines.join('')}`;
  }

  /** Writes a file that only the server's user can read. */
  async #writeOwn(path: string, content: string): Promise<void> {
    await writeFile(path, content, { mode: 0o600 });
    await chmod(path, 0o600);
    const { identity } = this.binaries;
    if (identity !== undefined) await chown(path, identity.uid, identity.gid);
  }

  /** A postmaster that was killed leaves its interlock, a few bytes of System V shared memory. */
  async #removeLeftSharedMemory(): Promise<void> {
    const id = /^\s*\d+\s+(\d+)\s*$/.exec((await this.readPidFile())[6] ?? '')?.[1];
    if (id !== undefined) await execute('ipcrm', ['-m', id], this.spawnOptions).catch(() => {});
  }
}

async function makeDirectory(binaries: PostgresBinaries, parent: string | undefined): Promise<string> {
  const { identity, temporaryDirectory } = binaries;
  const base = parent === undefined ? temporaryDirectory : resolve(parent);
  if (parent !== undefined && identity !== undefined && !(await isReachableByAll(base))) {
    throw new ConfigurationError(`${base} cannot be reached by the user that PostgreSQL runs as`, {
      option: 'directory',
    });
  }
  const directory = await mkdtemp(join(base, 'pgw-'));
  const socketPath = join(directory, '.s.PGSQL.65535');
  if (process.platform !== 'win32' && Buffer.byteLength(socketPath) > SOCKET_PATH_LIMIT_BYTES) {
    await rm(directory, { recursive: true });
    throw new ConfigurationError(
      `${base} is too long a path for a Unix socket: ${parent === undefined ? 'set TMPDIR to' : 'give'} a shorter one`,
      { option: parent === undefined ? 'TMPDIR' : 'directory' },
    );
  }
  if (identity !== undefined) await chown(directory, identity.uid, identity.gid);
  return directory;
}

function defaultHba(loopbackMethod: string): readonly string[] {
  const loopback = [`${SERVER_HOST}/32`, '::1/128'].flatMap((address) => [
    `host all all ${address} ${loopbackMethod}`,
    `host replication all ${address} ${loopbackMethod}`,
  ]);
  if (process.platform === 'win32') return loopback;
  return ['local all all trust', 'local replication all trust', ...loopback];
}

function initdbFailure(major: PostgresMajor, cause: unknown): ConnectionError {
  const output = (cause as { stderr?: string }).stderr ?? '';
  const reason = /(?:error|fatal): (.*)$/im.exec(output)?.[1] ?? (cause as Error).message.split('\n')[0];
  return new ConnectionError(`the embedded PostgreSQL ${major} cannot be initialised: ${reason}`, {
    host: SERVER_HOST,
    phase: 'startup',
    retryable: false,
    cause,
  });
}
