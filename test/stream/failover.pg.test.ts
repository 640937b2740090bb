import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { SlotError, type WalStream } from '../../src/index.js';
import { connect, needsMajor, sql, withServer } from '../support/server.js';
import { failure, idOf, Source, until } from './source.js';
import { STANDBY_SLOT, withStandby } from './standby.js';

/** No writer comes to it, however quick. */
const LAST = 2_000_000_000;
const QUICKLY = { minDelayMs: 20, maxDelayMs: 200 };
const skip =
  needsMajor(17, 'failover slots') || (process.platform === 'win32' && 'the standby is copied with a program of Unix');

interface Pair {
  readonly source: Source;
  readonly primary: EmbeddedServer;
  readonly standby: EmbeddedServer;
  /** Of both, whichever can be written to. */
  readonly connection: string;
}

/** A primary and its standby, with a slot that is synchronised to it unless `failover` says otherwise. */
async function pair(t: TestContext, { failover = true, waitsForStandby = false } = {}): Promise<Pair> {
  const primary = await withServer(t, {
    settings: waitsForStandby ? { synchronized_standby_slots: STANDBY_SLOT } : {},
  });
  const source = await Source.open(t, primary);
  const { name } = source;
  await source.query(`SELECT pg_create_physical_replication_slot('${STANDBY_SLOT}', true)`);
  await source.query(`SELECT pg_drop_replication_slot('${name}')`);
  await source.query(`SELECT pg_create_logical_replication_slot('${name}', 'pgoutput', false, false, ${failover})`);
  const standby = await withStandby(t, primary);
  const hosts = [primary, standby].map(({ port }) => `127.0.0.1:${port}`).join(',');
  return {
    source,
    primary,
    standby,
    connection: `postgresql://postgres@${hosts}/postgres?target_session_attrs=read-write`,
  };
}

/** The worker that does it looks more often while something happens. */
async function synchronised({ source, primary, standby }: Pair): Promise<void> {
  await until(async () => {
    await sql(primary, 'SELECT pg_log_standby_snapshot()');
    const [row] = await sql(
      standby,
      `SELECT count(*)::int AS slots FROM pg_replication_slots WHERE slot_name = '${source.name}' AND synced AND NOT temporary`,
    );
    return row?.slots === 1;
  }, 'the slot is on the standby');
}

async function idsOf(server: EmbeddedServer, source: Source): Promise<number[]> {
  const rows = await sql(server, `SELECT id FROM ${source.name} ORDER BY id`);
  return rows.map(({ id }) => id as number);
}

/** Collects ids until `last`. */
async function collect(stream: WalStream, ids: number[], last: number): Promise<void> {
  for await (const event of stream) {
    if (event.kind === 'insert') ids.push(idOf(event));
    if (event.kind === 'commit' && ids.at(-1) === last) break;
  }
}

suite('failover to a promoted standby', { skip }, () => {
  test('the stream goes on there, with nothing lost and nothing twice', async (t) => {
    const both = await pair(t, { waitsForStandby: true });
    const { source, primary, standby, connection } = both;
    const stream = source.stream({ connection, retry: QUICKLY, feedbackIntervalMs: 50 });
    const ids: number[] = [];
    const collected = collect(stream, ids, LAST);
    await stream.start();
    await synchronised(both);
    let stopped = false;
    const writing = (async () => {
      const writer = await connect(primary);
      for (let id = 1; !stopped; id++) {
        const to = id % 10 === 0 ? id * 1000 + 500 : id * 1000;
        await writer.query(`INSERT INTO ${source.name} SELECT g, 'x' FROM generate_series(${id * 1000}, ${to}) g`);
      }
    })().catch(() => {});
    await until(() => ids.length > 5_000, 'some arrived');
    await primary.kill();
    stopped = true;
    await writing;
    await sleep(300);
    await sql(standby, 'SELECT pg_promote()');
    await sql(standby, `INSERT INTO ${source.name} VALUES (${LAST}, 'x')`);
    await collected;
    assert.deepEqual(ids, await idsOf(standby, source));
    assert.equal(stream.stats().reconnects, 1);
  });

  test('what only keepalives said that the standby does not have is no loss', async (t) => {
    const both = await pair(t);
    const { source, primary, standby, connection } = both;
    const stream = source.stream({ connection, retry: QUICKLY, feedbackIntervalMs: 50 });
    const ids: number[] = [];
    const collected = collect(stream, ids, 60);
    await stream.start();
    await synchronised(both);
    await sql(primary, `INSERT INTO ${source.name} VALUES (1, 'x')`);
    await until(() => ids.length === 1, 'it arrived');
    await standby.stop();
    await sql(primary, `CREATE TABLE elsewhere AS SELECT g FROM generate_series(1, 20000) g`);
    const [row] = await sql(primary, `SELECT pg_current_wal_flush_lsn() - '0/0' AS lsn`);
    await until(() => stream.stats().flushedLsn >= BigInt(String(row?.lsn)), 'the position follows');
    await primary.kill();
    await standby.restart();
    await sql(standby, 'SELECT pg_promote()');
    // What is written now lies before the position that the stream had.
    for (let id = 2; id <= 60; id++) await sql(standby, `INSERT INTO ${source.name} VALUES (${id}, 'x')`);
    await collected;
    assert.deepEqual(ids, await idsOf(standby, source));
  });

  test('a standby that was promoted without all that was received is refused', async (t) => {
    const both = await pair(t);
    const { source, primary, standby, connection } = both;
    const stream = source.stream({ connection, retry: QUICKLY, feedbackIntervalMs: 50 });
    const ids: number[] = [];
    const failed = failure(collect(stream, ids, 0));
    await stream.start();
    await synchronised(both);
    await standby.stop();
    await sql(primary, `INSERT INTO ${source.name} VALUES (1, 'x')`);
    await until(() => ids.length === 1, 'it arrived');
    await primary.kill();
    await standby.restart();
    await sql(standby, 'SELECT pg_promote()');
    const error = await failed;
    assert.ok(error instanceof SlotError && error.reason === 'mismatch', String(error));
    assert.match(error.message, /promoted at .* transactions up to/);
  });

  test('a slot that was not synchronised is missing', async (t) => {
    const { source, primary, standby, connection } = await pair(t, { failover: false });
    const stream = source.stream({ connection, retry: QUICKLY });
    const failed = failure(collect(stream, [], 0));
    await stream.start();
    await primary.kill();
    await sql(standby, 'SELECT pg_promote()');
    const error = await failed;
    assert.ok(error instanceof SlotError && error.reason === 'missing', String(error));
  });
});
