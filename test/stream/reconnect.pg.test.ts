import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionError, SlotError, type WalEvent, type WalStream, type WalStreamOptions } from '../../src/index.js';
import { assertSameUnits, CommittedView } from '../support/committed-view.js';
import { createLargeSchema, LARGE_PUBLICATION, runLargeTransactions } from '../support/large-transactions.js';
import { SEED } from '../support/seed.js';
import { connect, PG_MAJOR, sharedServer, sql, withServer } from '../support/server.js';
import { Random } from '../support/workload.js';
import { drain, failure, idOf, range, Source, until } from './source.js';
import { TcpProxy } from './tcp-proxy.js';

const QUICKLY = { minDelayMs: 5, maxDelayMs: 200 };

/** Cuts the connections after some thousand bytes, again and again, until the stream has ended. */
function cutAgainAndAgain(proxy: TcpProxy, random: Random, most: number): () => void {
  const cutSoon = () => {
    proxy.reopen();
    proxy.cutAfterBytes = proxy.bytesForwarded + random.integer(2_000, most);
  };
  // What is quick may be through before the next.
  cutSoon();
  const timer = setInterval(cutSoon, 60);
  return () => {
    clearInterval(timer);
    proxy.reopen();
  };
}

suite(`a connection that is lost again and again, PostgreSQL ${PG_MAJOR}, seed ${SEED}`, () => {
  const server = sharedServer({ settings: { logical_decoding_work_mem: '64kB' } });

  const WAYS: Readonly<Record<string, (stream: WalStream, view: CommittedView) => Promise<void>>> = {
    'for await': async (stream, view) => {
      for await (const event of stream) view.take(event);
    },
    batches: async (stream, view) => {
      for await (const batch of stream.batches()) for (const event of batch) view.take(event);
    },
    'for await, streamed': async (stream, view) => {
      for await (const event of stream) view.take(event);
      assert.deepEqual(view.unfinished, []);
    },
    'batches, streamed': async (stream, view) => {
      for await (const batch of stream.batches()) for (const event of batch) view.take(event);
      assert.deepEqual(view.unfinished, []);
    },
    transactions: async (stream, view) => {
      for await (const item of stream.transactions()) await view.takeItem(item);
    },
    'transactions, streamed': async (stream, view) => {
      for await (const item of stream.transactions()) await view.takeItem(item);
    },
  };

  test('nothing lost, nothing twice, nothing out of order', async (t) => {
    const client = await connect(server());
    t.after(() => client.end());
    await createLargeSchema(client);
    const slots = ['oracle', ...Object.keys(WAYS).map((_, at) => `way_${at}`)];
    for (const slot of slots) await client.query(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
    await runLargeTransactions(server(), new Random(SEED));
    const [row] = await sql(server(), `SELECT pg_current_wal_insert_lsn() - '0/0' AS lsn`);
    const options = { publications: LARGE_PUBLICATION, messages: true, stopLsn: BigInt(String(row?.lsn)) };
    const source = await Source.open(t, server());
    const oracle = new CommittedView();
    for (const event of await drain(source.stream({ ...options, slot: 'oracle' }))) oracle.take(event);
    for (const [at, [name, consume]] of Object.entries(WAYS).entries()) {
      await t.test(name, async (t) => {
        const proxy = await TcpProxy.open(t, server().port);
        const stream = source.stream({
          ...options,
          slot: `way_${at}`,
          connection: proxy.connectionString(),
          streaming: name.includes('streamed') ? 'on' : 'off',
          spill: { memoryBytes: 64 * 1024 },
          retry: QUICKLY,
        });
        await stream.start();
        const stopCutting = cutAgainAndAgain(proxy, new Random(SEED + at), 300_000);
        // With what is left to do without faults, it ends.
        const calm = setTimeout(stopCutting, 8_000);
        const view = new CommittedView();
        try {
          await consume(stream, view);
        } finally {
          clearTimeout(calm);
          stopCutting();
        }
        assertSameUnits(view.units, oracle.units);
        const { reconnects } = stream.stats();
        assert.ok(reconnects > 0);
        t.diagnostic(`${reconnects} connections were lost`);
      });
    }
  });

  test('raw messages go on too, in the middle of a transaction', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1, 5_000, 100);
    const proxy = await TcpProxy.open(t, server().port);
    const stopLsn = await source.lsn();
    const stream = source.stream({ connection: proxy.connectionString(), retry: QUICKLY, stopLsn });
    await stream.start();
    const stopCutting = cutAgainAndAgain(proxy, new Random(SEED), 200_000);
    const calm = setTimeout(stopCutting, 5_000);
    const tags: string[] = [];
    for await (const { data } of stream.rawMessages()) tags.push(String.fromCharCode(data[0] ?? 0));
    clearTimeout(calm);
    stopCutting();
    assert.equal(tags.filter((tag) => tag === 'I').length, 5_000);
    assert.equal(tags.filter((tag) => tag === 'B').length, 1);
    assert.equal(tags.filter((tag) => tag === 'C').length, 1);
  });
});

