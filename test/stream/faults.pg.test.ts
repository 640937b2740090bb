import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import {
  AuthenticationError,
  ConfigurationError,
  ConnectionError,
  ServerError,
  SlotError,
  TimeoutError,
  WalStreamError,
} from '../../src/errors.js';
import type { WalStreamOptions } from '../../src/options.js';
import { WalStream } from '../../src/stream/wal-stream.js';
import { connect, sharedServer, sql, withServer } from '../support/server.js';
import { drain, failure, idOf, PATIENCE_MS, range, Source, until } from './source.js';
import { TcpProxy } from './tcp-proxy.js';

/** What is open in this process, except what belongs to no stream. */
function openResources(): string[] {
  return process
    .getActiveResourcesInfo()
    .filter((name) => /TCP|TLS|Worker|MessagePort|Timeout/.test(name))
    .sort();
}

/** Waits until nothing is open that was not before, by kind: what else runs here has timers that come and go. */
async function nothingNewSince(before: readonly string[]): Promise<void> {
  let more: string[] = [];
  for (let patience = 0; patience < 250; patience++) {
    const known = [...before];
    more = openResources().filter((name) => {
      const at = known.indexOf(name);
      if (at !== -1) known.splice(at, 1);
      return at === -1;
    });
    if (more.length === 0) return;
    await sleep(20);
  }
  assert.deepEqual(more, [], 'no socket, thread or timer is left');
}

function retryable(error: unknown): boolean {
  assert.ok(error instanceof ConnectionError || error instanceof ServerError, String(error));
  assert.equal(error.retryable, true);
  return true;
}

