import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, type TestContext, test } from 'node:test';
import {
  DecodeError,
  type InsertEvent,
  ProtocolError,
  UNCHANGED,
  type UpdateEvent,
  type WalEvent,
  type WalStream,
} from '../../src/index.js';
import { PG_MAJOR, sharedServer } from '../support/server.js';
import { failure, Source } from './source.js';

const server = sharedServer({ settings: { logical_decoding_work_mem: '64kB' } });
const MIB = 1024 * 1024;
const SIZE = 100_000_000;
/** Longest text that a JavaScript string takes, and more than it. */
const BEYOND_STRING = 545_000_000;

type Big = 'text' | 'bytea';

/** SQL for a value of this many bytes that pglz compresses well: the WAL stays small. */
function bigValue(type: Big, letter: string, bytes = SIZE): string {
  const text = `repeat('0123456${letter}', ${bytes / 8})`;
  return type === 'text' ? text : `convert_to(${text}, 'UTF8')`;
}

/** What the server says of the value: its length and hash. */
function hashOf(value: unknown): string {
  assert.ok(typeof value === 'string' || Buffer.isBuffer(value), typeof value);
  return `${value.length} ${createHash('md5').update(value).digest('hex')}`;
}

async function serverHash(source: Source): Promise<string> {
  const [row] = await source.query(`SELECT octet_length(big) || ' ' || md5(big) AS hash FROM ${source.name}`);
  return String(row?.hash);
}

/** Highest resident memory while `run` runs, beyond what there was before: bytes. */
async function peakBytes(run: () => Promise<void>): Promise<number> {
  globalThis.gc?.();
  const before = process.memoryUsage().rss;
  let peak = before;
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage().rss);
  }, 5);
  try {
    await run();
  } finally {
    clearInterval(timer);
  }
  return Math.max(peak, process.memoryUsage().rss) - before;
}

async function changes(stream: WalStream, whole: boolean): Promise<(InsertEvent | UpdateEvent)[]> {
  const found: (InsertEvent | UpdateEvent)[] = [];
  const take = (event: WalEvent) => {
    if (event.kind === 'insert' || event.kind === 'update') found.push(event);
  };
  if (!whole) for await (const event of stream) take(event);
  else {
    for await (const item of stream.transactions()) {
      if (item.kind === 'transaction') for await (const change of item.changes) take(change);
    }
  }
  return found;
}

async function open(t: TestContext, type: Big, identity = 'DEFAULT'): Promise<Source> {
  const source = await Source.open(t, server(), `id int PRIMARY KEY, n int, big ${type}, tail text`);
  await source.query(`ALTER TABLE ${source.name} REPLICA IDENTITY ${identity}`);
  return source;
}

describe(`PostgreSQL ${PG_MAJOR}: a message beyond maxMessageBytes`, () => {
  for (const [title, options, bytes] of [
    ['the default of 256 MiB', {}, 280_000_000],
    ['one that was set', { maxMessageBytes: MIB }, 2_000_000],
  ] as const) {
    for (const [way, whole, streaming] of [
      ['for await', false, 'off'],
      ['transactions()', true, 'off'],
      ['transactions(), streamed', true, 'on'],
    ] as const) {
      // Once is enough of what takes long.
      if (whole && bytes > 10 * MIB) continue;
      test(`${title}, ${way}: an error that names it, no memory, and nothing after it is acknowledged`, async (t) => {
        const source = await open(t, 'text');
        await source.query(`INSERT INTO ${source.name} VALUES (1, 1, 'small', 'before')`);
        const last = await source.lsn('pg_current_wal_insert_lsn()');
        await source.query(`INSERT INTO ${source.name} VALUES (2, 1, ${bigValue('text', 'x', bytes)}, 'behind')`);
        await source.query(`INSERT INTO ${source.name} VALUES (3, 1, 'small', 'after')`);
        const seen: unknown[] = [];
        let error: unknown;
        const stream = source.stream({ ...options, streaming, feedbackIntervalMs: 50 });
        const peak = await peakBytes(async () => {
          error = await failure(
            (async () => {
              if (whole) {
                for await (const item of stream.transactions()) {
                  assert.ok(item.kind === 'transaction');
                  for await (const change of item.changes) if (change.kind === 'insert') seen.push(change.new.id);
                }
              } else for await (const event of stream) if (event.kind === 'insert') seen.push(event.new.id);
            })(),
          );
        });
        assert.ok(error instanceof ProtocolError, String(error));
        assert.match(error.message, /maxMessageBytes/);
        assert.match(error.message, /column list/);
        assert.ok(error.message.includes(String(options.maxMessageBytes ?? 256 * MIB)));
        assert.equal(error.retryable, false);
        assert.equal(error.tag, 'd');
        assert.deepEqual(seen, [1]);
        assert.ok(peak < 64 * MIB, `${peak / MIB} MiB`);
        await source.free();
        assert.ok((await source.confirmed()) <= last);
        // With room for it, everything from there on comes.
        if (bytes > 10 * MIB) return;
        const rest = await changes(source.stream({ stopLsn: await source.lsn() }), whole);
        assert.deepEqual(
          rest.map((event) => event.new.id).filter((id) => id !== 1),
          [2, 3],
        );
      });
    }
  }

  test('a text longer than a JavaScript string: a DecodeError with its place', async (t) => {
    const source = await open(t, 'text');
    await source.query(`INSERT INTO ${source.name} VALUES (1, 1, 'small', 'before')`);
    const last = await source.lsn('pg_current_wal_insert_lsn()');
    await source.query(`INSERT INTO ${source.name} VALUES (2, 1, ${bigValue('text', 'x', BEYOND_STRING)}, 'behind')`);
    const seen: unknown[] = [];
    let error: unknown;
    const stream = source.stream({ maxMessageBytes: 1024 * MIB, feedbackIntervalMs: 50 });
    const peak = await peakBytes(async () => {
      error = await failure(
        (async () => {
          for await (const event of stream) if (event.kind === 'insert') seen.push(event.new.id);
        })(),
      );
    });
    assert.ok(error instanceof DecodeError, String(error));
    assert.match(error.message, /longer than a JavaScript string/);
    assert.equal(error.relation, `public.${source.name}`);
    assert.equal(error.column, 'big');
    assert.ok((error.lsn ?? 0n) >= last);
    assert.deepEqual(seen, [1]);
    // The message itself, once; nothing was made of it.
    assert.ok(peak < 2 * BEYOND_STRING + 200 * MIB, `${peak / MIB} MiB`);
    await source.free();
    assert.ok((await source.confirmed()) <= last);
  });
});

