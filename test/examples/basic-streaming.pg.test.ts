import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Run } from '../cli/command-line.js';
import { sharedServer, sql } from '../support/server.js';
import { runExample, slotIsActive, slotIsFree } from './example.js';

const PROGRAM = fileURLToPath(new URL('../../examples/basic-streaming.js', import.meta.url));

suite('the basic-streaming example', () => {
  const server = sharedServer();
  const start = (query = '?replication=database') =>
    new Run([], { DATABASE_URL: server().connectionString() + query }, { program: PROGRAM });
  const combine = (take: number) =>
    runExample('basic-streaming', server(), { args: ['combinators'], env: { TAKE: String(take) } });

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
      await slotIsActive(server(), 'my_slot');
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
    await slotIsFree(server(), 'my_slot');
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

  test('ends well when nobody reads its output any more, as with `| head`', async () => {
    await slotIsFree(server(), 'my_slot');
    await using run = start();
    await run.shows(/waiting for changes/);
    run.child.stdout?.destroy();
    await slotIsActive(server(), 'my_slot');
    await sql(server(), `INSERT INTO users VALUES (30, 'unread', 'fine')`);
    const { code, stderr } = await run.ended;
    assert.deepEqual([code, stderr], [0, '']);
    await slotIsFree(server(), 'my_slot');
  });

  test('goes on after the server was restarted', async () => {
    await slotIsFree(server(), 'my_slot');
    await using run = start();
    await run.shows(/waiting for changes/);
    await slotIsActive(server(), 'my_slot');
    await sql(server(), `INSERT INTO users VALUES (4, 'before', 'fine')`);
    await run.shows(/before/);
    await server().restart();
    await sql(server(), `INSERT INTO users VALUES (5, 'after', 'fine')`);
    await run.shows(/after/);
    run.child.kill('SIGINT');
    const { code, stdout, stderr } = await run.ended;
    assert.equal(code, 0);
    assert.match(stderr, /attempt 1 in \d+ ms/);
    assert.equal(stdout.match(/insert/g)?.length, 2);
  });

  test('combinators: take ends it, and what was taken is confirmed', async () => {
    await slotIsFree(server(), 'my_slot');
    for (let id = 10; id < 16; id++) await sql(server(), `INSERT INTO users VALUES (${id}, 'row', 'fine')`);
    await sql(server(), `SELECT pg_logical_emit_message(false, 'note', '')`);
    await using first = combine(4);
    const { code, stdout, stderr } = await first.ended;
    assert.deepEqual([code, stderr], [0, '']);
    const transactions = (text: string) => text.match(/^transaction \d+: .*$/gm) ?? [];
    assert.deepEqual(
      transactions(stdout).map((line) => line.replace(/\d+(?=:)/, 'XID')),
      Array(4).fill('transaction XID: insert 1'),
    );
    await slotIsFree(server(), 'my_slot');

    // Those that were read ahead come now, and Ctrl+C ends a chain that waits.
    await using second = combine(100);
    await second.shows(/^message 'note'$/m);
    second.child.kill('SIGINT');
    const rest = await second.ended;
    assert.deepEqual([rest.code, rest.stderr], [0, '']);
    assert.equal(transactions(rest.stdout).length, 2);
    assert.notDeepEqual(transactions(rest.stdout), transactions(stdout).slice(0, 2));
    await slotIsFree(server(), 'my_slot');
  });

  test('an argument that there is not is one line that names those that there are', async () => {
    await using run = runExample('basic-streaming', server(), { args: ['combinator'] });
    const { code, stderr } = await run.ended;
    assert.deepEqual([code, stderr], [1, "there is no 'combinator': it has to be nothing, or combinators\n"]);
  });

  test('combinators: a break is takeWhile', async () => {
    await sql(server(), `SELECT pg_logical_emit_message(false, 'stop', '')`);
    await sql(server(), `INSERT INTO users VALUES (20, 'row', 'fine')`);
    await using run = combine(100);
    const { code, stdout, stderr } = await run.ended;
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^message 'stop'\nstopped/m);
    await slotIsFree(server(), 'my_slot');
    await using rest = combine(1);
    assert.match((await rest.ended).stdout, /^transaction \d+: insert 1\nstopped/m);
  });
});
