import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sharedServer } from '../support/server.js';
import { drain, idOf, range, Source, until } from './source.js';
import { TcpProxy } from './tcp-proxy.js';

const WAL_SENDER_TIMEOUT_MS = 2_000;

function block(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

suite('feedback', () => {
  const server = sharedServer({ settings: { wal_sender_timeout: `${WAL_SENDER_TIMEOUT_MS}ms` } });

  test('a consumer that holds one event beyond wal_sender_timeout keeps the connection', async (t) => {
    const source = await Source.open(t, server());
    for (const id of range(1, 3)) await source.insert(id);
    // 2,147,483,647: the server's timeout bounds it.
    const stream = source.stream({ stopLsn: await source.lsn(), feedbackIntervalMs: 2_147_483_647 });
    let held = false;
    const ids: number[] = [];
    for await (const event of stream) {
      if (event.kind === 'insert') ids.push(idOf(event));
      if (held) continue;
      held = true;
      await sleep(WAL_SENDER_TIMEOUT_MS * 2);
    }
    assert.deepEqual(ids, [1, 2, 3]);
  });

  test('so does a consumer that holds a batch, with the window full', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1, 30_000, 200);
    const stream = source.stream({ stopLsn: await source.lsn(), maxInFlightBytes: 1024 * 1024 });
    let count = 0;
    let held = false;
    for await (const batch of stream.batches()) {
      for (const event of batch) if (event.kind === 'insert') count++;
      if (!held) await sleep(WAL_SENDER_TIMEOUT_MS * 2);
      held = true;
    }
    assert.equal(count, 30_000);
  });

  test('a consumer that works on every event without a pause starves nobody', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1, 1_200);
    const stream = source.stream({ stopLsn: await source.lsn() });
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    let count = 0;
    for await (const event of stream) {
      if (event.kind !== 'insert') continue;
      count++;
      block(5);
    }
    clearInterval(timer);
    assert.equal(count, 1_200);
    assert.ok(ticks > 50, `timers had ${ticks} turns`);
  });

  test('nor does one that blocks for long on every event', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1, 100);
    const pid = async () => source.activePid();
    const stream = source.stream({ stopLsn: await source.lsn(), livenessTimeoutMs: 1_000 });
    await stream.start();
    const walsender = await pid();
    let count = 0;
    for await (const event of stream) {
      if (event.kind !== 'insert') continue;
      count++;
      if (count <= 30) block(150);
      else if (count === 31) assert.equal(await pid(), walsender);
    }
    assert.equal(count, 100);
  });

  test('a process that was blocked beyond livenessTimeoutMs has not lost its server by that', async (t) => {
    const source = await Source.open(t, server());
    const stream = source.stream({ livenessTimeoutMs: 400 });
    await stream.start();
    const first = stream.nextEvent();
    for (let round = 0; round < 4; round++) {
      await sleep(50);
      block(700);
    }
    await source.insert(1);
    assert.equal((await first)?.kind, 'begin');
  });

  test('a full window: bounded in flight, paused, alive, and nothing lost', async (t) => {
    const source = await Source.open(t, server());
    const rows = 60_000;
    await source.insert(1, rows, 300);
    const maxInFlightBytes = 1024 * 1024;
    const stream = source.stream({ stopLsn: await source.lsn(), maxInFlightBytes, livenessTimeoutMs: 1_000 });
    await stream.start();
    let most = 0;
    let count = 0;
    const receivedAtRest: number[] = [];
    for await (const batch of stream.batches()) {
      for (const event of batch) if (event.kind === 'insert') assert.equal(idOf(event), ++count);
      const { inFlightBytes, bytesReceived } = stream.stats();
      most = Math.max(most, inFlightBytes);
      if (receivedAtRest.length < 2) {
        await sleep(1_500);
        receivedAtRest.push(stream.stats().bytesReceived - bytesReceived);
      }
    }
    assert.equal(count, rows);
    // One read may go beyond the bound, by no more than a slab.
    assert.ok(most > maxInFlightBytes / 2 && most < maxInFlightBytes + 3 * 1024 * 1024, `${most} bytes in flight`);
    assert.ok((receivedAtRest[1] ?? 0) < 4 * 1024 * 1024, 'nothing is read while the window is full');
  });

  test('a window smaller than one row lets it through', async (t) => {
    const source = await Source.open(t, server());
    const bytes = 5 * 1024 * 1024;
    for (const id of [1, 2, 3]) await source.insert(id, id, bytes);
    const stream = source.stream({ stopLsn: await source.lsn(), maxInFlightBytes: 1024 * 1024 });
    const lengths: number[] = [];
    for await (const event of stream) {
      if (event.kind === 'insert') lengths.push(String(event.new.note).length);
    }
    assert.deepEqual(lengths, [bytes, bytes, bytes]);
  });

  test('an idle stream lives on while the server says nothing by itself', async (t) => {
    const source = await Source.open(t, server());
    const stream = source.stream({ livenessTimeoutMs: 300, feedbackIntervalMs: 2_147_483_647 });
    const next = stream.nextEvent();
    await sleep(2_500);
    await source.insert(1);
    assert.equal((await next)?.kind, 'begin');
    assert.equal((await stream.nextEvent())?.kind, 'relation');
  });

  test('statuses say what was written, flushed and applied', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1);
    await source.insert(2);
    const stream = source.stream({ ack: 'manual', feedbackIntervalMs: 20 });
    const commits: bigint[] = [];
    while (commits.length < 2) {
      const event = await stream.nextEvent();
      if (event?.kind === 'commit') commits.push(event.commitEndLsn);
    }
    stream.ack(commits[0] ?? 0n);
    const column = (name: string) =>
      source.lsn(`(SELECT coalesce(${name}_lsn, '0/0') FROM pg_stat_replication r
                   JOIN pg_replication_slots s ON s.active_pid = r.pid WHERE slot_name = '${source.name}')`);
    await until(async () => (await column('flush')) === commits[0], 'flush is what was acknowledged');
    assert.equal(await column('replay'), commits[0]);
    assert.ok((await column('write')) >= (commits[1] ?? 0n), 'write is what was received');
    assert.ok((await column('sent')) >= (commits[1] ?? 0n));
  });
});

