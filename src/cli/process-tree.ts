import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Children of a process. PostgreSQL's backends make sessions of their own, so no process group holds them together. */
export async function childrenOf(parent: number): Promise<number[]> {
  if (process.platform === 'win32') return [];
  if (process.platform !== 'linux') {
    const { stdout } = await execute('ps', ['-A', '-o', 'pid=,ppid=']);
    const rows = stdout
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).map(Number));
    return rows.flatMap(([pid, ppid]) => (pid !== undefined && ppid === parent ? [pid] : []));
  }
  // Slim images have no ps.
  const children: number[] = [];
  for (const name of await readdir('/proc')) {
    if (/^\d+$/.test(name) && (await readProcessStatus(name))?.parent === parent) children.push(Number(name));
  }
  return children;
}

async function readProcessStatus(pid: number | string): Promise<{ state: string; parent: number } | undefined> {
  try {
    // pid (name) state ppid ...; the name can hold anything, a closing parenthesis too.
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    const [state = '', parent = ''] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

/** A zombie is dead: in a container nobody may be there to collect it. */
export async function isAlive(pid: number): Promise<boolean> {
  if (process.platform === 'linux') {
    const status = await readProcessStatus(pid);
    return status !== undefined && status.state !== 'Z';
  }
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
