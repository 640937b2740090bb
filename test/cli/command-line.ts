import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
/** Far beyond what any of the runs takes. */
const PATIENCE_MS = 60_000;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  readonly readStdout?: boolean;
  /** Another program of ours than the command line. */
  readonly program?: string;
  /** Largest file that it may write; POSIX only. */
  readonly largestFileBytes?: number;
  /** File that stdout goes to; POSIX only. */
  readonly stdoutFile?: string;
  /** stdout and stderr are one terminal, which is read as stdout; Linux only. */
  readonly onTerminal?: boolean;
}

/** A run of the built command line, its output piped, without the connection variables of the caller. */
export class Run implements AsyncDisposable {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly ended: Promise<Ended>;
  #stdout = '';
  #stderr = '';
  readonly #lookers = new Set<() => void>();

  constructor(args: readonly string[], env: NodeJS.ProcessEnv = {}, options: RunOptions = {}) {
    const command = [process.execPath, options.program ?? MAIN, ...args];
    const { largestFileBytes: limit, stdoutFile, onTerminal } = options;
    if (onTerminal)
      command.splice(0, command.length, 'script', '-qefc', command.map(shellQuoted).join(' '), '/dev/null');
    if (stdoutFile !== undefined) command.unshift('/bin/sh', '-c', `exec "$0" "$@" > ${stdoutFile}`);
    // The shell counts in blocks of 512 bytes.
    if (limit !== undefined) command.unshift('/bin/sh', '-c', `ulimit -f ${limit / 512} && exec "$0" "$@"`);
    this.child = spawn(command[0] ?? '', command.slice(1), {
      env: { ...environmentWithoutServers(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#look();
    });
    if (options.readStdout ?? true) this.readStdout();
    const timer = setTimeout(() => this.child.kill('SIGKILL'), PATIENCE_MS);
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code, signal) => {
        clearTimeout(timer);
        this.#look();
        resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  readStdout(): void {
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.#look();
    });
  }

  /** Resolves when stdout or stderr show this; rejects when the run ends without. */
  async shows(pattern: RegExp): Promise<void> {
    let over = false;
    const ended = this.ended.then(() => {
      over = true;
      this.#look();
    });
    while (!pattern.test(this.#stdout) && !pattern.test(this.#stderr)) {
      if (over) throw new Error(`the run ended without ${pattern}: ${this.#stdout}${this.#stderr}`);
      await new Promise<void>((resolve) => this.#lookers.add(resolve));
    }
    ended.catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.stdout.destroy();
    this.child.kill('SIGKILL');
    await this.ended;
  }

  #look(): void {
    for (const looker of this.#lookers) looker();
    this.#lookers.clear();
  }
}

function shellQuoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** Runs it to its end. */
export function runToEnd(args: readonly string[], env?: NodeJS.ProcessEnv, options?: RunOptions): Promise<Ended> {
  return new Run(args, env, options).ended;
}

/** The same where no file may become larger than this. */
export function runWithLargestFile(bytes: number, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Ended> {
  return runToEnd(args, env, { largestFileBytes: bytes });
}

function environmentWithoutServers(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env);
  return Object.fromEntries(
    entries.filter(
      ([name]) => !/^(PG|DATABASE_URL$|NO_COLOR$|FORCE_COLOR$|NODE_OPTIONS$|NODE_TEST_CONTEXT$)/.test(name),
    ),
  );
}

/** Ids of processes whose command or environment holds the text; Linux only, elsewhere none are found. */
export async function processesNaming(text: string): Promise<number[]> {
  if (process.platform !== 'linux') return [];
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    for (const file of ['cmdline', 'environ']) {
      const content = await readFile(`/proc/${name}/${file}`, 'utf8').catch(() => '');
      if (content.includes(text) && !found.includes(Number(name))) found.push(Number(name));
    }
  }
  return found;
}
