import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import {
  type ChangeEvent,
  ConfigurationError,
  SpillError,
  Transaction,
  type TransactionItem,
  type WalStreamOptions,
} from '../../src/index.js';
import { connect, needsMajor, PG_MAJOR, sharedServer } from '../support/server.js';
import { failure, Source, until } from './source.js';

const SMALL_MEMORY = 64 * 1024;
const LARGE = 20_000;

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'transactions-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function spillFiles(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true });
  return entries.filter((name) => name.endsWith('.spill'));
}

function transactionOf(item: TransactionItem): Transaction {
  assert.ok(item instanceof Transaction);
  return item;
}

async function notesOf({ changes }: Transaction): Promise<unknown[]> {
  const ids: unknown[] = [];
  for await (const change of changes) if (change.kind === 'insert') ids.push(change.new.id);
  return ids;
}

/** The same in a form that can be compared, whether it was streamed or not. */
function plain(change: ChangeEvent): Record<string, unknown> {
  const { relation: _, ...fields }: Record<string, unknown> = change.toObject();
  return fields;
}

suite(`transactions(), PostgreSQL ${PG_MAJOR}`, () => {
  const server = sharedServer({ settings: { logical_decoding_work_mem: '64kB' } });

  async function open(t: TestContext): Promise<Source> {
    return Source.open(t, server());
  }

  /** The first `count` items. */
  async function take(
    source: Source,
    count: number,
    options: Partial<WalStreamOptions> = {},
  ): Promise<TransactionItem[]> {
    const items: TransactionItem[] = [];
    for await (const item of source.stream({ messages: true, ...options }).transactions()) {
      items.push(item);
      if (items.length === count) break;
    }
    return items;
  }

  test('whole, in commit order, with everything that tells where it is', async (t) => {
    const source = await open(t);
    await source.client.query(
      `BEGIN; INSERT INTO ${source.name} VALUES (1, 'a'); UPDATE ${source.name} SET note = 'b' WHERE id = 1;
       SELECT pg_logical_emit_message(true, 'inside', 'x'); DELETE FROM ${source.name}; TRUNCATE ${source.name}; COMMIT`,
    );
    await source.query(`SELECT pg_logical_emit_message(false, 'alone', 'y')`);
    await source.insert(2, 4);
    const items = await take(source, 3);
    assert.deepEqual(
      items.map(({ kind }) => kind),
      ['transaction', 'message', 'transaction'],
    );
    const first = transactionOf(items[0]);
    assert.equal(first.changes.spilled, false);
    const changes = [...first.changes];
    assert.deepEqual(
      changes.map(({ kind }) => kind),
      ['insert', 'update', 'message', 'delete', 'truncate'],
    );
    assert.deepEqual(
      changes.map((change) => ('ordinal' in change ? change.ordinal : undefined)),
      [0, 1, undefined, 2, 3],
    );
    for (const { xid, commitLsn } of changes) {
      assert.equal(xid, first.xid);
      assert.equal(commitLsn, first.commitLsn);
    }
    assert.ok(first.commitLsn < first.commitEndLsn);
    assert.ok(Math.abs(first.commitTime.getTime() - Date.now()) < 60_000);
    assert.equal(first.origin, undefined);
    // Again, and with for await.
    assert.deepEqual([...first.changes].map(plain), changes.map(plain));
    const awaited: ChangeEvent[] = [];
    for await (const change of first.changes) awaited.push(change);
    assert.deepEqual(awaited.map(plain), changes.map(plain));
    const json = JSON.parse(JSON.stringify(first));
    assert.equal(json.changes.length, 5);
    assert.equal(json.changes[0].new.note, 'a');
  });

  test('what was rolled back to a savepoint is gone, and numbers have no gaps, streamed or not', async (t) => {
    const source = await open(t);
    const stopLsn = await writeNested(source);
    const seen: unknown[][] = [];
    for (const streaming of ['off', 'on'] as const) {
      const slot = `${source.name}_${streaming}`;
      await source.query(`SELECT pg_copy_logical_replication_slot('${source.name}', '${slot}')`);
      const changes: unknown[] = [];
      for await (const item of source.stream({ slot, streaming, stopLsn, messages: true }).transactions()) {
        for await (const change of transactionOf(item).changes) changes.push(plain(change));
      }
      seen.push(changes);
      await source.query(`SELECT pg_drop_replication_slot('${slot}')`);
    }
    assert.ok(seen[0].length > 4000);
    // Not deepEqual() on everything: its message would be as long.
    assert.equal(seen[1].length, seen[0].length);
    for (const [at, change] of seen[0].entries()) assert.deepEqual(seen[1][at], change);
  });

  for (const streaming of ['off', 'on'] as const) {
    test(`streaming ${streaming}: beyond the bound it is on disk, and gone once it is acknowledged`, async (t) => {
      const source = await open(t);
      const directory = await folder(t);
      await source.insert(1, LARGE, 100);
      await source.insert(LARGE + 1);
      const stream = source.stream({ streaming, spill: { directory, memoryBytes: SMALL_MEMORY } });
      let items = 0;
      for await (const item of stream.transactions()) {
        const { changes } = transactionOf(item);
        if (++items === 1) {
          assert.equal(changes.spilled, true);
          assert.throws(() => changes[Symbol.iterator](), ConfigurationError);
          assert.equal((await spillFiles(directory)).length, 1);
          const expected = Array.from({ length: LARGE }, (_, at) => at + 1);
          assert.deepEqual(await notesOf(transactionOf(item)), expected);
          assert.deepEqual(await notesOf(transactionOf(item)), expected);
          assert.equal(JSON.parse(JSON.stringify(item)).spilled, true);
        } else {
          assert.equal(changes.spilled, false);
          await until(async () => (await spillFiles(directory)).length === 0, 'the file is removed');
          break;
        }
      }
      assert.deepEqual(await readdir(directory), []);
    });
  }

  test("ack 'manual': it stays on disk until it is acknowledged", async (t) => {
    const source = await open(t);
    const directory = await folder(t);
    for (const from of [1, 2, 3]) await source.insert(from * LARGE, from * LARGE + LARGE - 1, 100);
    const stream = source.stream({ ack: 'manual', spill: { directory, memoryBytes: SMALL_MEMORY } });
    const kept: Transaction[] = [];
    for await (const item of stream.transactions()) {
      kept.push(transactionOf(item));
      if (kept.length === 2) {
        assert.equal((await spillFiles(directory)).length, 2);
        for (const transaction of kept) assert.equal((await notesOf(transaction)).length, LARGE);
        stream.ack(kept[0]);
      }
      if (kept.length === 3) break;
    }
    assert.equal(await source.confirmed(), kept[0].commitEndLsn);
    assert.deepEqual(await readdir(directory), []);
    await assert.rejects(notesOf(kept[2]), SpillError);
  });

  test('a transaction that is rolled back leaves nothing on disk', { skip: PG_MAJOR < 14 }, async (t) => {
    const source = await open(t);
    const directory = await folder(t);
    await source.client.query('BEGIN');
    await source.insert(1, LARGE, 100);
    const stream = source.stream({ streaming: 'on', spill: { directory, memoryBytes: SMALL_MEMORY } });
    const [item] = await Promise.all([
      (async () => {
        for await (const item of stream.transactions()) return item;
        return undefined;
      })(),
      (async () => {
        await until(async () => (await spillFiles(directory)).length === 1, 'it is on disk');
        await source.client.query('ROLLBACK');
        await source.insert(1);
      })(),
    ]);
    assert.ok(item);
    assert.deepEqual(
      [...transactionOf(item).changes].map((change) => change.kind),
      ['insert'],
    );
    assert.deepEqual(await spillFiles(directory), []);
  });

  test('what a crashed process left of the slot goes at the next start', async (t) => {
    const source = await open(t);
    const directory = await folder(t);
    await source.insert(1, LARGE, 100);
    const options = { spill: { directory, memoryBytes: SMALL_MEMORY } };
    const first = source.stream(options);
    for await (const _ of first.transactions()) {
      const [left] = await readdir(directory);
      assert.ok(left);
      t.after(() => rm(join(directory, left), { recursive: true, force: true }));
      // As if it were killed here.
      await first.stop({ drain: 'none' });
      await mkdir(join(directory, left));
      await writeFile(join(directory, left, '7.spill'), 'left over');
      break;
    }
    assert.equal((await spillFiles(directory)).length, 1);
    for await (const item of source.stream(options).transactions()) {
      assert.equal((await notesOf(transactionOf(item))).length, LARGE);
      assert.deepEqual(
        (await spillFiles(directory)).map((path) => path.endsWith('7.spill')),
        [false],
      );
      break;
    }
    assert.deepEqual(await readdir(directory), []);
  });

  test('a damaged file is a SpillError, and nothing is acknowledged', async (t) => {
    const source = await open(t);
    const directory = await folder(t);
    const before = await source.confirmed();
    await source.insert(1, LARGE, 100);
    const stream = source.stream({ spill: { directory, memoryBytes: SMALL_MEMORY } });
    const error = await failure(
      (async () => {
        for await (const item of stream.transactions()) {
          const [name] = await spillFiles(directory);
          const path = join(directory, name);
          const { size } = await stat(path);
          await writeFile(path, Buffer.alloc(size));
          await appendFile(path, 'x');
          await notesOf(transactionOf(item));
        }
      })(),
    );
    assert.ok(error instanceof SpillError);
    assert.ok((await source.confirmed()) <= before);
    assert.deepEqual(await readdir(directory), []);
  });

  test('a folder that cannot be used is a SpillError when it is needed', async (t) => {
    const source = await open(t);
    const directory = join(await folder(t), 'file');
    await writeFile(directory, '');
    await source.insert(1, LARGE, 100);
    const stream = source.stream({ spill: { directory, memoryBytes: SMALL_MEMORY } });
    const error = await failure(
      (async () => {
        for await (const _ of stream.transactions());
      })(),
    );
    assert.ok(error instanceof SpillError, String(error));
    await source.free();
  });

  test('stop() in the middle of one that is being received: no half, nothing left', async (t) => {
    const source = await open(t);
    const directory = await folder(t);
    await source.client.query('BEGIN');
    await source.insert(1, LARGE, 100);
    const stream = source.stream({ streaming: 'on', spill: { directory, memoryBytes: SMALL_MEMORY } });
    const items: TransactionItem[] = [];
    const loop = (async () => {
      for await (const item of stream.transactions()) items.push(item);
    })();
    await until(async () => (await spillFiles(directory)).length === 1, 'it is on disk');
    await stream.stop();
    await loop;
    await source.client.query('COMMIT');
    assert.deepEqual(items, []);
    assert.deepEqual(await readdir(directory), []);
  });
});