suite('a server that is lost', () => {
  test('SIGKILL: after everything received, a retryable error', async (t) => {
    const server = await withServer(t);
    const source = await Source.open(t, server);
    for (const id of range(1, 50)) await source.insert(id);
    const stream = source.stream();
    const ids: number[] = [];
    const error = await failure(
      (async () => {
        for await (const event of stream) {
          if (event.kind !== 'insert') continue;
          ids.push(idOf(event));
          if (ids.length === 50) await server.kill();
        }
      })(),
    );
    retryable(error);
    assert.deepEqual(ids, range(1, 50));
    assert.equal(await stream.nextEvent(), undefined, 'the error is thrown once');
    await stream.stop();
  });

  test('a fast shutdown: a retryable error', async (t) => {
    const server = await withServer(t);
    const source = await Source.open(t, server);
    await source.insert(1);
    const stream = source.stream({ feedbackIntervalMs: 20 });
    const failed = failure(drain(stream));
    await stream.start();
    await sleep(300);
    // It waits for its walsenders to have everything confirmed, which an idle stream has.
    await server.stop('fast');
    retryable(await failed);
  });

  test('frozen: TimeoutError when livenessTimeoutMs is over, and stop() ends', async (t) => {
    const server = await withServer(t);
    const source = await Source.open(t, server);
    await source.insert(1);
    const stream = source.stream({ livenessTimeoutMs: 1_000 });
    let events = 0;
    const failed = failure(
      (async () => {
        for await (const _ of stream) events++;
      })(),
    );
    await stream.start();
    const pid = await source.activePid();
    assert.ok(pid !== null);
    await sleep(300);
    process.kill(pid, 'SIGSTOP');
    const startedAt = performance.now();
    try {
      const error = await failed;
      assert.ok(error instanceof TimeoutError, String(error));
      assert.equal(error.timeoutMs, 1_000);
      assert.equal(error.phase, 'streaming');
      assert.equal(error.retryable, true);
      assert.ok(performance.now() - startedAt < PATIENCE_MS / 2);
      assert.equal(events, 4);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  });
});

suite('a connection that is lost', () => {
  const server = sharedServer();

  test('the walsender is terminated: the error says so', async (t) => {
    const source = await Source.open(t, server());
    for (const id of range(1, 20)) await source.insert(id);
    const stream = source.stream();
    const ids: number[] = [];
    const error = await failure(
      (async () => {
        for await (const event of stream) {
          if (event.kind !== 'insert') continue;
          ids.push(idOf(event));
          if (ids.length === 20) await source.query(`SELECT pg_terminate_backend(${await source.activePid()})`);
        }
      })(),
    );
    assert.ok(error instanceof ServerError, String(error));
    assert.equal(error.sqlState, '57P01');
    assert.equal(error.retryable, true);
    assert.deepEqual(ids, range(1, 20));
    // The consumer had come back from 19 of them.
    assert.ok((await source.rest()).length <= 20);
  });

  test('cut in the middle of a message: everything complete is delivered, then a retryable error', async (t) => {
    const source = await Source.open(t, server());
    const proxy = await TcpProxy.open(t, server().port);
    await source.insert(1, 20_000, 100);
    for (const cutAfterBytes of [300_000, 300_001, 1_000_003]) {
      const stream = source.stream({ connection: proxy.connectionString() });
      // With what is said before it streams.
      proxy.cutAfterBytes = proxy.bytesForwarded + cutAfterBytes;
      await stream.start();
      const ids: number[] = [];
      const error = await failure(
        (async () => {
          for await (const event of stream) if (event.kind === 'insert') ids.push(idOf(event));
        })(),
      );
      assert.ok(error instanceof ConnectionError, String(error));
      assert.equal(error.phase, 'streaming');
      assert.equal(error.retryable, true);
      assert.deepEqual(ids, range(1, ids.length));
      // 5 + 25 bytes of framing and about 124 of the row.
      assert.ok(ids.length > cutAfterBytes / 200, `${ids.length} rows`);
      proxy.reopen();
      await source.free();
    }
    assert.equal((await source.rest()).length, 20_000, 'nothing of the transaction was confirmed');
  });

  test('reset', async (t) => {
    const source = await Source.open(t, server());
    const proxy = await TcpProxy.open(t, server().port);
    await source.insert(1);
    const stream = source.stream({ connection: proxy.connectionString() });
    let events = 0;
    const error = await failure(
      (async () => {
        for await (const _ of stream) if (++events === 4) proxy.cut();
      })(),
    );
    assert.ok(error instanceof ConnectionError, String(error));
    assert.equal(error.retryable, true);
    assert.equal(events, 4);
  });

  test('silent: TimeoutError when livenessTimeoutMs is over', async (t) => {
    const source = await Source.open(t, server());
    const proxy = await TcpProxy.open(t, server().port);
    await source.insert(1);
    const stream = source.stream({ connection: proxy.connectionString(), livenessTimeoutMs: 600 });
    let events = 0;
    const startedAt = performance.now();
    const error = await failure(
      (async () => {
        for await (const _ of stream) if (++events === 4) proxy.silence();
      })(),
    );
    assert.ok(error instanceof TimeoutError, String(error));
    assert.equal(error.retryable, true);
    assert.equal(events, 4);
    assert.ok(performance.now() - startedAt < PATIENCE_MS / 2);
  });

  test('silent from the start: the start has its limit', async (t) => {
    const source = await Source.open(t, server());
    const proxy = await TcpProxy.open(t, server().port);
    proxy.silence();
    const connection = `${proxy.connectionString()}&connect_timeout=1`;
    const error = await failure(source.stream({ connection }).start());
    assert.ok(error instanceof TimeoutError, String(error));
    assert.equal(error.retryable, true);
  });

  test('silent while the window is full: noticed once it is read again', async (t) => {
    const source = await Source.open(t, server());
    const proxy = await TcpProxy.open(t, server().port);
    await source.insert(1, 30_000, 200);
    const stream = source.stream({
      connection: proxy.connectionString(),
      livenessTimeoutMs: 600,
      maxInFlightBytes: 1024 * 1024,
    });
    let batches = 0;
    let silentMs = 0;
    const error = await failure(
      (async () => {
        for await (const _ of stream.batches()) {
          if (++batches > 1) continue;
          await until(() => stream.stats().inFlightBytes >= 1024 * 1024, 'the window is full');
          proxy.silence();
          // No loss is reported while it is our consumer that is slow.
          await sleep(1_500);
          silentMs = performance.now();
        }
      })(),
    );
    assert.ok(error instanceof TimeoutError, String(error));
    // A walsender that is ended says so first, and waits for room to say it.
    proxy.cut();
    assert.ok(batches > 1, 'what was received is delivered');
    assert.ok(performance.now() > silentMs);
  });
});

suite('errors of the start', () => {
  const server = sharedServer({ password: 'secret of the test' });

  /** The start fails, and leaves nothing open. */
  async function startError(source: Source, options: Partial<WalStreamOptions>): Promise<WalStreamError> {
    const before = openResources();
    const stream = source.stream(options);
    const error = await failure(stream.start());
    assert.ok(error instanceof WalStreamError, inspect(error));
    await nothingNewSince(before);
    assert.ok(!inspect(error).includes('secret of the test'));
    // Whoever consumes it gets the same.
    assert.equal(await failure(drain(stream)), error);
    return error;
  }

  function url(change: (url: URL) => void): string {
    const result = new URL(server().connectionString());
    change(result);
    return result.href;
  }

  test('wrong password', async (t) => {
    const source = await Source.open(t, server());
    const connection = url((given) => {
      given.password = 'another secret';
    });
    const error = await startError(source, { connection });
    assert.ok(error instanceof AuthenticationError);
    assert.equal(error.retryable, false);
    assert.equal(error.sqlState, '28P01');
    assert.ok(!inspect(error).includes('another secret'));
  });

  test('wrong port', async (t) => {
    const source = await Source.open(t, server());
    const connection = url((given) => {
      given.port = '1';
    });
    const error = await startError(source, { connection });
    assert.ok(error instanceof ConnectionError);
    assert.equal(error.retryable, true);
    assert.equal(error.phase, 'connect');
  });

  test('missing database', async (t) => {
    const source = await Source.open(t, server());
    const error = await startError(source, { connection: server().connectionString('nowhere') });
    assert.ok(error instanceof ServerError, error.message);
    assert.equal(error.sqlState, '3D000');
    assert.equal(error.retryable, false);
    assert.match(error.message, /nowhere/);
  });

  test('missing slot', async (t) => {
    const source = await Source.open(t, server());
    const error = await startError(source, { slot: 'no_such_slot' });
    assert.ok(error instanceof SlotError);
    assert.equal(error.reason, 'missing');
    assert.equal(error.slotName, 'no_such_slot');
    assert.match(error.message, /pg_create_logical_replication_slot\('no_such_slot', 'pgoutput'/);
  });

  test('slot in use', async (t) => {
    const source = await Source.open(t, server());
    const holder = source.stream();
    await holder.start();
    const pid = await source.activePid();
    const error = await startError(source, {});
    assert.ok(error instanceof SlotError);
    assert.equal(error.reason, 'in-use');
    assert.equal(error.retryable, true);
    assert.match(error.message, new RegExp(`\\b${pid}\\b`));
  });

  test('missing publication', async (t) => {
    const source = await Source.open(t, server());
    const error = await startError(source, { publications: [source.name, 'no such publication'] });
    assert.ok(error instanceof ConfigurationError);
    assert.equal(error.option, 'publications');
    assert.match(error.message, /CREATE PUBLICATION "no such publication"/);
  });

  test('a physical slot', async (t) => {
    const source = await Source.open(t, server());
    const name = `${source.name}_physical`;
    await source.query(`SELECT pg_create_physical_replication_slot('${name}')`);
    const error = await startError(source, { slot: name });
    assert.ok(error instanceof ConfigurationError);
    assert.equal(error.option, 'slot.name');
    assert.match(error.message, /physical/);
    await source.query(`SELECT pg_drop_replication_slot('${name}')`);
  });

  test('a slot of another database', async (t) => {
    const source = await Source.open(t, server());
    const name = `${source.name}_elsewhere`;
    await source.query(`CREATE DATABASE ${name}`);
    const connection = server().connectionString(name);
    const elsewhere = await connect(server(), name);
    await elsewhere.query(`CREATE PUBLICATION ${source.name} FOR ALL TABLES`);
    await elsewhere.end();
    const error = await startError(source, { connection });
    assert.ok(error instanceof ConfigurationError);
    assert.equal(error.option, 'slot.name');
    assert.match(error.message, /belongs to database "postgres"/);
  });

  test('a role that may not replicate', async (t) => {
    const source = await Source.open(t, server());
    await source.query(`CREATE ROLE ${source.name}_reader LOGIN PASSWORD 'secret of the test'`);
    const connection = url((given) => {
      given.username = `${source.name}_reader`;
    });
    const error = await startError(source, { connection });
    assert.ok(error instanceof AuthenticationError, inspect(error));
    assert.equal(error.method, 'privilege');
    assert.equal(error.retryable, false);
    assert.equal(error.sqlState, '42501');
  });

  test('an aborted start leaves nothing', async (t) => {
    const source = await Source.open(t, server());
    const before = openResources();
    const reason = new Error('enough');
    assert.equal(await failure(source.stream({ signal: AbortSignal.abort(reason) }).start()), reason);
    await nothingNewSince(before);
  });

  test('wal_level too low', async (t) => {
    const low = await withServer(t, { settings: { wal_level: 'replica' } });
    await sql(low, 'CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t').catch(() => {});
    const stream = new WalStream({ connection: low.connectionString(), slot: 's', publications: 'p' });
    const error = await failure(stream.start());
    assert.ok(error instanceof ConfigurationError, inspect(error));
    assert.match(error.message, /wal_level/);
    assert.match(error.message, /ALTER SYSTEM SET wal_level = 'logical'/);
    await stream.stop();
  });

  test('nothing secret and no row in what can be printed', async (t) => {
    const source = await Source.open(t, server());
    await source.query(`INSERT INTO ${source.name} VALUES (1, 'value of the row')`);
    const stream = source.stream();
    assert.equal((await stream.nextEvent())?.kind, 'begin');
    await source.query(`SELECT pg_terminate_backend(${await source.activePid()})`);
    const error = await failure(drain(stream));
    for (const shown of [stream, stream.stats(), error]) {
      for (const options of [{}, { showHidden: true, depth: 20 }, { getters: true, depth: 20 }]) {
        const text = inspect(shown, options);
        assert.ok(!text.includes('secret of the test'), text);
        assert.ok(!text.includes('value of the row'), text);
      }
      assert.ok(!String(shown).includes('secret'));
    }
  });
});