suite('a server that is away for a while', () => {
  for (const mode of ['fast', 'immediate', 'kill'] as const) {
    test(`${mode === 'kill' ? 'SIGKILL' : `${mode} restart`}: the stream goes on`, async (t) => {
      const server = await withServer(t);
      const source = await Source.open(t, server);
      const stream = source.stream({ retry: QUICKLY, feedbackIntervalMs: 20 });
      const ids: number[] = [];
      const loop = (async () => {
        for await (const event of stream) {
          if (event.kind === 'insert') ids.push(idOf(event));
          if (ids.length === 30) break;
        }
      })();
      await stream.start();
      for (let round = 0; round < 3; round++) {
        const writer = await connect(server);
        for (const id of range(round * 10 + 1, round * 10 + 10)) {
          await writer.query(`INSERT INTO ${source.name} VALUES (${id}, 'x')`);
        }
        await writer.end();
        if (round === 2) break;
        if (mode === 'kill') await server.kill();
        await (mode === 'kill' ? server.restart() : server.restart(mode));
        await until(() => stream.stats().reconnects > round, 'the stream is back');
      }
      await loop;
      assert.deepEqual(ids, range(1, 30));
      assert.equal(stream.stats().reconnects, 2);
    });
  }

  test('a shutdown waits for what is not acknowledged only so long, and the stream comes back', async (t) => {
    const server = await withServer(t);
    const source = await Source.open(t, server);
    await source.insert(1);
    await source.insert(2);
    const stream = source.stream({ ack: 'manual', retry: QUICKLY });
    const events: WalEvent[] = [];
    const loop = (async () => {
      for await (const event of stream) {
        events.push(event);
        if (event.kind === 'insert' && idOf(event) === 3) break;
      }
    })();
    await until(() => events.filter(({ kind }) => kind === 'commit').length === 2, 'both are delivered');
    const startedAt = performance.now();
    await server.stop('fast');
    assert.ok(performance.now() - startedAt < 30_000);
    await server.restart();
    const writer = await connect(server);
    await writer.query(`INSERT INTO ${source.name} VALUES (3, 'x')`);
    await writer.end();
    await loop;
    // What was delivered before is not delivered again, though it is not acknowledged.
    assert.deepEqual(
      events.filter(({ kind }) => kind === 'insert').map((event) => idOf(event)),
      [1, 2, 3],
    );
  });

  test('a shutdown does not wait for a consumer that takes nothing, and nothing is lost', async (t) => {
    const server = await withServer(t);
    const source = await Source.open(t, server);
    // Far more than the window and both kernels' buffers hold.
    await source.insert(1, 60_000, 1_000);
    await source.insert(60_001);
    const stream = source.stream({ retry: QUICKLY, maxInFlightBytes: 1024 * 1024 });
    const ids: number[] = [];
    let wake = () => {};
    const asleep = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const loop = (async () => {
      for await (const event of stream) {
        if (event.kind !== 'insert') continue;
        ids.push(idOf(event));
        if (ids.length === 10) await asleep;
        if (idOf(event) === 60_001) break;
      }
    })();
    await until(() => stream.stats().inFlightBytes >= 1024 * 1024, 'the window is full');
    const startedAt = performance.now();
    await server.stop('fast');
    assert.ok(performance.now() - startedAt < 30_000, 'the server stops within a bound');
    await server.restart();
    await until(() => stream.stats().connected, 'the stream is back');
    wake();
    await loop;
    assert.deepEqual(ids, range(1, 60_001));
    assert.equal(stream.stats().reconnects, 1);
  });

  test('a bound on the attempts: then the last error', async (t) => {
    const server = await withServer(t);
    const source = await Source.open(t, server);
    await source.insert(1);
    const stream = source.stream({ retry: { maxAttempts: 3, minDelayMs: 1, maxDelayMs: 10 } });
    const seen: WalEvent[] = [];
    const failed = failure(
      (async () => {
        for await (const event of stream) {
          seen.push(event);
          if (event.kind === 'commit') await server.kill();
        }
      })(),
    );
    const error = await failed;
    assert.ok(error instanceof ConnectionError, String(error));
    assert.equal(error.phase, 'connect');
    assert.equal(seen.filter(({ kind }) => kind === 'insert').length, 1);
  });

  test('stop() and an abort while it is away end at once', async (t) => {
    const server = await withServer(t);
    const source = await Source.open(t, server);
    const reason = new Error('enough');
    const controller = new AbortController();
    const aborted = source.stream({ retry: {}, signal: controller.signal });
    const failed = failure(drain(aborted));
    await aborted.start();
    await server.kill();
    await until(() => !aborted.stats().connected, 'the loss is noticed');
    controller.abort(reason);
    assert.equal(await failed, reason);
    await server.restart();
    await source.free().catch(() => {});
    const stopped = source.stream({ retry: {} });
    const drained = drain(stopped);
    await stopped.start();
    await server.kill();
    await until(() => !stopped.stats().connected, 'the loss is noticed');
    const startedAt = performance.now();
    await stopped.stop({ timeoutMs: 60_000 });
    assert.ok(performance.now() - startedAt < 30_000);
    await drained;
  });

  test('start() tries again only when it is told to', async (t) => {
    const server = await withServer(t);
    const source = await Source.open(t, server);
    await source.insert(1);
    const stopLsn = await source.lsn();
    await server.stop();
    const options: Partial<WalStreamOptions> = { stopLsn, retry: { minDelayMs: 10, maxDelayMs: 100 } };
    const stream = source.stream(options);
    const drained = drain(stream);
    await sleep(500);
    await server.restart();
    assert.equal((await drained).filter(({ kind }) => kind === 'insert').length, 1);
    await server.stop();
    const { retry: _, ...once } = options;
    const error = await failure(source.stream({ ...once, retry: undefined }).start());
    assert.ok(error instanceof ConnectionError, String(error));
  });
});

