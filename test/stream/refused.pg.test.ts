import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionError, type StreamMessages } from '../../src/index.js';
import { connect, withServer } from '../support/server.js';
import { idOf, range, Source, until } from './source.js';

const AWAY_MS = 60_000;
const CHANNEL = 'pg-walstream:connection-lost';

test('connections that are refused for a minute: tried again and again, and nothing is lost', async (t) => {
  const server = await withServer(t);
  const source = await Source.open(t, server);
  await source.insert(1, 100);
  const losses: StreamMessages[typeof CHANNEL][] = [];
  const onLoss = (message: unknown) => losses.push(message as StreamMessages[typeof CHANNEL]);
  subscribe(CHANNEL, onLoss);
  t.after(() => unsubscribe(CHANNEL, onLoss));
  const stream = source.stream({ retry: { maxDelayMs: 8_000 } });
  const ids: number[] = [];
  const loop = (async () => {
    for await (const event of stream) {
      if (event.kind === 'insert') ids.push(idOf(event));
      if (ids.length === 200) break;
    }
  })();
  await until(() => ids.length === 100, 'the first rows are there');
  await server.kill();
  await sleep(AWAY_MS);
  await server.restart();
  const writer = await connect(server);
  t.after(() => writer.end());
  await writer.query(`INSERT INTO ${source.name} SELECT g, 'x' FROM generate_series(101, 200) g`);
  await loop;
  assert.deepEqual(ids, range(1, 200));
  assert.ok(losses.length >= 8 && losses.length <= 40, `${losses.length} attempts`);
  for (const { error } of losses) assert.ok(error instanceof ConnectionError && error.retryable, String(error));
});
