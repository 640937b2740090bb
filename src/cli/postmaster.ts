import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseCluster } from './database-cluster.js';
import { childrenOf, isAlive } from './process-tree.js';

/** As `pg_ctl stop -m`; `immediate` leaves a cluster that has to recover. */
export type StopMode = 'smart' | 'fast' | 'immediate';

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 60_000;
const VANISH_TIMEOUT_MS = 10_000;
const POLL_INTERVAL_MS = 10;

const running = new Set<ChildProcess>();

/** Files are the guard's business; this is for platforms that have none. */
function stopLeftServers(): void {
  for (const child of running) child.kill('SIGQUIT');
}

/**
 * The server process of a cluster, in a session of its own: Ctrl+C does not reach it. It is starting when it has been
 * made; {@link ready} waits.
 */
export class Postmaster {
  readonly #cluster: DatabaseCluster;
  readonly #process: ChildProcess;
  readonly #exited: Promise<void>;
  #spawnError: Error | undefined;

  /** `onExit` is called when it has ended, before anybody who waits for that goes on. */
  constructor(cluster: DatabaseCluster, port: number, onExit: () => void) {
    this.#cluster = cluster;
    const log = openSync(cluster.logPath, 'a');
    const child = spawn(cluster.programPath('postgres'), ['-D', cluster.dataDirectory, '-p', String(port)], {
      ...cluster.spawnOptions,
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#process = child;
    this.#exited = new Promise<void>((resolve) => {
      child.once('error', (error) => {
        this.#spawnError = error;
        resolve();
      });
      child.once('exit', () => resolve());
    }).then(() => {
      running.delete(child);
      onExit();
    });
    if (child.pid === undefined) return;
    if (running.size === 0) {
      process.off('exit', stopLeftServers);
      process.on('exit', stopLeftServers);
    }
    running.add(child);
    child.unref();
  }

  /** `undefined` when it could not be executed. */
  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Resolves when it takes connections. */
  async ready(): Promise<void> {
    const { pid } = this.#process;
    if (pid === undefined) {
      await this.#exited;
      throw await this.#cluster.failure('cannot be executed', this.#spawnError);
    }
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await this.#isReady(pid))) {
      if (this.#process.exitCode !== null || this.#process.signalCode !== null) {
        await this.#exited;
        throw await this.#cluster.failure('did not start');
      }
      if (Date.now() > deadline) {
        throw await this.#cluster.failure(`did not start within ${START_TIMEOUT_MS / 1000} s`);
      }
      await sleep(POLL_INTERVAL_MS);
    }
  }

  /** `smart` waits for the clients, `fast` for walsenders whose clients have not confirmed everything. */
  async stop(mode: StopMode): Promise<void> {
    await this.#requestStop(mode);
    if (!(await endsWithin(this.#exited, STOP_TIMEOUT_MS))) {
      throw await this.#cluster.failure(`did not stop within ${STOP_TIMEOUT_MS / 1000} s (mode ${mode})`);
    }
  }

  /** Ends it at once, by whatever works. */
  async end(): Promise<void> {
    await this.#requestStop('immediate').catch(() => {});
    if (!(await endsWithin(this.#exited, VANISH_TIMEOUT_MS))) await this.kill();
  }

  /** SIGKILL to it and all its children. */
  async kill(): Promise<void> {
    const { pid } = this.#process;
    // The number of one that has ended may be another's by now.
    if (pid === undefined || !running.has(this.#process)) return;
    const children = await childrenOf(pid);
    for (const one of [pid, ...children]) sendKill(one);
    await endsWithin(this.#exited, VANISH_TIMEOUT_MS);
    const deadline = Date.now() + VANISH_TIMEOUT_MS;
    for (const child of children) {
      while ((await isAlive(child)) && Date.now() < deadline) await sleep(POLL_INTERVAL_MS);
    }
  }

  /** Windows has no signals to tell the modes apart; pg_ctl is the way that works everywhere. */
  #requestStop(mode: StopMode): Promise<void> {
    return this.#cluster.run('pg_ctl', ['stop', '-W', '-D', this.#cluster.dataDirectory, '-m', mode]);
  }

  /**
   * What `pg_ctl -w` looks at: the status in the eighth line of postmaster.pid. It needs no connection, so it works
   * whatever pg_hba.conf says.
   */
  async #isReady(pid: number): Promise<boolean> {
    const lines = await this.#cluster.readPidFile();
    return lines[0]?.trim() === String(pid) && /^(ready|standby)/.test(lines[7] ?? '');
  }
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
