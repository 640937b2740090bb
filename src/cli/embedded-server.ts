import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { appendFile, chmod, chown, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ConfigurationError, ConnectionError } from '../errors.js';
import {
  executable,
  findPostgresBinaries,
  isReachableByAll,
  type PostgresBinaries,
  type PostgresMajor,
} from './postgres-binaries.js';
import { childrenOf, isAlive } from './process-tree.js';
import { startGuard } from './server-guard.js';

export interface EmbeddedServerOptions {
  readonly major?: PostgresMajor;
  /** Lines of postgresql.conf; they win over the defaults below. */
  readonly settings?: Readonly<Record<string, string>>;
  /**
   * Lines of pg_hba.conf. By default everybody is trusted on the socket, whose folder is ours alone, and on loopback;
   * with a `password`, loopback asks for it.
   */
  readonly hba?: readonly string[];
  /** Of the superuser `postgres`. */
  readonly password?: string;
  /** Further files of the data directory by name, such as `server.key`; all get mode 0600. */
  readonly files?: Readonly<Record<string, string>>;
  /** Where the server's own folder is made; the system's temporary folder by default. */
  readonly directory?: string;
}

export type StopMode = 'smart' | 'fast' | 'immediate';

const HOST = '127.0.0.1';
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 60_000;
const VANISH_TIMEOUT_MS = 10_000;
const POLL_INTERVAL_MS = 10;
const PORT_ATTEMPTS = 10;
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

interface RunningServer {
  readonly pid: number;
  readonly process: ChildProcess;
  readonly exited: Promise<void>;
}

const runningServers = new Set<ChildProcess>();

/** Files are the guard's business; this is for platforms that have none. */
function stopLeftServers(): void {
  for (const child of runningServers) child.kill('SIGQUIT');
}

/**
 * A PostgreSQL server of our own, from the binaries of npm packages, in a folder of its own that goes away with it.
 * It works for root too: the server then runs as `postgres` or `nobody`, from a copy that such a user can reach.
 *
 * The server is in a session of its own, so Ctrl+C reaches only our process, which disposes of the server when it is
 * ready. If our process ends without that, even by SIGKILL, a waiting shell stops the server and removes its
 * folder (not on Windows: there only a normal exit stops it).
 *
 * @throws {ConfigurationError} when the binaries, or a user to run them, are missing
 * @throws {ConnectionError} when the server does not start or stop; the tail of its log is the cause
 */
export class EmbeddedServer implements AsyncDisposable {
  readonly major: PostgresMajor;
  readonly host = HOST;
  readonly socketDirectory: string;
  readonly dataDirectory: string;
  readonly binDirectory: string;
  readonly #binaries: PostgresBinaries;
  readonly #directory: string;
  readonly #password: string | undefined;
  readonly #guard: ChildProcess | undefined;
  #port = 0;
  #running: RunningServer | undefined;

  private constructor(binaries: PostgresBinaries, directory: string, password: string | undefined) {
    this.#binaries = binaries;
    this.#directory = directory;
    this.#password = password;
    this.#guard = startGuard(directory, spawnOptions(directory, binaries));
    this.major = binaries.major;
    this.binDirectory = binaries.binDirectory;
    this.socketDirectory = directory;
    this.dataDirectory = join(directory, 'data');
  }

