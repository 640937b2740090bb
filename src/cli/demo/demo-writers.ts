import { type ChildProcess, fork } from 'node:child_process';
import type { WriterCommand, WriterReport, WriterServer } from './writer-messages.js';

const WRITER_PROCESS = new URL('./writer-process.js', import.meta.url);

/** The process of the demo's writers. */
export class DemoWriters implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #failed: Promise<never>;
  readonly #ready: Promise<void>;
  readonly #done: Promise<readonly number[]>;
  #finished = false;

  constructor() {
    // The server's password goes by message: others can see arguments.
    this.#child = fork(WRITER_PROCESS, { env: environmentWithoutPg(), stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    const reported = <K extends WriterReport['kind']>(kind: K) =>
      new Promise<Extract<WriterReport, { kind: K }>>((resolve) => {
        this.#child.on('message', (report: WriterReport) => {
          if (report.kind === kind) resolve(report as Extract<WriterReport, { kind: K }>);
        });
      });
    this.#exited = new Promise((resolve) => this.#child.once('exit', () => resolve()));
    this.#ready = reported('ready').then(() => {});
    this.#done = reported('done').then(({ lastSequences }) => {
      this.#finished = true;
      return lastSequences;
    });
    this.#failed = Promise.race([
      reported('failed').then(({ message }) => {
        throw new Error(`the demo's writers failed: ${message}`);
      }),
      this.#exited.then(() => {
        if (!this.#finished) throw new Error(`the demo's writers ended with exit code ${this.#child.exitCode}`);
        return new Promise<never>(() => {});
      }),
    ]);
    this.#failed.catch(() => {});
    this.#child.on('error', () => {});
  }

  /** Rejects when the writers cannot go on. */
  get failed(): Promise<never> {
    return this.#failed;
  }

  /** Creates the tables and the publication. */
  async setUp(server: WriterServer, writers: number, publication: string): Promise<void> {
    this.#send({ kind: 'set-up', server, writers, publication });
    await Promise.race([this.#ready, this.#failed]);
  }

  write(changesPerSecond: number, slot: string): void {
    this.#send({ kind: 'write', changesPerSecond, slot });
  }

  /** Has them end in good order; how many rows each has numbered. */
  stop(): Promise<readonly number[]> {
    this.#send({ kind: 'stop' });
    return Promise.race([this.#done, this.#failed]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#finished = true;
    if (this.#child.connected) this.#child.disconnect();
    if (this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null) {
      await this.#exited;
    }
  }

  #send(command: WriterCommand): void {
    if (this.#child.connected) this.#child.send(command, () => {});
  }
}

/** The user's PG* variables are about another server. */
function environmentWithoutPg(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PG')));
}
