import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { SEED } from '../support/seed.js';
import { connect, PG_MAJOR, sharedServer } from '../support/server.js';
import { Random } from '../support/workload.js';
import { PATIENCE_MS, Source } from './source.js';

const KILLS = 12;
const WRITERS = 3;
/** However slow the machine, each writer does at least so much. */
const TRANSACTIONS = 100;
const CONSUMER = fileURLToPath(new URL('./applying-consumer.js', import.meta.url));
const TABLES = ['items', 'whole'] as const;
const SCHEMA = TABLES.map((table) => `CREATE TABLE ${table} (id int PRIMARY KEY, counter int, note text);`).join('\n');

/** Writes transactions of all sizes, with ids of its own, until it is stopped. */
async function writeUntil(client: pg.Client, writer: number, random: Random, signal: AbortSignal): Promise<void> {
  let nextId = writer * 10_000_000;
  const some = () => {
    const from = random.integer(writer * 10_000_000, nextId);
    return `id BETWEEN ${from} AND ${from + random.integer(0, 5)}`;
  };
  const change = async () => {
    const table = random.pick(TABLES);
    switch (random.integer(0, 4)) {
      case 0:
        await client.query(`UPDATE ${table} SET counter = counter + 1, note = '${random.text(30)}' WHERE ${some()}`);
        return;
      case 1:
        await client.query(`DELETE FROM ${table} WHERE ${some()}`);
        return;
      case 2:
        await client.query(`UPDATE ${table} SET id = id + 5000000 WHERE ${some()} AND id % 10000000 < 5000000`);
        return;
      default: {
        const from = nextId;
        nextId += random.integer(1, 20);
        await client.query(
          `INSERT INTO ${table} SELECT g, 0, '${random.text(40)}' FROM generate_series(${from}, ${nextId - 1}) g`,
        );
      }
    }
  };
  for (let written = 0; written < TRANSACTIONS || !signal.aborted; written++) {
    if (random.chance(0.2)) {
      await client.query(`SELECT pg_logical_emit_message(false, 'alone', '${random.text(12)} ${writer}')`);
    }
    await client.query('BEGIN');
    for (let step = random.integer(1, 4); step > 0; step--) {
      await client.query('SAVEPOINT s');
      await change();
      if (random.chance(0.3)) await client.query('ROLLBACK TO s');
    }
    if (random.chance(0.04)) {
      // Beyond what the consumer keeps in memory, and beyond logical_decoding_work_mem.
      const from = nextId;
      nextId += 500;
      await client.query(
        `INSERT INTO items SELECT g, 0, rpad(g::text, 200, '.') FROM generate_series(${from}, ${nextId - 1}) g`,
      );
    }
    await client.query(random.chance(0.1) ? 'ROLLBACK' : 'COMMIT');
    await sleep(random.integer(5, 40));
  }
}

function startConsumer(args: readonly string[]): { child: ChildProcess; applied: () => number; errors: () => string } {
  const child = spawn(process.execPath, [CONSUMER, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let applied = 0;
  let errors = '';
  child.stdout?.on('data', (bytes: Buffer) => {
    applied += bytes.toString().split('\n').length - 1;
  });
  child.stderr?.on('data', (bytes: Buffer) => {
    errors += bytes.toString();
  });
  return { child, applied: () => applied, errors: () => errors };
}

suite(`effectively once, PostgreSQL ${PG_MAJOR}, seed ${SEED}`, () => {
  const server = sharedServer({ settings: { logical_decoding_work_mem: '64kB' } });

  test('a consumer that is killed again and again: the sink equals the source', async (t) => {
    const random = new Random(SEED);
    const source = await Source.open(t, server());
    const { name } = source;
    await source.query(SCHEMA);
    await source.query(`ALTER TABLE whole REPLICA IDENTITY FULL; ALTER PUBLICATION ${name} ADD TABLE items, whole`);
    await source.query(`SELECT pg_create_logical_replication_slot('oracle', 'pgoutput')`);
    await source.query('CREATE DATABASE sink');
    const sink = await connect(server(), 'sink');
    t.after(() => sink.end());
    await sink.query(
      `${SCHEMA} CREATE TABLE audit (commit_lsn numeric, ordinal int); CREATE TABLE messages (content text)`,
    );

    const stopWriting = new AbortController();
    const writers = Array.from({ length: WRITERS }, async (_, writer) => {
      const client = await connect(server());
      try {
        await writeUntil(client, writer, new Random(SEED + writer), stopWriting.signal);
      } finally {
        await client.end();
      }
    });
    const writing = Promise.all(writers);
    const consumer = (stopLsn = '') =>
      startConsumer([
        server().connectionString(),
        server().connectionString('sink'),
        name,
        random.pick(['on', 'off']),
        stopLsn,
      ]);
    let appliedWhenKilled = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const { child, applied, errors } = consumer();
      t.after(() => child.kill('SIGKILL'));
      const deadline = Date.now() + PATIENCE_MS;
      // Now and then before it has come to anything.
      const duringStart = random.chance(0.25);
      while (!duringStart && applied() === 0) {
        assert.equal(child.exitCode, null, errors());
        assert.ok(Date.now() < deadline, 'never: something is applied');
        await sleep(5);
      }
      await sleep(random.integer(0, 400));
      assert.equal(child.exitCode, null, errors());
      child.kill('SIGKILL');
      await once(child, 'close');
      appliedWhenKilled += applied();
    }
    stopWriting.abort();
    await writing;
    const stopLsn = await source.lsn('pg_current_wal_insert_lsn()');
    const { child, errors } = consumer(String(stopLsn));
    t.after(() => child.kill('SIGKILL'));
    const [exitCode] = await once(child, 'close');
    assert.equal(exitCode, 0, errors());

    const audit = new Map<string, number>();
    for (const { id } of (await sink.query(`SELECT commit_lsn || ' ' || ordinal AS id FROM audit`)).rows) {
      audit.set(id, (audit.get(id) ?? 0) + 1);
    }
    const messages: string[] = [];
    let changes = 0;
    for await (const item of source.stream({ slot: 'oracle', messages: true, stopLsn }).transactions()) {
      if (item.kind === 'message') messages.push(item.content.toString());
      if (item.kind !== 'transaction') continue;
      for await (const change of item.changes) {
        if (change.kind === 'message') continue;
        changes++;
        assert.equal(audit.get(`${change.commitLsn} ${change.ordinal}`), 1, `${change.commitLsn} ${change.ordinal}`);
      }
    }
    assert.equal(audit.size, changes);
    const { rows } = await sink.query('SELECT content FROM messages');
    assert.deepEqual(rows.map(({ content }) => content).sort(), messages.sort());
    for (const table of TABLES) {
      const { rows } = await sink.query(`SELECT * FROM ${table} ORDER BY id`);
      assert.deepEqual(rows, await source.query(`SELECT * FROM ${table} ORDER BY id`), table);
    }
    t.diagnostic(`${KILLS} kills after ${appliedWhenKilled} items; ${changes} changes, ${messages.length} messages`);
    assert.ok(appliedWhenKilled > 0 && changes > 1_000 && messages.length > 10);
  });
});