  static async start(options: EmbeddedServerOptions = {}): Promise<EmbeddedServer> {
    const binaries = await findPostgresBinaries(options.major ?? 18);
    const directory = await makeServerDirectory(binaries, options.directory);
    const server = new EmbeddedServer(binaries, directory, options.password);
    try {
      await server.#initialise(options);
      await server.#launchOnFreePort();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  get port(): number {
    return this.#port;
  }

  /** Process id of the postmaster while it runs. */
  get pid(): number | undefined {
    return this.#running?.pid;
  }

  connectionString(database = 'postgres'): string {
    const password = this.#password === undefined ? '' : `:${encodeURIComponent(this.#password)}`;
    return `postgresql://postgres${password}@${HOST}:${this.#port}/${encodeURIComponent(database)}`;
  }

  /** The tail of the server's log. */
  async log(): Promise<string> {
    const file = await open(this.#logPath, 'r');
    try {
      const { size } = await file.stat();
      const tail = Buffer.alloc(Math.min(size, LOG_TAIL_BYTES));
      await file.read(tail, 0, tail.length, size - tail.length);
      return tail.toString();
    } finally {
      await file.close();
    }
  }

  /** `smart` waits for the clients, `fast` for walsenders whose clients have not confirmed everything. */
  async stop(mode: StopMode = 'fast'): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    // Windows has no signals to tell the modes apart; pg_ctl is the way that works everywhere.
    await this.#run('pg_ctl', ['stop', '-W', '-D', this.dataDirectory, '-m', mode]);
    if (!(await endsWithin(running.exited, STOP_TIMEOUT_MS))) {
      throw await this.#failure(`did not stop within ${STOP_TIMEOUT_MS / 1000} s (mode ${mode})`);
    }
  }

  /** Stops the server, if it runs, and starts it again on the same port. */
  async restart(mode: StopMode = 'fast'): Promise<void> {
    await this.stop(mode);
    await this.#launch();
  }

  /** SIGKILL to the postmaster and all its children: what a crash of the machine looks like to a client. */
  async kill(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    const children = await childrenOf(running.pid);
    for (const pid of [running.pid, ...children]) sendKill(pid);
    await endsWithin(running.exited, VANISH_TIMEOUT_MS);
    const deadline = Date.now() + VANISH_TIMEOUT_MS;
    for (const pid of children) {
      while ((await isAlive(pid)) && Date.now() < deadline) await sleep(POLL_INTERVAL_MS);
    }
  }

  /** Stops the server at once and removes its files. */
  async [Symbol.asyncDispose](): Promise<void> {
    const running = this.#running;
    if (running !== undefined) {
      await this.#run('pg_ctl', ['stop', '-W', '-D', this.dataDirectory, '-m', 'immediate']).catch(() => {});
      if (!(await endsWithin(running.exited, VANISH_TIMEOUT_MS))) await this.kill();
    }
    await this.#removeLeftSharedMemory();
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 5 });
    const guard = this.#guard;
    if (guard?.pid !== undefined && guard.exitCode === null) {
      const ended = new Promise((resolve) => guard.once('exit', resolve));
      guard.ref();
      guard.stdin?.end();
      await ended;
    }
  }

  get #logPath(): string {
    return join(this.#directory, 'server.log');
  }

  get #spawnOptions() {
    return spawnOptions(this.#directory, this.#binaries);
  }

  async #run(program: string, args: readonly string[]): Promise<void> {
    await execute(join(this.binDirectory, executable(program)), args, this.#spawnOptions);
  }

  async #initialise(options: EmbeddedServerOptions): Promise<void> {
    await this.#writeOwn(this.#logPath, '');
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
    const passwordFile = join(this.#directory, 'password');
    if (options.password !== undefined) {
      await this.#writeOwn(passwordFile, `${options.password}\n`);
      args.push(`--pwfile=${passwordFile}`);
    }
    try {
      await this.#run('initdb', args);
    } catch (cause) {
      throw initdbFailure(this.major, cause);
    }
    await rm(passwordFile, { force: true });
    await appendFile(join(this.dataDirectory, 'postgresql.conf'), this.#configuration(options.settings ?? {}));
    const hba = options.hba ?? defaultHba(options.password === undefined ? 'trust' : 'scram-sha-256');
    await writeFile(join(this.dataDirectory, 'pg_hba.conf'), `${hba.join('\n')}\n`);
    for (const [name, content] of Object.entries(options.files ?? {})) {
      await this.#writeOwn(join(this.dataDirectory, name), content);
    }
  }

  #configuration(settings: Readonly<Record<string, string>>): string {
    const all = {
      ...DEFAULT_SETTINGS,
      listen_addresses: HOST,
      unix_socket_directories: process.platform === 'win32' ? '' : this.socketDirectory,
      ...settings,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`);
    return `\n${lines.join('')}`;
  }

  /** Writes a file that only the server's user can read. */
  async #writeOwn(path: string, content: string): Promise<void> {
    await writeFile(path, content, { mode: 0o600 });
    await chmod(path, 0o600);
    const { identity } = this.#binaries;
    if (identity !== undefined) await chown(path, identity.uid, identity.gid);
  }

  /** Somebody else can take a free port between our asking and the server's listening. */
  async #launchOnFreePort(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      this.#port = await findFreePort();
      try {
        await this.#launch();
        return;
      } catch (error) {
        const isPortTaken = (await this.log()).includes('Address already in use');
        if (!isPortTaken || attempt === PORT_ATTEMPTS) throw error;
        await this.#writeOwn(this.#logPath, '');
      }
    }
  }

  async #launch(): Promise<void> {
    const log = openSync(this.#logPath, 'a');
    const child = spawn(
      join(this.binDirectory, executable('postgres')),
      ['-D', this.dataDirectory, '-p', String(this.#port)],
      { ...this.#spawnOptions, detached: true, stdio: ['ignore', log, log] },
    );
    closeSync(log);
    let spawnError: Error | undefined;
    const exited = new Promise<void>((resolve) => {
      child.once('error', (error) => {
        spawnError = error;
        resolve();
      });
      child.once('exit', () => resolve());
    }).then(() => {
      runningServers.delete(child);
      this.#running = undefined;
      this.#tellGuard('');
    });
    if (child.pid === undefined) {
      await exited;
      throw await this.#failure('cannot be executed', spawnError);
    }
    if (runningServers.size === 0) {
      process.off('exit', stopLeftServers);
      process.on('exit', stopLeftServers);
    }
    runningServers.add(child);
    this.#running = { pid: child.pid, process: child, exited };
    this.#tellGuard(String(child.pid));
    child.unref();

    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await this.#isReady(child.pid))) {
      if (child.exitCode !== null || child.signalCode !== null) {
        await exited;
        throw await this.#failure('did not start');
      }
      if (Date.now() > deadline) throw await this.#failure(`did not start within ${START_TIMEOUT_MS / 1000} s`);
      await sleep(POLL_INTERVAL_MS);
    }
  }

  /**
   * What `pg_ctl -w` looks at: the status in the eighth line of postmaster.pid. It needs no connection, so it works
   * whatever pg_hba.conf says.
   */
  async #isReady(pid: number): Promise<boolean> {
    const lines = await this.#readPidFile();
    return lines[0]?.trim() === String(pid) && /^(ready|standby)/.test(lines[7] ?? '');
  }

  async #readPidFile(): Promise<string[]> {
    try {
      return (await readFile(join(this.dataDirectory, 'postmaster.pid'), 'utf8')).split('\n');
    } catch {
      return [];
    }
  }

  /** A postmaster that was killed leaves its interlock, a few bytes of System V shared memory. */
  async #removeLeftSharedMemory(): Promise<void> {
    const id = /^\s*\d+\s+(\d+)\s*$/.exec((await this.#readPidFile())[6] ?? '')?.[1];
    if (id !== undefined) await execute('ipcrm', ['-m', id], this.#spawnOptions).catch(() => {});
  }

  #tellGuard(line: string): void {
    const stdin = this.#guard?.stdin;
    if (stdin?.writable) stdin.write(`${line}\n`);
  }

  async #failure(what: string, cause?: unknown): Promise<ConnectionError> {
    const log = await this.log().catch(() => '');
    const reason = /(?:FATAL|PANIC): {2}(.*)$/m.exec(log)?.[1];
    return new ConnectionError(
      `the embedded PostgreSQL ${this.major} ${what}${reason === undefined ? '' : `: ${reason}`}`,
      {
        host: HOST,
        phase: 'startup',
        retryable: false,
        cause: cause ?? new Error(`end of the server's log:\n${log}`),
      },
    );
  }
}

