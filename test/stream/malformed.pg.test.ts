import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { DecodeError, Lsn, ServerError, type WalStream, type WalStreamOptions } from '../../src/index.js';
import { PG_MAJOR, sharedServer, sql } from '../support/server.js';
import { FILLER } from './scenario.js';
import { drain, failure, range, Source } from './source.js';
import { TcpProxy } from './tcp-proxy.js';

type Take = (stream: WalStream, seen: unknown[]) => Promise<void>;
const ways: readonly [string, Partial<WalStreamOptions>, Take][] = [
  ['for await', {}, one],
  ['for await, binary', { binary: true }, one],
  ["for await, types 'text'", { types: 'text' }, one],
  ['batches()', { workers: 2 }, byBatch],
  ['transactions()', {}, whole],
  ['for await, streamed', { streaming: 'on' }, one],
  ['transactions(), streamed', { streaming: 'on', spill: { memoryBytes: 64 * 1024 } }, whole],
];

async function one(stream: WalStream, seen: unknown[]): Promise<void> {
  for await (const event of stream) if (event.kind === 'insert') seen.push(Number(event.new.id));
}

async function byBatch(stream: WalStream, seen: unknown[]): Promise<void> {
  for await (const batch of stream.batches()) {
    for (const event of batch) if (event.kind === 'insert') seen.push(Number(event.new.id));
  }
}

async function whole(stream: WalStream, seen: unknown[]): Promise<void> {
  for await (const item of stream.transactions()) {
    if (item.kind !== 'transaction') continue;
    for await (const change of item.changes) if (change.kind === 'insert') seen.push(Number(change.new.id));
  }
}

/*
 * A row of columns `id int, note text` with this note, as text: I relation:4 N count:2 t length:4 id:1 t length:4 note.
 * Offsets from the note.
 */
const MARKER = 'MARKER';
const AT = { tag: -19, relation: -18, tuple: -14, count: -13, id: -6, kind: -5, length: -4, note: 0 };

interface Damage {
  readonly what: string;
  readonly at: keyof typeof AT;
  readonly bytes: readonly number[];
  readonly message: RegExp;
  /** Where it is in the message, from the tag on. */
  readonly offset: number;
  readonly column?: string;
}

const DAMAGES: readonly Damage[] = [
  { what: 'text that is not UTF-8', at: 'note', bytes: [0xff], message: /not valid UTF-8/, offset: 19, column: 'note' },
  { what: 'an unknown tag', at: 'tag', bytes: [0x5a], message: /unknown pgoutput message/, offset: 0 },
  { what: 'an unknown relation', at: 'relation', bytes: [0x7f], message: /not described/, offset: 0 },
  { what: 'no new row', at: 'tuple', bytes: [0x51], message: /tuple of kind 'N' expected/, offset: 5 },
  { what: 'more columns', at: 'count', bytes: [0, 3], message: /tuple of 3 columns; its relation has 2/, offset: 6 },
  { what: 'fewer columns', at: 'count', bytes: [0, 1], message: /tuple of 1 columns; its relation has 2/, offset: 6 },
  { what: 'a value of another type', at: 'id', bytes: [0x78], message: /./, offset: 13, column: 'id' },
  { what: 'an unknown kind', at: 'kind', bytes: [0x71], message: /unknown kind/, offset: 14, column: 'note' },
  { what: 'a negative length', at: 'length', bytes: [0xff], message: /column of -/, offset: 15, column: 'note' },
  { what: 'too long a value', at: 'length', bytes: [0x7f], message: /bytes where/, offset: 15, column: 'note' },
];

describe(`PostgreSQL ${PG_MAJOR}: bytes that were damaged on the way`, () => {
  const server = sharedServer();

  for (const [title, options, take] of ways.filter(
    ([, { binary, types, streaming }]) => !(binary || types || streaming),
  )) {
    for (const { what, at, bytes, message, offset, column } of DAMAGES) {
      test(`${what}, ${title}: a DecodeError with its place, and nothing from there on is acknowledged`, async (t) => {
        const source = await Source.open(t, server());
        const { name } = source;
        await source.query(`INSERT INTO ${name} VALUES (1, 'before')`);
        const last = await source.lsn('pg_current_wal_insert_lsn()');
        await source.client.query(
          `BEGIN; INSERT INTO ${name} VALUES (2, 'x'); INSERT INTO ${name} VALUES (3, '${MARKER}'); COMMIT`,
        );
        const beyond = await source.lsn('pg_current_wal_insert_lsn()');
        await source.query(`INSERT INTO ${name} VALUES (4, 'after')`);
        const proxy = await TcpProxy.open(t, server().port);
        proxy.damage = (chunk) => {
          const marker = chunk.indexOf(MARKER);
          if (marker !== -1) Buffer.from(bytes).copy(chunk, marker + AT[at]);
        };
        const seen: unknown[] = [];
        const connection = proxy.connectionString();
        const error = await failure(take(source.stream({ ...options, connection, feedbackIntervalMs: 20 }), seen));
        assert.ok(error instanceof DecodeError, String(error));
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /ARKER/);
        assert.equal(error.offset, offset);
        assert.equal(error.tag, at === 'tag' ? 'Z' : 'I');
        assert.equal(error.column, column);
        if (at !== 'tag' && at !== 'relation') assert.equal(error.relation, `public.${name}`);
        assert.equal(error.retryable, false);
        assert.ok(error.lsn !== undefined && error.lsn >= last && error.lsn < beyond);
        assert.deepEqual(seen, take === whole ? [1] : [1, 2]);
        await source.free();
        assert.ok((await source.confirmed()) <= last, 'nothing of its transaction');
        // Undamaged, all of it comes.
        const again: unknown[] = [];
        await take(source.stream({ ...options, stopLsn: await source.lsn() }), again);
        assert.deepEqual(
          again.filter((id) => id !== 1),
          [2, 3, 4],
        );
      });
    }
  }
});

