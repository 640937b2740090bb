import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { SlotError } from '../../src/errors.js';
import type { WalEvent } from '../../src/pgoutput/event.js';
import type { WalStream } from '../../src/stream/wal-stream.js';
import { PG_MAJOR, sharedServer } from '../support/server.js';
import { drain, failure, idOf, PATIENCE_MS, range, Source } from './source.js';

const INSERT = 'I'.charCodeAt(0);
const COMMIT = 'C'.charCodeAt(0);
/** Several batches long, and slow enough to be in the middle of. */
const LARGE = 30_000;

/** Kinds by first letter, as in raw messages, one consumer style as the other. */
const STYLES: Record<string, (stream: WalStream, onEvent: (tag: number) => Promise<void> | void) => Promise<void>> = {
  async 'for await'(stream, onEvent) {
    for await (const event of stream) await onEvent(tagOf(event));
  },
  async batches(stream, onEvent) {
    for await (const batch of stream.batches()) for (const event of batch) await onEvent(tagOf(event));
  },
  async rawMessages(stream, onEvent) {
    for await (const { data } of stream.rawMessages()) await onEvent(data[0] ?? 0);
  },
};

function tagOf(event: WalEvent): number {
  return event.kind === 'insert' ? INSERT : event.kind === 'commit' ? COMMIT : 0;
}

suite('stopLsn', () => {
  const server = sharedServer();

  test('everything committed before, the crossing transaction whole, then a clean end', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1);
    await source.insert(2);
    // It begins before the position and ends after it.
    await source.client.query('BEGIN');
    await source.insert(10, 14);
    await source.query(`SELECT pg_logical_emit_message(false, 'x', repeat('x', 10000))`);
    const stopLsn = await source.lsn('pg_current_wal_insert_lsn()');
    await source.insert(15, 19);
    await source.client.query('COMMIT');
    await source.insert(20);
    const events = await drain(source.stream({ stopLsn }));
    assert.deepEqual(events.filter((event) => event.kind === 'insert').map(idOf), [1, 2, ...range(10, 19)]);
    assert.equal(events.at(-1)?.kind, 'commit');
    // The end confirmed what was delivered.
    assert.deepEqual(await source.rest(), [20]);
  });

  test('a transaction that begins at or after it is not delivered', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1);
    const stopLsn = await source.lsn();
    await source.insert(2);
    for (const style of ['events', 'batches', 'raw'] as const) {
      const stream = source.stream({ stopLsn, ack: 'manual' });
      let inserts = 0;
      if (style === 'events') for await (const event of stream) inserts += event.kind === 'insert' ? 1 : 0;
      if (style === 'batches')
        for await (const batch of stream.batches()) for (const { kind } of batch) inserts += kind === 'insert' ? 1 : 0;
      if (style === 'raw') for await (const { data } of stream.rawMessages()) inserts += data[0] === INSERT ? 1 : 0;
      assert.equal(inserts, 1, style);
      await source.free();
    }
  });

  test('each commit end is a position to stop at', async (t) => {
    const source = await Source.open(t, server());
    const ends: bigint[] = [];
    for (const id of range(1, 4)) await source.insert(id);
    for await (const event of source.stream({ stopLsn: await source.lsn(), ack: 'manual' })) {
      if (event.kind === 'commit') ends.push(event.commitEndLsn);
    }
    for (const [at, stopLsn] of ends.entries()) {
      await source.free();
      const events = await drain(source.stream({ stopLsn, ack: 'manual' }));
      assert.deepEqual(events.filter((event) => event.kind === 'insert').map(idOf), range(1, at + 1));
    }
  });

  test('on an idle server only keepalives pass it', async (t) => {
    const source = await Source.open(t, server());
    await source.query(`CREATE TABLE ${source.name}_other (id int)`);
    // Up to 14 a transaction without published changes is sent all the same, empty.
    const empty = async (stream: WalStream) => {
      const kinds = (await drain(stream)).map((event) => event.kind);
      assert.deepEqual(kinds, PG_MAJOR >= 15 ? [] : kinds.map((_, at) => (at % 2 === 0 ? 'begin' : 'commit')));
    };
    // In the past, at the very end, and in a future that comes with writes that are not published.
    assert.deepEqual(await drain(source.stream({ stopLsn: 1n })), []);
    await source.free();
    await empty(source.stream({ stopLsn: await source.lsn() }));
    await source.free();
    const stopLsn = (await source.lsn()) + 20_000n;
    const ended = empty(source.stream({ stopLsn }));
    await sleep(300);
    await source.query(`INSERT INTO ${source.name}_other SELECT generate_series(1, 2000)`);
    await ended;
    assert.ok((await source.lsn()) >= stopLsn);
  });

  test('in the past, with transactions waiting', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1);
    assert.deepEqual(await drain(source.stream({ stopLsn: 1n })), []);
    assert.deepEqual(await source.rest(), [1]);
  });

  test('a stand-alone message at and after it', async (t) => {
    const source = await Source.open(t, server());
    const emit = () => source.query(`SELECT pg_logical_emit_message(false, 'p', 'x')`);
    await emit();
    await emit();
    await source.insert(1);
    const lsns: bigint[] = [];
    for await (const event of source.stream({ stopLsn: await source.lsn(), messages: true, ack: 'manual' })) {
      if (event.kind === 'message') lsns.push(event.lsn);
    }
    assert.equal(lsns.length, 2);
    await source.free();
    const events = await drain(source.stream({ stopLsn: lsns[0] ?? 0n, messages: true, ack: 'manual' }));
    assert.deepEqual(
      events.map((event) => event.kind === 'message' && event.lsn),
      lsns.slice(0, 1),
    );
  });

  test('nextEvent() ends with undefined', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1);
    const stream = source.stream({ stopLsn: await source.lsn() });
    let count = 0;
    while ((await stream.nextEvent()) !== undefined) count++;
    assert.equal(count, 4);
  });
});

