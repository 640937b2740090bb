import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';

const MEMORY_POLL_MS = 20;
const CLIENT_TIMEOUT_MS = 600_000;

/**
 * Runs a program and says on descriptor 3 which process it is and, after its end, what it took. The shell's `times`
 * is user and system time of its children, all their threads included, and needs nothing installed.
 */
const MEASURING_SHELL = `"$@" 3>&- & echo "pid $!" >&3; wait $!; status=$?; times >&3; exit $status`;

/** What a client's process took, from its start to its end, measured from outside. */
export interface ProcessUsage {
  /** User and system time of all threads. */
  readonly cpuMs: number;
  /** Largest resident set; `undefined` where there is no /proc. */
  readonly peakRssBytes: number | undefined;
  readonly endedAt: number;
  readonly output: string;
}

export interface ClientCommand {
  readonly program: string;
  readonly args: readonly string[];
  /** Called for each line on stderr, when it arrives. */
  readonly onStderrLine?: (line: string) => void;
}

/** Runs a client in a process of its own until it ends. */
export async function runClient({ program, args, onStderrLine }: ClientCommand): Promise<ProcessUsage> {
  const shell = spawn('sh', ['-c', MEASURING_SHELL, 'sh', program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const { stdout, stderr } = shell;
  const measures = shell.stdio[3];
  if (stdout === null || stderr === null || !(measures instanceof Readable)) throw new Error('the shell has no pipes');
  const watch = new MemoryWatch();
  const childTimes: string[] = [];
  let pid: number | undefined;
  createInterface({ input: measures }).on('line', (line) => {
    if (line.startsWith('pid ')) {
      pid = Number(line.slice('pid '.length));
      watch.start(pid);
    } else childTimes.push(line);
  });
  let output = '';
  stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const complaints: string[] = [];
  createInterface({ input: stderr }).on('line', (line) => {
    complaints.push(line);
    onStderrLine?.(line);
  });
  let endedAt = 0;
  shell.once('exit', () => {
    endedAt = performance.now();
  });
  const timeout = setTimeout(() => {
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
  }, CLIENT_TIMEOUT_MS);
  try {
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      shell.once('error', reject);
      shell.once('close', resolve);
    });
    if (exitCode !== 0) throw new Error(`${program} ended with ${exitCode}:\n${complaints.slice(-20).join('\n')}`);
    return { cpuMs: cpuMsFrom(childTimes[1] ?? ''), peakRssBytes: watch.peakRssBytes, endedAt, output };
  } finally {
    clearTimeout(timeout);
    watch.stop();
  }
}

/** The second line of `times`, user and system time of the children: `0m1.230s 0m0.450s`. */
function cpuMsFrom(line: string): number {
  let totalMs = 0;
  for (const [, minutes, seconds] of line.matchAll(/(\d+)m([\d.,]+)s/g)) {
    totalMs += Number(minutes) * 60_000 + Number(seconds?.replace(',', '.')) * 1000;
  }
  return totalMs;
}

/** Polls the kernel's own high-water mark, so nothing between two polls is missed but the last milliseconds. */
class MemoryWatch {
  peakRssBytes: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  start(pid: number): void {
    this.#timer = setInterval(async () => {
      const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
      const kibibytes = /^VmHWM:\s*(\d+) kB/m.exec(status)?.[1];
      if (kibibytes !== undefined) this.peakRssBytes = Math.max(this.peakRssBytes ?? 0, Number(kibibytes) * 1024);
    }, MEMORY_POLL_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
