import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { BacklogSource } from './drain.js';
import { withSlotCopy } from './slot-copies.js';

const execute = promisify(execFile);

/** Writes all of a backlog to a file, exactly as the server sends it. */
export async function recordBacklog({ client, connection, backlog, end }: BacklogSource, path: string): Promise<void> {
  await withSlotCopy(client, backlog.slot, (slot) =>
    execute(process.execPath, [
      fileURLToPath(new URL('../src/cli/main.js', import.meta.url)),
      ...['stream', '--dsn', connection, '--slot', slot, '--publication', backlog.publication],
      ...['--proto-version', '1', '--stop-lsn', end.stopLsn, '--record', path],
    ]),
  );
}

/** A recording served in a process of its own, as fast as the socket takes it. */
export class ReplayServer {
  readonly port: number;
  readonly #close: () => Promise<void>;

  private constructor(port: number, close: () => Promise<void>) {
    this.port = port;
    this.#close = close;
  }

  /** `slots`: one for each drain, since a slot is drained once. */
  static async start(path: string, slots: readonly string[]): Promise<ReplayServer> {
    const program = fileURLToPath(new URL('../src/testing/replay-process.js', import.meta.url));
    const child = spawn(process.execPath, [program, path, ...slots], { stdio: ['pipe', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    const port = await Promise.race([
      once(createInterface({ input: child.stdout }), 'line').then(([line]) => Number(line)),
      exited.then(([code]) => {
        throw new Error(`the replay ended with ${code} before it began`);
      }),
    ]);
    return new ReplayServer(port, async () => {
      child.stdin.end();
      await exited;
    });
  }

  close(): Promise<void> {
    return this.#close();
  }
}
