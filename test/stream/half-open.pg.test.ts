import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionLost, SlotError, TimeoutError, type WalStream } from '../../src/index.js';
import { sharedServer, sql } from '../support/server.js';
import { idOf, range, Source, until } from './source.js';
import { TcpProxy } from './tcp-proxy.js';

const QUICKLY = { minDelayMs: 20, maxDelayMs: 200 };

/** What a stream says of its losses, each with its time. */
function losses(t: TestContext, slot: string): { readonly error: unknown; readonly at: number }[] {
  const seen: { error: unknown; at: number }[] = [];
  const listen = (message: unknown) => {
    const lost = message as ConnectionLost;
    if (lost.slot === slot) seen.push({ error: lost.error, at: performance.now() });
  };
  subscribe('pg-walstream:connection-lost', listen);
  t.after(() => unsubscribe('pg-walstream:connection-lost', listen));
  return seen;
}

async function idsUntil(stream: WalStream, last: number): Promise<number[]> {
  const ids: number[] = [];
  for await (const event of stream) {
    if (event.kind === 'insert') ids.push(idOf(event));
    if (event.kind === 'commit' && ids.at(-1) === last) break;
  }
  return ids;
}

suite('a connection that is half open', () => {
  const server = sharedServer({ settings: { wal_sender_timeout: '3s' } });

  test('is noticed in time, and the slot taken again when the server has noticed too', async (t) => {
    const source = await Source.open(t, server());
    const proxy = await TcpProxy.open(t, server().port);
    const seen = losses(t, source.name);
    const stream = source.stream({ connection: proxy.connectionString(), livenessTimeoutMs: 1_000, retry: QUICKLY });
    const ids = idsUntil(stream, 2);
    await stream.start();
    await source.insert(1);
    await until(() => stream.stats().unitsReceived === 1, 'the first arrived');
    const silentAt = performance.now();
    proxy.silenceOpen();
    await source.insert(2);
    assert.deepEqual(await ids, range(1, 2));
    const [first, ...others] = seen;
    assert.ok(first?.error instanceof TimeoutError && first.error.timeoutMs === 1_000, String(first?.error));
    assert.ok(first.at - silentAt < 1_500, `after ${first.at - silentAt} ms`);
    // The old walsender holds the slot until its own limit.
    assert.ok(others.length > 2);
    for (const { error } of others) assert.ok(error instanceof SlotError && error.reason === 'in-use', String(error));
    assert.equal(stream.stats().reconnects, 1);
  });

  test('what is lost before anything came begins where it was told to', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1);
    const startLsn = await source.lsn();
    const proxy = await TcpProxy.open(t, server().port);
    const stream = source.stream({ connection: proxy.connectionString(), retry: QUICKLY, startLsn });
    const ids = idsUntil(stream, 2);
    await stream.start();
    proxy.cut();
    await source.insert(2);
    proxy.reopen();
    assert.deepEqual(await ids, [2]);
  });

  test('connections that are refused for a while are tried until they are not', async (t) => {
    const source = await Source.open(t, server());
    const proxy = await TcpProxy.open(t, server().port);
    const seen = losses(t, source.name);
    const stream = source.stream({ connection: proxy.connectionString(), retry: QUICKLY });
    const ids = idsUntil(stream, 3_000);
    await stream.start();
    await source.insert(1, 1_500);
    await until(() => stream.stats().unitsReceived === 1, 'the first arrived');
    proxy.cut();
    await source.insert(1_501, 3_000);
    await sleep(1_000);
    assert.ok(seen.length > 4, `${seen.length} attempts`);
    proxy.reopen();
    assert.deepEqual(await ids, range(1, 3_000));
  });
});

suite('a server that decodes in silence', () => {
  // Without a limit of its own a walsender says nothing while it passes over what nobody wants.
  const server = sharedServer({ settings: { wal_sender_timeout: '0' } });

  test('a huge transaction that is not published gets through: the limit doubles with each loss', async (t) => {
    const source = await Source.open(t, server());
    await source.query('CREATE TABLE unpublished (id int)');
    const seen = losses(t, source.name);
    // The first loss may come after something was received: then only the second doubles it.
    const limitMs = 100;
    const stream = source.stream({ livenessTimeoutMs: limitMs, retry: QUICKLY });
    const ids = idsUntil(stream, 2);
    await stream.start();
    await source.insert(1);
    await sql(server(), 'INSERT INTO unpublished SELECT g FROM generate_series(1, 2000000) g');
    await source.insert(2);
    assert.deepEqual(await ids, [1, 2]);
    const limits = seen.flatMap(({ error }) => (error instanceof TimeoutError ? [error.timeoutMs] : []));
    t.diagnostic(`limits ${limits.join(', ')} ms`);
    assert.ok(Math.max(...limits) >= 2 * limitMs, 'it doubled');
  });
});