/*
 * A database in SQL_ASCII takes any bytes for text. Its server converts none of them for its clients, but checks them:
 * it ends the stream itself, and says where.
 */
const DATABASE = 'any_bytes';
const LATIN_1 = "E'caf\\xe9'";

describe(`PostgreSQL ${PG_MAJOR}: text that is not UTF-8`, () => {
  const server = sharedServer({ settings: { logical_decoding_work_mem: '64kB' } });

  before(async () => {
    await sql(
      server(),
      `CREATE DATABASE ${DATABASE} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`,
    );
  });

  for (const [title, options, take] of ways) {
    test(`${title}: a DecodeError with its place, where the stream stops, and nothing of it is acknowledged`, async (t) => {
      const source = await Source.open(
        t,
        server(),
        'id int PRIMARY KEY, n int, "a ""note""" text, tail text',
        DATABASE,
      );
      const { name, client } = source;
      await source.query(`INSERT INTO ${name} VALUES (1, NULL, 'größe', '')`);
      const last = await source.lsn('pg_current_wal_insert_lsn()');
      await client.query(
        `BEGIN; INSERT INTO ${name} VALUES (2); ${FILLER}; INSERT INTO ${name} VALUES (3, NULL, ${LATIN_1}, 'x');
         INSERT INTO ${name} VALUES (4); COMMIT`,
      );
      const beyond = await source.lsn('pg_current_wal_insert_lsn()');
      await source.query(`INSERT INTO ${name} VALUES (5)`);

      let at: bigint | undefined;
      for (const turn of [1, 2]) {
        const seen: unknown[] = [];
        const error = await failure(take(source.stream({ feedbackIntervalMs: 20, ...options }), seen));
        assertRefused(error);
        assert.ok(error.lsn !== undefined && error.lsn >= last && error.lsn < beyond);
        // The same place again.
        at ??= error.lsn;
        assert.equal(error.lsn, at);
        // What was acknowledged may come again as long as the server was not told.
        const before = take === whole ? [1] : [1, 2];
        assert.deepEqual(turn === 1 ? seen : seen.filter((id) => id !== 1), turn === 1 ? before : before.slice(1));
        await source.free();
        assert.ok((await source.confirmed()) <= last, 'nothing of its transaction');
      }

      // A way on for who can do without it.
      await source.query(`SELECT pg_replication_slot_advance('${name}', '${Lsn.format(beyond)}')`);
      const rest: unknown[] = [];
      await take(source.stream({ ...options, stopLsn: await source.lsn() }), rest);
      assert.deepEqual(rest, [5]);
    });
  }

  test('in far more rows than a batch takes: everything before it comes, and it is named', async (t) => {
    const source = await Source.open(t, server(), 'id int PRIMARY KEY, note text', DATABASE);
    await source.query(
      `INSERT INTO ${source.name} SELECT g, CASE g WHEN 40000 THEN ${LATIN_1} ELSE repeat('x', 50) END
         FROM generate_series(1, 60000) g`,
    );
    const seen: unknown[] = [];
    const error = await failure(byBatch(source.stream({ workers: 2 }), seen));
    assertRefused(error);
    assert.deepEqual(seen, range(1, 39_999));
  });

  test('the content of a message is bytes', async (t) => {
    const source = await Source.open(t, server(), 'id int PRIMARY KEY, a text', DATABASE);
    await source.query(`SELECT pg_logical_emit_message(true, 'p', ${LATIN_1})`);
    const stopLsn = await source.lsn();
    const [message] = (await drain(source.stream({ messages: true, stopLsn }))).filter(
      ({ kind }) => kind === 'message',
    );
    assert.ok(message?.kind === 'message');
    assert.deepEqual(message.content, Buffer.from('caf\xe9', 'latin1'));
  });
});

function assertRefused(error: unknown): asserts error is ServerError {
  assert.ok(error instanceof ServerError, String(error));
  assert.equal(error.sqlState, '22021');
  assert.ok(error.lsn !== undefined);
  assert.equal(error.message, `invalid byte sequence for encoding "UTF8" at ${Lsn.format(error.lsn)}`);
  assert.match(error.hint ?? '', /SQL_ASCII/);
  assert.equal(error.retryable, false);
}
