import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigurationError } from '../../src/errors.js';
import type { WalEvent } from '../../src/pgoutput/event.js';
import type { RawMessage } from '../../src/stream/raw-batch.js';
import { sharedServer } from '../support/server.js';
import { drain, failure, idOf, range, Source, until } from './source.js';

const consumerError = (error: unknown) => error instanceof ConfigurationError && error.option === 'consumer';

suite('delivery', () => {
  const server = sharedServer();

  test('for await: every event in order, one at a time', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1);
    await source.insert(2, 4);
    const stopLsn = await source.lsn();
    const events = await drain(source.stream({ stopLsn }));
    assert.deepEqual(
      events.map((event) => event.kind),
      ['begin', 'relation', 'insert', 'commit', 'begin', 'insert', 'insert', 'insert', 'commit'],
    );
    const inserts = events.filter((event) => event.kind === 'insert');
    assert.deepEqual(inserts.map(idOf), [1, 2, 3, 4]);
    assert.deepEqual(
      inserts.map((event) => event.ordinal),
      [0, 0, 1, 2],
    );
  });

  test('batches(): the same events, in plain iterables', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1, 20_000, 60);
    await source.insert(20_001);
    const ids: number[] = [];
    let batches = 0;
    let sequence = -1;
    for await (const batch of source.stream({ stopLsn: await source.lsn() }).batches()) {
      batches++;
      assert.ok(batch.sequence > sequence);
      sequence = batch.sequence;
      let count = 0;
      for (const event of batch) {
        count++;
        if (event.kind === 'insert') ids.push(idOf(event));
      }
      assert.equal(count, batch.eventCount);
      // It may be walked again.
      assert.equal([...batch].length, count);
    }
    assert.ok(batches > 3, `${batches} batches`);
    assert.deepEqual(ids, range(1, 20_001));
  });

  test('nextEvent(): null when the time is up, undefined at the end, nothing lost', async (t) => {
    const source = await Source.open(t, server());
    const stream = source.stream();
    await stream.start();
    assert.equal(await stream.nextEvent({ timeoutMs: 0 }), null);
    assert.equal(await stream.nextEvent({ timeoutMs: 30 }), null);
    const ids: number[] = [];
    const writing = (async () => {
      for (const id of range(1, 40)) {
        await source.insert(id);
        await sleep(5);
      }
    })();
    let timeouts = 0;
    while (ids.length < 40) {
      const event = await stream.nextEvent({ timeoutMs: 3 });
      assert.notEqual(event, undefined);
      if (event === null) timeouts++;
      else if (event?.kind === 'insert') ids.push(idOf(event));
    }
    await writing;
    assert.deepEqual(ids, range(1, 40));
    assert.ok(timeouts > 0);
    await stream.stop();
    assert.equal(await stream.nextEvent({ timeoutMs: 1_000 }), undefined);
    assert.equal(await stream.nextEvent(), undefined);
  });

  test('nextEvent(): the end of the stream is undefined', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1);
    const stream = source.stream({ stopLsn: await source.lsn() });
    const kinds: (string | undefined)[] = [];
    for (let event = await stream.nextEvent(); event !== undefined; event = await stream.nextEvent()) {
      kinds.push(event?.kind);
    }
    assert.deepEqual(kinds, ['begin', 'relation', 'insert', 'commit']);
  });

  test('nextEvent(): an abort rejects with its reason and loses nothing', async (t) => {
    const source = await Source.open(t, server());
    const stream = source.stream();
    const reason = new Error('enough');
    assert.equal(await failure(stream.nextEvent({ signal: AbortSignal.abort(reason) })), reason);
    const ids: number[] = [];
    let aborts = 0;
    const writing = (async () => {
      for (const id of range(1, 40)) {
        await source.insert(id);
        await sleep(5);
      }
    })();
    while (ids.length < 40) {
      const controller = new AbortController();
      const timer = setTimeout(() => controller.abort(reason), 3);
      try {
        const event = await stream.nextEvent({ signal: controller.signal });
        if (event?.kind === 'insert') ids.push(idOf(event));
      } catch (error) {
        assert.equal(error, reason);
        aborts++;
      } finally {
        clearTimeout(timer);
      }
    }
    await writing;
    assert.deepEqual(ids, range(1, 40));
    assert.ok(aborts > 0);
  });

  test('nextEvent(): time limit and signal hold while the stream is still starting', async (t) => {
    const source = await Source.open(t, server());
    // The start waits for this transaction, which has an xid.
    await source.client.query('BEGIN; SELECT pg_current_xact_id()');
    const stream = source.stream({ slot: { name: `${source.name}_late`, create: 'if-missing' } });
    try {
      const reason = new Error('enough');
      assert.equal(await stream.nextEvent({ timeoutMs: 50 }), null);
      assert.ok((await failure(stream.nextEvent({ signal: AbortSignal.timeout(50) }))) instanceof DOMException);
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), 20);
      assert.equal(await failure(stream.nextEvent({ signal: controller.signal })), reason);
    } finally {
      await source.client.query('COMMIT');
    }
    await stream.start();
    await source.insert(1);
    assert.equal((await stream.nextEvent())?.kind, 'begin');
    await stream.stop({ drain: 'none' });
    await until(async () => {
      const [row] = await source.query(
        `SELECT count(*)::int AS active FROM pg_replication_slots WHERE slot_name = '${source.name}_late' AND active`,
      );
      return row?.active === 0;
    }, 'the slot is free');
    await source.query(`SELECT pg_drop_replication_slot('${source.name}_late')`);
  });

  test('nextEvent() and stop(): options of the wrong kind', async (t) => {
    const source = await Source.open(t, server());
    const stream = source.stream();
    await stream.start();
    const wrong = (option: string) => (error: unknown) =>
      error instanceof ConfigurationError && error.option === option;
    for (const timeoutMs of ['soon', Number.NaN, -1, 2 ** 31, Number.POSITIVE_INFINITY]) {
      await assert.rejects(stream.nextEvent({ timeoutMs: timeoutMs as number }), wrong('timeoutMs'), String(timeoutMs));
      await assert.rejects(stream.stop({ timeoutMs: timeoutMs as number }), wrong('timeoutMs'), String(timeoutMs));
    }
    await assert.rejects(stream.nextEvent({ signal: 'now' as never }), wrong('signal'));
    await assert.rejects(stream.stop({ drain: 'some' as never }), wrong('drain'));
    // Nothing has ended by that.
    await source.insert(1);
    assert.equal((await stream.nextEvent())?.kind, 'begin');
  });

  for (const binary of [false, true]) {
    test(`rawMessages(): payloads as the server decodes them for SQL, ${binary ? 'binary' : 'text'}`, async (t) => {
      const source = await Source.open(
        t,
        server(),
        'id int PRIMARY KEY, note text, at timestamptz DEFAULT now(), v float8',
      );
      const { name } = source;
      await source.query(
        `INSERT INTO ${name} SELECT g, repeat('x', g % 300), now(), g / 7.0 FROM generate_series(1, 6000) g`,
      );
      await source.query(`UPDATE ${name} SET note = 'y' WHERE id % 50 = 0`);
      await source.query(`UPDATE ${name} SET id = -id WHERE id = 7`);
      await source.query(`DELETE FROM ${name} WHERE id < 20`);
      await source.query(
        `SELECT pg_logical_emit_message(true, 'p', 'inside'), pg_logical_emit_message(false, 'p', 'alone')`,
      );
      await source.query(`ALTER TABLE ${name} ADD COLUMN extra numeric`);
      await source.query(`INSERT INTO ${name} (id, extra) VALUES (99999, 1.50)`);
      await source.query(`TRUNCATE ${name}`);
      await source.query(`SELECT pg_copy_logical_replication_slot('${name}', '${name}_copy')`);
      const expected = await source.query(
        `SELECT lsn, data FROM pg_logical_slot_peek_binary_changes('${name}_copy', NULL, NULL,
           'proto_version', '1', 'publication_names', '${name}', 'messages', 'true', 'binary', '${binary}')`,
      );
      await source.query(`SELECT pg_drop_replication_slot('${name}_copy')`);
      const stream = source.stream({ stopLsn: await source.lsn(), messages: true, binary });
      const raw: RawMessage[] = [];
      for await (const message of stream.rawMessages()) raw.push(message);
      assert.equal(raw.length, expected.length);
      raw.forEach((message, at) => {
        const data = expected[at]?.data as Buffer;
        assert.ok(message.data.equals(data), `message ${at}, ${String.fromCharCode(data[0] ?? 0)}`);
        assert.ok(message.serverTimeUs >= 0n);
      });
    });
  }

  test('rows from before a table was altered are what they were', async (t) => {
    const source = await Source.open(t, server());
    const { name } = source;
    await source.query(`INSERT INTO ${name} VALUES (1, 'one')`);
    await source.query(`ALTER TABLE ${name} ALTER COLUMN id TYPE text USING 'id ' || id`);
    await source.query(`INSERT INTO ${name} VALUES ('id 2', 'two')`);
    await source.query(`ALTER TABLE ${name} ADD COLUMN extra int DEFAULT 7`);
    await source.query(`INSERT INTO ${name} VALUES ('id 3', 'three', 3)`);
    await source.query(`ALTER TABLE ${name} DROP COLUMN note`);
    await source.query(`INSERT INTO ${name} VALUES ('id 4', 4)`);
    await source.query(`ALTER TABLE ${name} RENAME TO ${name}_renamed`);
    await source.query(`INSERT INTO ${name}_renamed VALUES ('id 5', 5)`);
    const events = await drain(source.stream({ stopLsn: await source.lsn() }));
    const rows = events.flatMap((event) => (event.kind === 'insert' ? [{ table: event.table, ...event.new }] : []));
    assert.deepEqual(rows, [
      { table: name, id: 1, note: 'one' },
      { table: name, id: 'id 2', note: 'two' },
      { table: name, id: 'id 3', note: 'three', extra: 3 },
      { table: name, id: 'id 4', extra: 4 },
      { table: `${name}_renamed`, id: 'id 5', extra: 5 },
    ]);
  });

  test('one consumer, one way', async (t) => {
    const source = await Source.open(t, server());
    const stream = source.stream();
    const iterator = stream[Symbol.asyncIterator]();
    assert.throws(() => stream.batches(), consumerError);
    assert.throws(() => stream.rawMessages(), consumerError);
    // Events one by one are one way, however they are asked for.
    await source.insert(1);
    assert.equal((await stream.nextEvent())?.kind, 'begin');
    assert.equal((await iterator.next()).value?.kind, 'relation');
    assert.equal(((await stream[Symbol.asyncIterator]().next()).value as WalEvent).kind, 'insert');
    const other = source.stream();
    other.batches();
    assert.throws(() => other[Symbol.asyncIterator](), consumerError);
    await assert.rejects(other.nextEvent(), consumerError);
  });

  test('two calls at once: the second is an error, and nothing is lost', async (t) => {
    for (const style of ['for await', 'nextEvent'] as const) {
      const source = await Source.open(t, server());
      const stream = source.stream();
      await stream.start();
      const iterator = stream[Symbol.asyncIterator]();
      const next = async () => (style === 'nextEvent' ? await stream.nextEvent() : (await iterator.next()).value);
      const first = next();
      await assert.rejects(next(), consumerError);
      await assert.rejects(next(), consumerError);
      await source.insert(1, 500);
      const ids: number[] = [];
      for (let event = await first; ids.length < 500; event = await next()) {
        if (event?.kind === 'insert') ids.push(idOf(event));
      }
      assert.deepEqual(ids, range(1, 500));
      // What is there already may be asked for at once.
      await source.insert(501, 600);
      await source.insert(601);
      await next();
      const asked = await Promise.allSettled(range(1, 50).map(next));
      for (const result of asked) if (result.status === 'rejected') assert.ok(consumerError(result.reason));
    }
  });

  test('leaving the loop closes the stream: break, throw, return()', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1, 10);
    for await (const event of source.stream()) if (event.kind === 'insert') break;
    await source.free();
    const problem = new Error('of the consumer');
    const consume = async () => {
      for await (const event of source.stream()) if (event.kind === 'insert') throw problem;
    };
    assert.equal(await failure(consume()), problem);
    await source.free();
    for await (const _ of source.stream().batches()) break;
    await source.free();
    for await (const _ of source.stream().rawMessages()) break;
    await source.free();

    const stream = source.stream();
    const iterator = stream[Symbol.asyncIterator]();
    assert.equal((await iterator.next()).done, false);
    assert.deepEqual(await iterator.return?.(), { done: true, value: undefined });
    assert.deepEqual(await iterator.next(), { done: true, value: undefined });
    await source.free();
    assert.deepEqual(await drain(stream), []);
  });

  test('return() while next() waits ends both', async (t) => {
    const source = await Source.open(t, server());
    const iterator = source.stream()[Symbol.asyncIterator]();
    const next = iterator.next();
    await sleep(300);
    await iterator.return?.();
    assert.deepEqual(await next, { done: true, value: undefined });
    await source.free();
  });

  test('asyncDispose closes it', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1);
    {
      await using stream = source.stream();
      assert.equal((await stream.nextEvent())?.kind, 'begin');
    }
    await source.free();
    // One that never started, too.
    await using _unused = source.stream();
  });

  test('starting twice is starting once; after stop() there is no start', async (t) => {
    const source = await Source.open(t, server());
    const stopped = (error: unknown) => error instanceof ConfigurationError && error.option === 'start';
    const stream = source.stream();
    await Promise.all([stream.start(), stream.start()]);
    await stream.start();
    const pid = await source.activePid();
    assert.ok(pid !== null);
    await source.insert(1);
    assert.equal((await stream.nextEvent())?.kind, 'begin');
    assert.equal(await source.activePid(), pid);
    await stream.stop();
    await stream.stop();
    await assert.rejects(stream.start(), stopped);
    // To a consumer it has ended.
    assert.equal(await stream.nextEvent(), undefined);

    const unused = source.stream();
    await unused.stop();
    await assert.rejects(unused.start(), stopped);
    assert.equal(await unused.nextEvent(), undefined);
    assert.deepEqual(await drain(source.stream({ slot: source.name, stopLsn: 1n })), []);
  });

  test('a start that failed fails again, and whatever consumes it', async (t) => {
    const source = await Source.open(t, server());
    const stream = source.stream({ slot: 'no_such_slot' });
    const error = await failure(stream.start());
    assert.equal(await failure(stream.start()), error);
    assert.equal(await failure(stream.nextEvent()), error);
    assert.equal(await failure(drain(stream)), error);
    await stream.stop();
  });

  test('a lone change is delivered at once', async (t) => {
    const source = await Source.open(t, server());
    const stream = source.stream();
    await stream.start();
    const receive = async () => {
      for (;;) if ((await stream.nextEvent())?.kind === 'commit') return performance.now();
    };
    await source.insert(0);
    await receive();
    const delays: number[] = [];
    for (const id of range(1, 21)) {
      const received = receive();
      await source.insert(id);
      const committed = performance.now();
      delays.push((await received) - committed);
      await sleep(20);
    }
    delays.sort((a, b) => a - b);
    // Nothing here waits for a timer: those of the stream are 1,000 ms.
    assert.ok((delays[10] ?? 0) < 250, `median ${delays[10]} ms`);
  });
});