suite('stats', () => {
  const server = sharedServer();

  test('figures that fit what happened', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1, 20_000, 100);
    await source.insert(20_001);
    const stream = source.stream({ stopLsn: await source.lsn(), workers: 2 });
    const before = stream.stats();
    assert.equal(before.uptimeMs, 0);
    assert.equal(before.bytesReceived, 0);
    assert.equal(before.lagBytes, undefined);
    assert.equal(before.lagMs, undefined);
    for await (const _ of stream.batches());
    const stats = stream.stats();
    assert.equal(stats.changesReceived, 20_001);
    assert.equal(stats.unitsReceived, 2);
    assert.ok(stats.bytesReceived > 20_000 * 100 && stats.bytesReceived < 20_000 * 300, `${stats.bytesReceived}`);
    assert.ok(stats.reads > 0);
    assert.equal(stats.workers, 2);
    assert.ok(stats.workerBatches > 0);
    assert.ok(stats.workerBusyMs > 0);
    assert.ok(stats.mainThreadMs > 0);
    assert.ok(stats.uptimeMs > 0);
    assert.ok(stats.lagMs !== undefined && stats.lagMs >= 0 && stats.lagMs < 600_000);
    assert.equal(stats.workerRestarts, 0);
    assert.equal(stats.inFlightBytes, 0);
    assert.equal(stats.inFlightBatches, 0);
    assert.equal(stats.unitsUnacknowledged, 0);
    // After the end they are those of the end.
    const { connected, bytesPerSecond, changesPerSecond, readDelayMs } = stats;
    assert.deepEqual([connected, bytesPerSecond, changesPerSecond, readDelayMs], [false, 0, 0, 0]);
    await sleep(20);
    assert.deepEqual(stream.stats(), stats);
    for (const [name, value] of Object.entries(stats)) {
      if (typeof value === 'number') assert.ok(Number.isFinite(value), `${name} is ${value}`);
    }
  });

  test('lagBytes arrives, grows with what is not acknowledged, and goes back to nearly nothing', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1);
    const stream = source.stream({ ack: 'manual', feedbackIntervalMs: 20 });
    let commit = 0n;
    while (commit === 0n) {
      const event = await stream.nextEvent();
      if (event?.kind === 'commit') commit = event.commitEndLsn;
    }
    await source.insert(2, 5_000, 200);
    await until(() => (stream.stats().lagBytes ?? 0n) > 1_000_000n, 'the lag shows');
    let last = 0n;
    while (last === 0n) {
      const event = await stream.nextEvent();
      if (event?.kind === 'commit') last = event.commitEndLsn;
    }
    stream.ack(last);
    await until(async () => {
      await stream.nextEvent({ timeoutMs: 10 });
      return (stream.stats().lagBytes ?? 1_000_000n) < 100_000n;
    }, 'the lag is gone');
  });

  test('without a connection to spare there is no lagBytes, and stop() does not wait for one', async (t) => {
    const source = await Source.open(t, server());
    const proxy = await TcpProxy.open(t, server().port);
    const stream = source.stream({ connection: proxy.connectionString() });
    const ended = drain(stream).catch(() => {});
    await stream.start();
    proxy.silence();
    assert.equal(stream.stats().lagBytes, undefined);
    await sleep(50);
    const startedAt = performance.now();
    await stream.stop({ drain: 'none' });
    assert.ok(performance.now() - startedAt < 30_000);
    await ended;
  });
});