suite('startLsn', () => {
  const server = sharedServer();

  test('ahead of what is confirmed: from there', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1);
    const startLsn = await source.lsn();
    await source.insert(2);
    const events = await drain(source.stream({ startLsn, stopLsn: await source.lsn() }));
    assert.deepEqual(events.filter((event) => event.kind === 'insert').map(idOf), [2]);
  });

  test('behind what is confirmed: a gap', async (t) => {
    const source = await Source.open(t, server());
    const startLsn = await source.confirmed();
    await source.insert(1);
    await drain(source.stream({ stopLsn: await source.lsn() }));
    await source.free();
    const error = await failure(source.stream({ startLsn }).start());
    assert.ok(error instanceof SlotError);
    assert.equal(error.reason, 'gap');
    assert.equal(error.slotName, source.name);
    assert.equal(error.retryable, false);
    const exact = source.stream({ startLsn: await source.confirmed() });
    await exact.start();
  });
});

suite('stop()', () => {
  const server = sharedServer();

  for (const [style, consume] of Object.entries(STYLES)) {
    test(`${style}: in a large transaction, delivers it whole and no more`, async (t) => {
      const source = await Source.open(t, server());
      await source.insert(1, LARGE, 100);
      await source.insert(LARGE + 1);
      await source.insert(LARGE + 2);
      const stream = source.stream();
      let inserts = 0;
      let commits = 0;
      let stopped: Promise<void> | undefined;
      await consume(stream, (tag) => {
        if (tag === COMMIT) commits++;
        if (tag === INSERT && ++inserts === 100) stopped = stream.stop({ timeoutMs: PATIENCE_MS });
      });
      assert.deepEqual({ inserts, commits }, { inserts: LARGE, commits: 1 });
      await stopped;
      assert.deepEqual(await source.rest(), [LARGE + 1, LARGE + 2]);
    });

    test(`${style}: between transactions, nothing more`, async (t) => {
      const source = await Source.open(t, server());
      for (const id of range(1, 5)) await source.insert(id);
      // Each its own batch, or they would be delivered together.
      const stream = source.stream();
      let commits = 0;
      let inserts = 0;
      let stopped: Promise<void> | undefined;
      await consume(stream, (tag) => {
        if (tag === INSERT) inserts++;
        if (tag === COMMIT && ++commits === 2) stopped = stream.stop({ timeoutMs: PATIENCE_MS });
      });
      await stopped;
      if (style !== 'batches') assert.deepEqual({ inserts, commits }, { inserts: 2, commits: 2 });
      assert.deepEqual(await source.rest(), range(commits + 1, 5));
    });

    test(`${style}: drain 'none' ends at once, and leaves the transaction unconfirmed`, async (t) => {
      const source = await Source.open(t, server());
      await source.insert(1, LARGE, 100);
      const stream = source.stream();
      let inserts = 0;
      let stopped: Promise<void> | undefined;
      await consume(stream, (tag) => {
        if (tag === INSERT && ++inserts === 100) stopped = stream.stop({ drain: 'none' });
      });
      await stopped;
      assert.ok(inserts < LARGE, `${inserts} rows`);
      assert.equal((await source.rest()).length, LARGE);
    });
  }

  test('nextEvent(): a poller that waits gets the transaction whole', async (t) => {
    const source = await Source.open(t, server());
    const stream = source.stream();
    const first = stream.nextEvent();
    await sleep(200);
    await source.insert(1, 1000);
    await source.insert(1001);
    let inserts = 0;
    let stopped: Promise<void> | undefined;
    for (let event = await first; event !== undefined; ) {
      if (event?.kind === 'insert') inserts++;
      const next = stream.nextEvent();
      if (inserts === 100) stopped ??= stream.stop({ timeoutMs: PATIENCE_MS });
      event = await next;
    }
    await stopped;
    assert.equal(inserts, 1000);
    assert.deepEqual(await source.rest(), [1001]);
  });

  test('from a timer, while the consumer is slow', async (t) => {
    const source = await Source.open(t, server());
    for (const id of range(1, 20)) await source.insert(id);
    const stream = source.stream();
    let stopped: Promise<void> | undefined;
    setTimeout(() => {
      stopped = stream.stop();
    }, 250);
    const ids: number[] = [];
    let complete = 0;
    for await (const event of stream) {
      if (event.kind === 'insert') ids.push(idOf(event));
      if (event.kind === 'commit') complete++;
      await sleep(30);
    }
    await stopped;
    assert.equal(ids.length, complete);
    assert.ok(complete < 20);
    assert.deepEqual(await source.rest(), range(complete + 1, 20));
  });

  test('its time limit bounds a consumer that does not come back', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1, 100);
    const stream = source.stream();
    const iterator = stream[Symbol.asyncIterator]();
    await iterator.next();
    const startedAt = performance.now();
    await stream.stop({ timeoutMs: 300 });
    const elapsedMs = performance.now() - startedAt;
    assert.ok(elapsedMs >= 290 && elapsedMs < PATIENCE_MS / 2, `${elapsedMs} ms`);
    assert.equal((await iterator.next()).done, true);
    assert.equal((await source.rest()).length, 100);
  });

  test('twice at once, and awaited inside the loop', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1);
    const stream = source.stream();
    const loop = drain(stream);
    await sleep(300);
    const startedAt = performance.now();
    const timeoutMs = 60_000;
    await Promise.all([
      stream.stop({ timeoutMs }),
      stream.stop({ timeoutMs }),
      stream.stop({ drain: 'none', timeoutMs }),
    ]);
    assert.ok(performance.now() - startedAt < timeoutMs / 2, 'nobody waits out the limit');
    await loop;
    await source.free();
    await source.insert(2);
    const other = source.stream();
    for await (const _ of other) await other.stop({ timeoutMs: 50 });
    await source.free();
  });

  test('while it starts', async (t) => {
    const source = await Source.open(t, server());
    for (const delayMs of [0, 1, 3, 6, 10, 15, 25, 40]) {
      const stream = source.stream();
      const starting = stream.start().then(
        () => 'started',
        (error: Error) => error.message,
      );
      await sleep(delayMs);
      await stream.stop();
      assert.match(await starting, /^started$|stopped/);
      await source.free();
      const consumed = source.stream();
      const loop = drain(consumed);
      await sleep(delayMs);
      await consumed.stop();
      assert.deepEqual(await loop, []);
      await source.free();
    }
  });
});