/** Savepoints rolled back and released, several deep, with enough in each to be streamed; where it ends. */
async function writeNested(source: Source): Promise<bigint> {
  const { client, name } = source;
  let id = 0;
  const insert = async (count: number) => {
    await client.query(
      `INSERT INTO ${name} SELECT g, repeat('n', 50) FROM generate_series(${id + 1}, ${id + count}) g`,
    );
    id += count;
  };
  await client.query('BEGIN');
  await insert(1000);
  await client.query('SAVEPOINT a');
  await insert(1000);
  await client.query('SAVEPOINT b');
  await insert(1000);
  await client.query('SAVEPOINT c');
  await insert(1000);
  await client.query('RELEASE c; ROLLBACK TO b');
  await insert(1000);
  await client.query('SAVEPOINT d');
  await insert(10);
  await client.query(`ROLLBACK TO d; UPDATE ${name} SET note = 'u' WHERE id % 3 = 0`);
  await client.query('ROLLBACK TO a');
  await insert(3000);
  await client.query('COMMIT');
  await insert(100);
  return source.lsn();
}

suite('two hundred transactions at once', { skip: needsMajor(14, 'streaming') }, () => {
  const TRANSACTIONS = 200;
  const ROUNDS = 4;
  const ROWS = 150;
  const server = sharedServer({ settings: { logical_decoding_work_mem: '64kB', max_connections: '300' } });

  test('whole and in commit order with little memory, and nothing is left on disk', async (t) => {
    const source = await Source.open(t, server(), 'id bigint, xact int, note text');
    const parent = await mkdtemp(join(tmpdir(), 'pgw-many-'));
    t.after(() => rm(parent, { recursive: true, force: true }));
    const stream = source.stream({ streaming: 'on', spill: { directory: parent, memoryBytes: 65_536 } });
    const committed = TRANSACTIONS - Math.floor(TRANSACTIONS / 10);
    const found: { xact: number; ids: number[]; commitLsn: bigint }[] = [];
    let spilled = false;
    const loop = (async () => {
      for await (const item of stream.transactions()) {
        assert.ok(item.kind === 'transaction');
        spilled ||= (await readdir(parent)).length > 0;
        const ids: number[] = [];
        let xact = -1;
        for await (const change of item.changes) {
          assert.ok(change.kind === 'insert');
          xact = change.new.xact as number;
          ids.push(Number(change.new.id));
        }
        found.push({ xact, ids, commitLsn: item.commitLsn });
        if (found.length === committed) break;
      }
    })();
    await stream.start();
    const clients = await Promise.all(Array.from({ length: TRANSACTIONS }, () => connect(server())));
    await Promise.all(clients.map((client) => client.query('BEGIN')));
    for (let round = 0; round < ROUNDS; round++) {
      await Promise.all(
        clients.map((client, at) =>
          client.query(
            `INSERT INTO ${source.name} SELECT ${round * ROWS} + g, ${at}, repeat('x', 50) FROM generate_series(0, ${ROWS - 1}) g`,
          ),
        ),
      );
    }
    // One in ten is rolled back; the others end in another order than they began.
    const order = clients.map((_, at) => (at * 37) % TRANSACTIONS);
    for (const at of order) await clients[at]?.query(at % 10 === 0 ? 'ROLLBACK' : 'COMMIT');
    await Promise.all(clients.map((client) => client.end()));
    await loop;
    assert.deepEqual(
      found.map(({ xact }) => xact),
      order.filter((at) => at % 10 !== 0),
    );
    for (const { ids } of found)
      assert.deepEqual(
        ids,
        Array.from({ length: ROUNDS * ROWS }, (_, at) => at),
      );
    assert.deepEqual(
      found.map(({ commitLsn }) => commitLsn),
      found.map(({ commitLsn }) => commitLsn).toSorted((a, b) => (a < b ? -1 : 1)),
    );
    assert.ok(spilled);
    assert.deepEqual(await readdir(parent), []);
  });
});
