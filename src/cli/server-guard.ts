import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import type { Socket } from 'node:net';

/*
 * Reads the server's process id, an empty line once it has stopped; when the other end of its input is gone, because
 * the process that started the server has ended in whatever way, SIGKILL included, it stops the server at once
 * and removes its folder.
 */
const GUARD_SCRIPT = `
pid=
while read -r line; do pid=$line; done
if [ -n "$pid" ]; then
  kill -QUIT "$pid" 2>/dev/null
  turns=0
  while [ -e "$1/data/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null && [ "$turns" -lt 100 ]; do sleep 0.1; turns=$((turns + 1)); done
  kill -KILL "$pid" 2>/dev/null
fi
rm -rf -- "$1"
`;

/** Watches over the server in this directory. There is no such shell on Windows. */
export function startGuard(directory: string, options: SpawnOptions): ChildProcess | undefined {
  if (process.platform === 'win32') return undefined;
  const guard = spawn('/bin/sh', ['-c', GUARD_SCRIPT, 'sh', directory], {
    ...options,
    // Not in the folder that it removes.
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.on('error', () => {});
  guard.stdin.on('error', () => {});
  // A pipe to a child is a socket; neither may keep our process running.
  (guard.stdin as Socket).unref();
  guard.unref();
  return guard;
}
