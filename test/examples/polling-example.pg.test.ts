import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Lsn } from '../../src/lsn.js';
import { until } from '../stream/source.js';
import { sharedServer, sql } from '../support/server.js';
import { runExample, slotIsActive, slotIsFree } from './example.js';

suite('the polling example', () => {
  const server = sharedServer();
  const start = () => runExample('polling-example', server(), { env: { POLL_TIMEOUT_MS: '100' } });

  test('says so when nothing comes, counts what does, and confirms it', async () => {
    await sql(server(), 'CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION my_publication FOR TABLE t');
    {
      await using run = start();
      await run.shows(/^nothing for 100 ms; 0 changes in 0 transactions so far$/m);
      await sql(server(), 'INSERT INTO t SELECT generate_series(1, 3)');
      await sql(server(), 'BEGIN; DELETE FROM t WHERE id = 1; TRUNCATE t; COMMIT');
      await run.shows(/^nothing for 100 ms; 5 changes in 2 transactions so far$/m);
      run.child.kill('SIGINT');
      const { code, stdout, stderr } = await run.ended;
      assert.deepEqual([code, stderr], [0, '']);
      const changes = stdout.split('\n').filter((line) => /^(insert|update|delete|truncate) /.test(line));
      assert.deepEqual(changes, [
        'insert public.t {"id":1}',
        'insert public.t {"id":2}',
        'insert public.t {"id":3}',
        'delete public.t {"id":1}',
        'truncate public.t',
      ]);
      const [, said] = /confirmed up to (\S+)\n$/.exec(stdout) ?? [];
      await slotIsFree(server(), 'polling_slot');
      const [slot] = await sql(server(), 'SELECT confirmed_flush_lsn AS lsn FROM pg_replication_slots');
      assert.equal(slot?.lsn, Lsn.format(Lsn.parse(said ?? '')));
    }
    await sql(server(), 'INSERT INTO t VALUES (7)');
    await using run = start();
    await run.shows(/insert/);
    run.child.kill('SIGINT');
    const { code, stdout } = await run.ended;
    assert.equal(code, 0);
    assert.deepEqual(stdout.match(/^insert .*/gm), ['insert public.t {"id":7}']);
  });

  test('a wrong connection string is one line, and exit code 1', async () => {
    await using run = runExample('polling-example', undefined, { env: { DATABASE_URL: 'postgresql://h:nan/db' } });
    const { code, stderr } = await run.ended;
    assert.equal(code, 1);
    assert.match(stderr, /^[^\n]+\n$/);
  });

  test('a time that is none is one line that names the variable', async () => {
    await using run = runExample('polling-example', undefined, { env: { POLL_TIMEOUT_MS: '1e3' } });
    const { code, stderr } = await run.ended;
    assert.equal(code, 1);
    assert.equal(stderr, "POLL_TIMEOUT_MS is '1e3': it has to be a whole number from 1 to 2147483647, such as 1000\n");
  });

  test('Ctrl+C does not wait for the time to be up', async () => {
    await slotIsFree(server(), 'polling_slot');
    await using run = runExample('polling-example', server(), { env: { POLL_TIMEOUT_MS: '600000' } });
    await slotIsActive(server(), 'polling_slot');
    run.child.kill('SIGINT');
    const { code, stderr } = await run.ended;
    assert.deepEqual([code, stderr], [0, '']);
  });

  test('Ctrl+C within a transaction waits for its commit', async () => {
    await slotIsFree(server(), 'polling_slot');
    await using run = start();
    await run.shows(/^nothing/m);
    await sql(server(), 'INSERT INTO t SELECT generate_series(100, 50099)');
    await run.shows(/^insert/m);
    run.child.kill('SIGINT');
    const { code, stdout } = await run.ended;
    assert.equal(code, 0);
    assert.match(stdout, /^stopped after 50000 changes in 1 transactions/m);
    await until(async () => {
      const [slot] = await sql(
        server(),
        `SELECT pg_current_wal_lsn() - confirmed_flush_lsn < 10000 AS near FROM pg_replication_slots`,
      );
      return slot?.near === true;
    }, 'the transaction is confirmed');
  });
});
