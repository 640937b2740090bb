import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Lsn } from '../../src/lsn.js';
import type { WalStreamOptions } from '../../src/options.js';
import { WalStream } from '../../src/stream/wal-stream.js';
import { FakeWalSender } from '../../src/testing/index.js';
import { runToEnd } from '../cli/command-line.js';
import { Source } from '../stream/source.js';
import { sharedServer, sql } from '../support/server.js';

const server = sharedServer();

async function jsonOf(options: WalStreamOptions): Promise<string[]> {
  const events: string[] = [];
  for await (const event of new WalStream({ messages: true, ...options })) events.push(JSON.stringify(event));
  return events;
}

test('recording and replaying give the events that the server gives', async (t) => {
  const source = await Source.open(t, server(), 'id int PRIMARY KEY, note text, at timestamptz, data jsonb, raw bytea');
  const { name, client } = source;
  t.after(() => sql(server(), `DROP TYPE ${name}_mood, ${name}_pair CASCADE`));
  await client.query(`CREATE TYPE ${name}_mood AS ENUM ('fine', 'bad'); CREATE TYPE ${name}_pair AS (a int8, b date);
    ALTER TABLE ${name} ADD moods ${name}_mood[] DEFAULT '{fine,bad}', ADD pair ${name}_pair DEFAULT '(7,2026-01-01)'`);
  await client.query(`ALTER TABLE ${name} ALTER note SET STORAGE EXTERNAL`);
  await client.query(`INSERT INTO ${name} SELECT g, repeat(g::text, 3000), '2026-01-01', '{"a": 1}', '\\x00ff'
    FROM generate_series(1, 300) g`);
  await client.query(`UPDATE ${name} SET id = id + 1000, raw = NULL WHERE id < 20`);
  await client.query(`BEGIN; DELETE FROM ${name} WHERE id = 50;
    SELECT pg_logical_emit_message(true, 'inside', 'one'); COMMIT`);
  await client.query(`ALTER TABLE ${name} ADD COLUMN more int; ALTER TABLE ${name} REPLICA IDENTITY FULL`);
  await client.query(`UPDATE ${name} SET more = 7 WHERE id = 60`);
  await client.query(`SELECT pg_logical_emit_message(false, 'alone', 'two')`);
  await client.query(`TRUNCATE ${name}`);
  const stopLsn = await source.lsn();

  const expected = await jsonOf({
    connection: server().connectionString(),
    slot: name,
    publications: name,
    stopLsn,
    ack: 'manual',
  });
  assert.ok(expected.length > 320);
  assert.ok(expected.some((event) => event.includes('"moods":["fine","bad"],"pair":{"a":"7","b":"2026-01-01"}')));
  await source.free();

  const directory = await mkdtemp(join(tmpdir(), 'recording-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'server.rec');
  const stop = Lsn.format(stopLsn);
  const args = ['stream', '-d', server().connectionString(), '-S', name, '--publication', name, '--record', path];
  const run = await runToEnd([...args, '--stop-lsn', stop]);
  assert.equal(run.code, 0, run.stderr);

  for (const pace of ['messages', 'bulk'] as const) {
    await using sender = await FakeWalSender.fromRecording(path, { pace });
    const connection = sender.connectionString();
    // The recording ends with its last message.
    const lastLsn = JSON.parse(expected.at(-1) ?? '{}').commitEndLsn;
    const options = { connection, slot: name, publications: name, stopLsn: Lsn.parse(lastLsn), ack: 'manual' } as const;
    assert.deepEqual(await jsonOf(options), expected, pace);
  }
  assert.ok((await source.confirmed()) >= Lsn.parse(JSON.parse(expected.at(-1) ?? '{}').commitEndLsn));
});
