import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Run } from '../cli/command-line.js';
import { until } from '../stream/source.js';
import { sharedServer, sql } from '../support/server.js';

const PROGRAM = fileURLToPath(new URL('../../examples/basic-streaming.js', import.meta.url));

suite('the basic-streaming example', () => {
  const server = sharedServer();
  const start = (query = '?replication=database') =>
    new Run([], { DATABASE_URL: server().connectionString() + query }, { program: PROGRAM });

  test('what is missing is one line on stderr, and exit code 1', async () => {
    await using run = start();
    const { code, stderr } = await run.ended;
    assert.match(stderr, /^publication "my_publication" does not exist.*CREATE PUBLICATION[^\n]*\n$/);
    assert.equal(code, 1);
  });

  test('prints every change in order, ends well at Ctrl+C, and goes on where it was', async () => {
    await sql(
      server(),
      `CREATE TYPE mood AS ENUM ('fine');
       CREATE TABLE users (id bigint PRIMARY KEY, name text, mood mood);
       CREATE PUBLICATION my_publication FOR TABLE users`,
    );
    {
      await using run = start();
      await run.shows(/waiting for changes/);
      await slotIsActive();
      await sql(
        server(),
        `BEGIN;
         INSERT INTO users VALUES (1, 'Ada', 'fine'), (9007199254740993, NULL, NULL);
         UPDATE users SET id = 2 WHERE id = 1;
         DELETE FROM users WHERE id = 2;
         TRUNCATE users;
         SELECT pg_logical_emit_message(true, 'greeting', 'hello');
         COMMIT`,
      );
      await run.shows(/commit \d+ at/);
      run.child.kill('SIGINT');
      const { code, stdout, stderr } = await run.ended;
      assert.equal(stderr, '');
      assert.equal(code, 0);
      const lines = stdout.replaceAll(/\d+\/[0-9A-F]+/g, 'LSN').split('\n');
      assert.match(lines[1] ?? '', /^begin \d+, committed \d{4}-/);
      const changes = lines.filter((line) => line.startsWith('  ') && !/^ {2}(type|relation)/.test(line));
      assert.deepEqual(changes, [
        '  insert public.users {"new":{"id":"1","name":"Ada","mood":"fine"}}',
        '  insert public.users {"new":{"id":"9007199254740993","name":null,"mood":null}}',
        '  update public.users {"new":{"id":"2","name":"Ada","mood":"fine"},"key":{"id":"1"}}',
        '  delete public.users {"key":{"id":"2"}}',
        '  truncate public.users',
        "  message 'greeting', 5 bytes",
      ]);
      assert.ok(lines.includes('  type public.mood'));
      assert.ok(lines.includes('  relation public.users: id, name, mood'));
      assert.equal(lines.at(-2), 'stopped; confirmed up to LSN');
    }
    await sql(server(), `INSERT INTO users VALUES (3, 'Grace', 'fine')`);
    // The option `replication` is there already, or it is added.
    await using run = start('');
    await run.shows(/commit \d+ at/);
    run.child.kill('SIGINT');
    const { code, stdout } = await run.ended;
    assert.equal(code, 0);
    assert.deepEqual(stdout.match(/(insert|truncate) .*/g), [
      'insert public.users {"new":{"id":"3","name":"Grace","mood":"fine"}}',
    ]);
  });

  async function slotIsActive(): Promise<void> {
    await until(async () => {
      const [slot] = await sql(server(), `SELECT active FROM pg_replication_slots WHERE slot_name = 'my_slot'`);
      return slot?.active === true;
    }, 'the example streams');
  }
});
