import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

const UNWANTED = ['net', 'tls', 'http', 'dgram', 'dns', 'child_process', 'cluster', 'worker_threads'];

/** Modules of Node that a process has loaded after it imported `specifier`, by the names they are imported by. */
async function builtinsLoadedBy(specifier: string): Promise<Set<string>> {
  const script = `await import('${specifier}'); console.log(process.moduleLoadList.join('\\n'))`;
  // In this package's folder, so that it finds itself by its own name.
  const cwd = new URL('../../../', import.meta.url);
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { cwd });
  return new Set(stdout.split('\n').flatMap((line) => /^NativeModule (\w+)$/.exec(line)?.[1] ?? []));
}

// Which packages the layer may import is for test/architecture.test.ts; drivers and pools load these modules.
test('pg-walstream/pgoutput loads no sockets, threads or processes', async () => {
  const loaded = await builtinsLoadedBy('pg-walstream/pgoutput');
  const always = await builtinsLoadedBy('node:buffer');
  assert.ok(loaded.has('buffer'));
  for (const name of UNWANTED) assert.ok(!loaded.has(name) || always.has(name), `${name} was loaded`);
  // It would be seen.
  const all = await builtinsLoadedBy('pg-walstream');
  for (const name of ['net', 'tls', 'worker_threads']) assert.ok(all.has(name) && !always.has(name), name);
});