suite('what must not go on in silence', () => {
  const server = sharedServer();

  async function lose(
    t: TestContext,
    source: Source,
    options: Partial<WalStreamOptions>,
    meanwhile: () => Promise<void>,
  ) {
    const proxy = await TcpProxy.open(t, source.server.port);
    const stream = source.stream({ connection: proxy.connectionString(), retry: QUICKLY, ...options });
    const failed = failure(drain(stream));
    await stream.start();
    proxy.cut();
    await meanwhile();
    proxy.reopen();
    return failed;
  }

  test('a temporary slot that went with its connection', async (t) => {
    const source = await Source.open(t, server());
    const slot = { name: `${source.name}_temporary`, create: 'if-missing', temporary: true } as const;
    const error = await lose(t, source, { slot }, async () => {});
    assert.ok(error instanceof SlotError && error.reason === 'gap', String(error));
    assert.match(error.message, /temporary/);
  });

  test('a slot that was dropped: it is not created again', async (t) => {
    const source = await Source.open(t, server());
    const error = await lose(t, source, { slot: { name: source.name, create: 'if-missing' } }, async () => {
      await source.free();
      await source.query(`SELECT pg_drop_replication_slot('${source.name}')`);
    });
    assert.ok(error instanceof SlotError && error.reason === 'missing', String(error));
  });

  test('a slot that somebody else moved on', async (t) => {
    const source = await Source.open(t, server());
    const error = await lose(t, source, {}, async () => {
      await source.free();
      await source.insert(1);
      await source.query(`SELECT pg_replication_slot_advance('${source.name}', pg_current_wal_insert_lsn())`);
    });
    assert.ok(error instanceof SlotError && error.reason === 'gap', String(error));
  });

  test('another server in its place', async (t) => {
    const source = await Source.open(t, server());
    const other = await withServer(t);
    const otherSource = await Source.open(t, other);
    await otherSource.query(`SELECT pg_create_logical_replication_slot('${source.name}', 'pgoutput')`);
    await otherSource.query(`CREATE PUBLICATION ${source.name}_x FOR ALL TABLES`);
    if (otherSource.name !== source.name) {
      await otherSource.query(`CREATE PUBLICATION ${source.name} FOR ALL TABLES`);
    }
    let port = source.server.port;
    const proxy = await TcpProxy.open(t, () => port);
    const stream = source.stream({ connection: proxy.connectionString(), retry: QUICKLY });
    const failed = failure(drain(stream));
    await stream.start();
    proxy.cut();
    port = other.port;
    proxy.reopen();
    const error = await failed;
    assert.ok(error instanceof SlotError && error.reason === 'mismatch', String(error));
    assert.match(error.message, /system identifier/);
  });
});