suite('signal', () => {
  const server = sharedServer();

  async function abortIn(t: TestContext, when: 'before' | 'start' | 'idle' | 'busy', delayMs = 0): Promise<void> {
    const source = await Source.open(t, server());
    const reason = new Error('enough');
    const controller = new AbortController();
    if (when === 'before') controller.abort(reason);
    const stream = source.stream({ signal: controller.signal });
    if (when === 'idle') await stream.start();
    if (when === 'busy') await source.insert(1, LARGE, 100);
    let events = 0;
    const loop = (async () => {
      for await (const _ of stream) if (++events === 100) controller.abort(reason);
    })();
    const failed = failure(loop);
    if (when === 'start' || when === 'idle') {
      await sleep(delayMs);
      controller.abort(reason);
    }
    assert.equal(await failed, reason);
    if (when === 'busy') assert.ok(events < LARGE);
    // Once; then it has ended.
    if (when === 'idle' || when === 'busy') assert.deepEqual(await drain(stream), []);
    await source.free();
    await stream.stop();
  }

  test('aborted before', (t) => abortIn(t, 'before'));
  test('in the middle of a transaction', (t) => abortIn(t, 'busy'));
  test('while nothing comes', (t) => abortIn(t, 'idle', 200));
  test('while a busy consumer lets timers have their turn', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1, 10);
    const reason = new Error('enough');
    const controller = new AbortController();
    const stream = source.stream({ signal: controller.signal });
    const failed = failure(
      (async () => {
        for await (const _ of stream.batches()) {
          const until = performance.now() + 50;
          while (performance.now() < until);
          setImmediate(() => controller.abort(reason));
        }
      })(),
    );
    assert.equal(await failed, reason);
  });

  for (const delayMs of [0, 2, 5, 10, 20, 40]) {
    test(`${delayMs} ms after the start began`, (t) => abortIn(t, 'start', delayMs));
  }

  test('while a slot is being created', async (t) => {
    const source = await Source.open(t, server());
    await source.client.query('BEGIN; SELECT pg_current_xact_id()');
    const reason = new Error('enough');
    const controller = new AbortController();
    const name = `${source.name}_aborted`;
    const stream = source.stream({ slot: { name, create: 'if-missing' }, signal: controller.signal });
    const failed = failure(stream.start());
    await sleep(300);
    controller.abort(reason);
    assert.equal(await failed, reason);
    await source.client.query('COMMIT');
    const slots = await source.query(`SELECT FROM pg_replication_slots WHERE slot_name = '${name}'`);
    assert.equal(slots.length, 0);
  });

  test('leaves no listener behind', async (t) => {
    const source = await Source.open(t, server());
    const controller = new AbortController();
    const { signal } = controller;
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on('warning', onWarning);
    for (let round = 0; round < 15; round++) {
      const stream = source.stream({ signal, stopLsn: 1n });
      await drain(stream);
      await source.free();
    }
    const stream = source.stream();
    for (let round = 0; round < 15; round++) await stream.nextEvent({ signal, timeoutMs: 1 });
    await sleep(10);
    process.off('warning', onWarning);
    assert.deepEqual(warnings, []);
  });
});

suite('the process', () => {
  const server = sharedServer();
  const consumer = fileURLToPath(new URL('./exiting-consumer.js', import.meta.url));

  for (const how of ['break', 'stop', 'abort', 'stop-lsn', 'error', 'unused', 'stats', 'transform', 'failed-start']) {
    test(`exits by itself: ${how}`, async (t) => {
      const source = await Source.open(t, server());
      await source.insert(1, 20_000, 100);
      const args = [consumer, how, server().connectionString(), source.name, String(await source.lsn())];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      let output = '';
      child.stdout.on('data', (bytes) => {
        output += bytes;
      });
      const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
      const [code, signal] = await once(child, 'exit');
      clearTimeout(timer);
      assert.deepEqual({ code, signal, output }, { code: 0, signal: null, output: 'end of the program\n' });
    });
  }
});