function defaultHba(loopbackMethod: string): readonly string[] {
  const loopback = [`${HOST}/32`, '::1/128'].flatMap((address) => [
    `host all all ${address} ${loopbackMethod}`,
    `host replication all ${address} ${loopbackMethod}`,
  ]);
  if (process.platform === 'win32') return loopback;
  return ['local all all trust', 'local replication all trust', ...loopback];
}

async function makeServerDirectory(binaries: PostgresBinaries, parent: string | undefined): Promise<string> {
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

/** Node drops the supplementary groups when it sets uid and gid. The environment, secrets included, stays ours. */
function spawnOptions(directory: string, { identity }: PostgresBinaries) {
  const environment: NodeJS.ProcessEnv = { LC_ALL: 'C', TZ: 'UTC', HOME: directory };
  for (const name of ['PATH', 'SystemRoot', 'TEMP', 'TMP', 'LD_LIBRARY_PATH']) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  return { cwd: directory, env: environment, windowsHide: true, ...identity };
}

function initdbFailure(major: PostgresMajor, cause: unknown): ConnectionError {
  const output = (cause as { stderr?: string }).stderr ?? '';
  const reason = /(?:error|fatal): (.*)$/im.exec(output)?.[1] ?? (cause as Error).message.split('\n')[0];
  return new ConnectionError(`the embedded PostgreSQL ${major} cannot be initialised: ${reason}`, {
    host: HOST,
    phase: 'startup',
    retryable: false,
    cause,
  });
}

function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, HOST, () => {
      const address = probe.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}

async function endsWithin(ended: Promise<void>, timeoutMs: number): Promise<boolean> {
  const timeout = new AbortController();
  try {
    return await Promise.race([
      ended.then(() => true),
      sleep(timeoutMs, false, { signal: timeout.signal }).catch(() => false),
    ]);
  } finally {
    timeout.abort();
  }
}

function sendKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}
