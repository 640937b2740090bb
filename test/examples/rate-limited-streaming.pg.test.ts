import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { until } from '../stream/source.js';
import { sharedServer, sql } from '../support/server.js';
import { runExample, slotIsActive } from './example.js';

/** What the example makes up for when it was late, and what its times are rounded by. */
const MAX_LATE_MS = 10;
const ROUNDING_MS = 1;
const MEBIBYTE = 1024 * 1024;

suite('the rate-limited example', () => {
  const server = sharedServer();
  const start = (eventsPerSecond?: string) =>
    runExample('rate-limited-streaming', server(), {
      env: eventsPerSecond === undefined ? {} : { MAX_EVENTS_PER_SECOND: eventsPerSecond },
    });

  /** Seconds since the beginning of each event, in milliseconds. */
  function timesOf(stdout: string): number[] {
    return Array.from(stdout.matchAll(/^(\d+\.\d{3}) s {2}/gm), ([, seconds]) => Math.round(Number(seconds) * 1_000));
  }

  /** However many events are looked at, they took their time: no burst, and never above the rate. */
  function assertPaced(times: readonly number[], eventsPerSecond: number): void {
    for (let from = 0; from < times.length; from++) {
      for (let to = from + 1; to < times.length; to++) {
        const tookMs = (times[to] ?? 0) - (times[from] ?? 0);
        const leastMs = ((to - from) * 1_000) / eventsPerSecond - MAX_LATE_MS - ROUNDING_MS;
        assert.ok(tookMs >= leastMs, `events ${from} to ${to} took ${tookMs} ms, at least ${leastMs} were due`);
      }
    }
  }

  test('events come evenly, little is held here, and the server has to wait', async () => {
    await sql(
      server(),
      `CREATE TABLE t (id int PRIMARY KEY, filling text); ALTER TABLE t ALTER filling SET STORAGE EXTERNAL;
       CREATE PUBLICATION my_publication FOR TABLE t`,
    );
    await using run = start('50');
    await run.shows(/at most 50 events\/s/);
    await slotIsActive(server(), 'rate_limited_slot');
    // One transaction each, 60 MiB together.
    const insert = "INSERT INTO t VALUES (n, repeat('x', 100 * 1024)); COMMIT;";
    await sql(server(), `DO $$ BEGIN FOR n IN 1..600 LOOP ${insert} END LOOP; END $$`);
    await until(() => timesOf(run.stdout).length >= 120 && /^stats:/m.test(run.stdout), 'events are handled');

    // The socket's own buffers are on the way, not ours.
    const [sender] = await sql(
      server(),
      `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), sent_lsn)::float8 AS unsent,
         pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::float8 AS unconfirmed
       FROM pg_stat_replication JOIN pg_replication_slots ON active_pid = pid`,
    );
    assert.ok(Number(sender?.unsent) > 30 * MEBIBYTE, `the server waits with ${sender?.unsent} bytes`);
    assert.ok(Number(sender?.unconfirmed) > 50 * MEBIBYTE, `${sender?.unconfirmed} bytes are not confirmed`);

    run.child.kill('SIGINT');
    const { code, stdout, stderr } = await run.ended;
    assert.deepEqual([code, stderr], [0, '']);
    assertPaced(timesOf(stdout), 50);
    const held = Array.from(stdout.matchAll(/; (\d+) bytes here, (\d+) bytes behind/g), ([, here]) => Number(here));
    assert.ok(held.length > 0 && Math.max(...held) < 4 * MEBIBYTE, `at most ${Math.max(...held)} bytes are held`);
    assert.match(stdout, /stats: now [\d.]+\/s, on average [\d.]+\/s, limited [1-9]\d* % of the time;/);
    assert.match(stdout, new RegExp(`stopped after ${timesOf(stdout).length} events in `));
  });

  test('10 events per second unless said otherwise', async () => {
    await using run = start();
    await run.shows(/at most 10 events\/s/);
    await until(() => timesOf(run.stdout).length >= 15, 'events are handled');
    run.child.kill('SIGINT');
    const { code, stdout } = await run.ended;
    assert.equal(code, 0);
    assertPaced(timesOf(stdout), 10);
  });

  test('how far it is behind is not known while the server cannot be reached', async () => {
    await using run = runExample('rate-limited-streaming', undefined, {
      env: { DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/nothing' },
    });
    await run.shows(/^stats: .*; 0 bytes here, \? bytes behind on the server$/m);
    run.child.kill('SIGINT');
    assert.equal((await run.ended).code, 0);
  });

  test('a rate that is none is one line that names the variable', async () => {
    await using run = start('fast');
    const { code, stderr } = await run.ended;
    assert.equal(code, 1);
    assert.equal(stderr, "MAX_EVENTS_PER_SECOND is 'fast': it has to be a number from 0.001 to 1000000, such as 10\n");
  });
});
