import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { POSTGRES_MAJORS } from '../../src/cli/postgres-binaries.js';
import { isAlive } from '../../src/cli/process-tree.js';
import { ConfigurationError, ConnectionError } from '../../src/errors.js';
import { connect, PG_MAJOR, sql, withServer } from '../support/server.js';

async function becomesTrue(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `not within 15 s: ${what}`);
    await sleep(20);
  }
}

describe('every major', () => {
  for (const major of POSTGRES_MAJORS) {
    test(`PostgreSQL ${major} starts, answers, stops and leaves nothing`, async () => {
      const server = await EmbeddedServer.start({ major });
      try {
        assert.equal(server.major, major);
        const [row] = await sql(server, "SELECT current_setting('server_version_num')::int / 10000 AS major");
        assert.equal(row?.major, major);
        const settings = await sql(
          server,
          "SELECT current_setting('wal_level') AS wal, current_setting('server_encoding') AS encoding",
        );
        assert.deepEqual(settings, [{ wal: 'logical', encoding: 'UTF8' }]);
        assert.ok(existsSync(join(server.socketDirectory, `.s.PGSQL.${server.port}`)));
        assert.match(await server.log(), /ready to accept connections/);

        const { pid } = server;
        await server.stop();
        assert.ok(pid !== undefined);
        assert.equal(await isAlive(pid), false);
        assert.equal(server.pid, undefined);
      } finally {
        await server[Symbol.asyncDispose]();
      }
      assert.equal(existsSync(server.socketDirectory), false);
      assert.equal(existsSync(server.dataDirectory), false);
    });
  }
});

test('data survive a restart, on the same port', async (t) => {
  const server = await withServer(t);
  const { port, pid } = server;
  await sql(server, 'CREATE TABLE kept AS SELECT 7 AS n');
  await server.restart();
  assert.equal(server.port, port);
  assert.notEqual(server.pid, pid);
  assert.deepEqual(await sql(server, 'SELECT n FROM kept'), [{ n: 7 }]);
});

test('a killed server has lost its connections and recovers', async (t) => {
  const server = await withServer(t);
  await sql(server, 'CREATE TABLE kept AS SELECT 7 AS n');
  const client = await connect(server);
  const [backend] = (await client.query('SELECT pg_backend_pid() AS pid')).rows as { pid: number }[];
  const lost = new Promise((resolve) => client.once('end', resolve));
  await server.kill();
  await lost;
  assert.ok(backend !== undefined);
  assert.equal(await isAlive(backend.pid), false);
  await assert.rejects(sql(server, 'SELECT 1'), { code: 'ECONNREFUSED' });
  await server.restart();
  assert.deepEqual(await sql(server, 'SELECT n FROM kept'), [{ n: 7 }]);
});

test('settings, files, pg_hba lines and the password are used', async (t) => {
  const server = await withServer(t, {
    settings: { application_name: "it's", work_mem: '3MB' },
    hba: ['host all all 127.0.0.1/32 scram-sha-256'],
    password: 'p@ss/word',
    files: { 'server.key': 'a secret' },
  });
  assert.deepEqual(await sql(server, "SELECT current_setting('work_mem') AS mem, pg_read_file('server.key') AS key"), [
    { mem: '3MB', key: 'a secret' },
  ]);
  const [mode] = await sql(server, "SELECT setting FROM pg_settings WHERE name = 'data_directory_mode'");
  assert.equal(mode?.setting, '0700');
  const withoutPassword = {
    ...server,
    connectionString: () => `postgresql://postgres:no@127.0.0.1:${server.port}/postgres`,
  };
  await assert.rejects(sql(withoutPassword as unknown as EmbeddedServer, 'SELECT 1'), { code: '28P01' });
});

test('with a password, loopback asks for it', async (t) => {
  const server = await withServer(t, { password: 'secret' });
  const [row] = await sql(server, "SELECT auth_method FROM pg_hba_file_rules WHERE address = '127.0.0.1' LIMIT 1");
  assert.equal(row?.auth_method, 'scram-sha-256');
});

test('servers started together do not disturb each other', async () => {
  const servers = await Promise.all([EmbeddedServer.start(), EmbeddedServer.start(), EmbeddedServer.start()]);
  try {
    assert.equal(new Set(servers.map((server) => server.port)).size, 3);
    const identifiers = await Promise.all(servers.map((server) => sql(server, 'SELECT * FROM pg_control_system()')));
    assert.equal(new Set(identifiers.map(([row]) => row?.system_identifier)).size, 3);
  } finally {
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
  }
});

test('a server that cannot start says why and leaves nothing', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'pgw-test-'));
  try {
    await chmod(directory, 0o777);
    await assert.rejects(
      EmbeddedServer.start({ major: PG_MAJOR, settings: { work_mem: 'plenty' }, directory }),
      (error) => {
        assert.ok(error instanceof ConnectionError);
        assert.match(error.message, /^the embedded PostgreSQL \d+ did not start: .*configuration file .*errors/);
        assert.match(String(error.cause), /work_mem/);
        return true;
      },
    );
    assert.deepEqual(await readdir(directory), []);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test('a path too long for a socket is refused before anything is made', async () => {
  const directory = await mkdtemp(join(tmpdir(), `pgw-${'x'.repeat(90)}-`));
  try {
    await chmod(directory, 0o755);
    await assert.rejects(EmbeddedServer.start({ directory }), (error) => {
      assert.ok(error instanceof ConfigurationError);
      assert.equal(error.option, 'directory');
      return true;
    });
    assert.deepEqual(await readdir(directory), []);
  } finally {
    await rm(directory, { recursive: true });
  }
});

for (const end of ['SIGKILL', 'exit'] as const) {
  test(`a server does not outlive a process that ends by ${end} without disposing of it`, async () => {
    const script = `
      import { EmbeddedServer } from ${JSON.stringify(new URL('../../src/cli/embedded-server.js', import.meta.url))};
      const server = await EmbeddedServer.start();
      console.log(JSON.stringify({ pid: server.pid, directory: server.socketDirectory }));
      ${end === 'exit' ? 'process.exit(0)' : 'setInterval(() => {}, 1000)'};
    `;
    const parent = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line: string = await new Promise((resolve) => createInterface(parent.stdout).once('line', resolve));
    const { pid, directory } = JSON.parse(line) as { pid: number; directory: string };
    if (end === 'SIGKILL') parent.kill('SIGKILL');
    await becomesTrue('the postmaster has ended', async () => !(await isAlive(pid)));
    await becomesTrue('its folder is gone', () => !existsSync(directory));
  });
}

test('nothing of a forgotten server keeps the process running', async () => {
  const script = `
    import { EmbeddedServer } from ${JSON.stringify(new URL('../../src/cli/embedded-server.js', import.meta.url))};
    await EmbeddedServer.start();
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: 'inherit' });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  assert.equal(code, 0);
});