describe(`PostgreSQL ${PG_MAJOR}: values of 100 MB`, () => {
  for (const type of ['text', 'bytea'] as const) {
    for (const [form, binary] of [
      ['text', false],
      ['binary', true],
    ] as const) {
      for (const [way, whole, streaming] of [
        ['for await', false, 'off'],
        ['transactions(), streamed', true, 'on'],
      ] as const) {
        test(`${type} as ${form}, ${way}: delivered, and UNCHANGED where it is`, async (t) => {
          const source = await open(t, type);
          const { name } = source;
          await source.query(`INSERT INTO ${name} VALUES (1, 1, ${bigValue(type, 'x')}, 'behind')`);
          await source.query(`UPDATE ${name} SET n = 2`);
          await source.query(`UPDATE ${name} SET n = 3, tail = tail || '!'`);
          const hash = await serverHash(source);
          let events: (InsertEvent | UpdateEvent)[] = [];
          const peak = await peakBytes(async () => {
            const stream = source.stream({ binary, streaming, stopLsn: await source.lsn() });
            events = await changes(stream, whole);
            assert.equal(hashOf(events[0]?.new.big), hash);
          });
          const [insert, ...updates] = events;
          assert.equal(insert?.new.tail, 'behind');
          assert.deepEqual(
            updates.map((event) => event.new),
            [
              { id: 1, n: 2, big: UNCHANGED, tail: 'behind' },
              { id: 1, n: 3, big: UNCHANGED, tail: 'behind!' },
            ],
          );
          // The message (bytea as text: two digits a byte), what a worker packs of it, and the value; spilled too.
          const wire = type === 'bytea' && !binary ? 2 * SIZE : SIZE;
          assert.ok(peak < 2 * wire + 4 * SIZE, `${peak / MIB} MiB`);
          t.diagnostic(`${Math.round(peak / MIB)} MiB at most, for a message of ${Math.round(wire / MIB)} MiB`);
        });
      }

      if (binary !== (type === 'bytea')) continue;
      test(`${type} as ${form}, under full identity: filled from the old row where it is unchanged`, async (t) => {
        const source = await open(t, type, 'FULL');
        const { name } = source;
        await source.query(`INSERT INTO ${name} VALUES (1, 1, ${bigValue(type, 'x')}, 'behind')`);
        const before = await serverHash(source);
        await source.query(`UPDATE ${name} SET n = 2`);
        const stopLsn = await source.lsn();
        const events = await changes(source.stream({ binary, stopLsn }), false);
        assert.equal(events.length, 2);
        for (const event of events) assert.equal(hashOf(event.new.big), before);
        const update = events[1];
        assert.ok(update?.kind === 'update');
        assert.equal(hashOf(update.old?.big), before);
        assert.equal(update.new.n, 2);
        assert.equal(update.old?.n, 1);
      });
    }
  }
});

describe(`PostgreSQL ${PG_MAJOR}: messages of 50 MB`, () => {
  for (const transactional of [true, false]) {
    for (const way of ['for await', 'transactions()'] as const) {
      test(`${transactional ? 'within a transaction' : 'alone'}, ${way}`, async (t) => {
        const source = await open(t, 'text');
        await source.query(
          `SELECT pg_logical_emit_message(${transactional}, 'large', decode(repeat('00ff', 25000000), 'hex'))`,
        );
        await source.query(`INSERT INTO ${source.name} VALUES (1, 1, 'small', 'after')`);
        const stream = source.stream({ messages: true, streaming: 'on', stopLsn: await source.lsn() });
        const seen: string[] = [];
        const take = (event: WalEvent) => {
          if (event.kind === 'insert') seen.push('insert');
          if (event.kind !== 'message') return;
          assert.equal(event.transactional, transactional);
          assert.equal(hashOf(event.content), hashOf(Buffer.from('00ff'.repeat(25_000_000), 'hex')));
          seen.push(event.prefix);
        };
        if (way === 'for await') for await (const event of stream) take(event);
        else {
          for await (const item of stream.transactions()) {
            if (item.kind === 'message') take(item);
            if (item.kind === 'transaction') for await (const change of item.changes) take(change);
          }
        }
        assert.deepEqual(seen, ['large', 'insert']);
      });
    }
  }
});
