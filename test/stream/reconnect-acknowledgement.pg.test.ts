import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { type CommitEvent, type Transaction, type WalStreamOptions, WorkerError } from '../../src/index.js';
import { sharedServer } from '../support/server.js';
import { Random } from '../support/workload.js';
import { ATTEMPTS, FAILURES, REPORT_WORDS } from '../threads/transforms/misbehaving.js';
import { failure, idOf, range, Source, until } from './source.js';
import { TcpProxy } from './tcp-proxy.js';

/** Workers' heaps, so that running out of memory is quick. They are made with the process's flags. */
setFlagsFromString('--max-old-space-size=96');

const OPTIONS: Partial<WalStreamOptions> = { retry: { minDelayMs: 10, maxDelayMs: 100 }, feedbackIntervalMs: 20 };

async function proxied(t: TestContext, source: Source, options: Partial<WalStreamOptions>) {
  const proxy = await TcpProxy.open(t, source.server.port);
  const stream = source.stream({ connection: proxy.connectionString(), ...OPTIONS, ...options });
  const lose = async () => {
    const { reconnects } = stream.stats();
    proxy.cut();
    await sleep(30);
    proxy.reopen();
    await until(() => stream.stats().reconnects > reconnects, 'the connection is back');
  };
  return { stream, proxy, lose };
}

suite('acknowledgement across lost connections', () => {
  const server = sharedServer();

  test('manual: what was delivered before counts after, in any order, and nothing beyond the contiguous frontier', async (t) => {
    const source = await Source.open(t, server());
    const { stream, lose } = await proxied(t, source, { ack: 'manual' });
    const commits: CommitEvent[] = [];
    const loop = (async () => {
      for await (const event of stream) if (event.kind === 'commit') commits.push(event);
    })();
    await stream.start();
    for (const id of range(1, 3)) await source.insert(id);
    await until(() => commits.length === 3, 'three are delivered');
    const before = await source.confirmed();
    await lose();
    for (const id of range(4, 5)) await source.insert(id);
    await until(() => commits.length === 5, 'two more are');
    const [one, two, three, four, five] = commits as [CommitEvent, CommitEvent, CommitEvent, CommitEvent, CommitEvent];
    stream.ack(five);
    stream.ack(two);
    await sleep(200);
    assert.equal(await source.confirmed(), before);
    stream.ack(one);
    await until(async () => (await source.confirmed()) === two.commitEndLsn, 'the first two are confirmed');
    await lose();
    stream.ack(four);
    await sleep(200);
    assert.equal(await source.confirmed(), two.commitEndLsn);
    stream.ack(three);
    await until(async () => (await source.confirmed()) >= five.commitEndLsn, 'all are');
    await stream.stop();
    await loop;
    assert.deepEqual(await source.rest(), []);
  });

  test('manual: what is acknowledged while the connection is away is confirmed when it is back', async (t) => {
    const source = await Source.open(t, server());
    const { stream, proxy } = await proxied(t, source, { ack: 'manual' });
    await source.insert(1);
    let commit: CommitEvent | undefined;
    while (commit === undefined) {
      const event = await stream.nextEvent({ timeoutMs: 20_000 });
      if (event?.kind === 'commit') commit = event;
    }
    proxy.cut();
    await until(() => !stream.stats().connected, 'the loss is noticed');
    stream.ack(commit);
    proxy.reopen();
    const end = commit.commitEndLsn;
    await until(async () => (await source.confirmed()) >= end, 'it is confirmed');
  });

  test('manual, spilled: a transaction acknowledged after the loss counts, and goes from disk', async (t) => {
    const source = await Source.open(t, server());
    const directory = await mkdtemp(join(tmpdir(), 'pgw-spill-'));
    t.after(() => rm(directory, { recursive: true, force: true }));
    const { stream, lose } = await proxied(t, source, { ack: 'manual', spill: { directory, memoryBytes: 65_536 } });
    await source.insert(1, 20_000, 50);
    const before = await source.confirmed();
    const transactions: Transaction[] = [];
    const loop = (async () => {
      for await (const item of stream.transactions()) if (item.kind === 'transaction') transactions.push(item);
    })();
    await until(() => transactions.length === 1, 'it is delivered');
    const [transaction] = transactions as [Transaction];
    await lose();
    assert.equal(await source.confirmed(), before);
    let changes = 0;
    for await (const change of transaction.changes) if (change.kind === 'insert') changes++;
    assert.equal(changes, 20_000);
    const files = async () => (await readdir(directory, { recursive: true })).filter((name) => name.endsWith('.spill'));
    assert.equal((await files()).length, 1);
    stream.ack(transaction);
    await until(async () => (await source.confirmed()) >= transaction.commitEndLsn, 'it is confirmed');
    await source.insert(20_001);
    await until(async () => (await files()).length === 0, 'it is gone from disk');
    await stream.stop();
    await loop;
    assert.deepEqual(await readdir(directory), []);
  });

  for (const [how, leave] of [
    ['break', () => false],
    [
      'an exception',
      () => {
        throw new Error('the consumer failed');
      },
    ],
  ] as const) {
    test(`auto: nothing past ${how}`, async (t) => {
      const source = await Source.open(t, server());
      const { stream, lose } = await proxied(t, source, {});
      const ids: number[] = [];
      const loop = (async () => {
        for await (const event of stream) {
          if (event.kind !== 'insert') continue;
          ids.push(idOf(event));
          if (ids.at(-1) === 2) await lose();
          if (ids.at(-1) === 4 && !leave()) break;
        }
      })().catch(() => {});
      await stream.start();
      for (const id of range(1, 6)) await source.insert(id);
      await loop;
      assert.deepEqual(ids, range(1, 4));
      assert.deepEqual(await source.rest(), range(4, 6));
    });
  }

  test('auto: nothing past a transform that fails after a lost connection', async (t) => {
    const source = await Source.open(t, server());
    const module = new URL('./transforms/rows.js', import.meta.url);
    const transform = { module, export: 'encode', options: { badId: 3, how: 'throw' } };
    const { stream, lose } = await proxied(t, source, { transform });
    const values: unknown[] = [];
    const failed = failure(
      (async () => {
        for await (const event of stream) if (event.kind === 'insert') values.push(event.value);
      })(),
    );
    await stream.start();
    await source.insert(1);
    await until(() => values.length === 1, 'the first is delivered');
    await lose();
    for (const id of range(2, 4)) await source.insert(id);
    const error = await failed;
    assert.ok(error instanceof WorkerError && !error.retryable, String(error));
    assert.equal(error.relation, `public.${source.name}`);
    assert.equal(values.length, 2);
    assert.deepEqual(await source.rest(), [3, 4]);
  });

  test('the position that the server knows never goes back, nor past what is finished', async (t) => {
    const source = await Source.open(t, server());
    const { stream, proxy } = await proxied(t, source, {});
    const random = new Random(7);
    const ids: number[] = [];
    let watching = true;
    const loop = (async () => {
      for await (const event of stream) {
        if (event.kind === 'insert') ids.push(idOf(event));
        if (event.kind === 'commit' && ids.length === 3_000) break;
        if (ids.length % 100 === 0) await sleep(1);
      }
    })();
    const positions: bigint[] = [];
    const watched = (async () => {
      while (watching) {
        positions.push(await source.confirmed());
        proxy.reopen();
        proxy.cutAfterBytes = proxy.bytesForwarded + random.integer(2_000, 60_000);
        await sleep(40);
      }
    })();
    for (const from of range(0, 29)) await source.insert(from * 100 + 1, from * 100 + 100, 60);
    await loop;
    watching = false;
    await watched;
    assert.deepEqual(ids, range(1, 3_000));
    assert.deepEqual(
      positions,
      positions.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)),
    );
    assert.ok(stream.stats().reconnects > 0);
    assert.deepEqual(await source.rest(), range(2_901, 3_000));
  });
});

suite('workers and lost connections', () => {
  const server = sharedServer();
  const module = new URL('../threads/transforms/misbehaving.js', import.meta.url);

  for (const note of ['throw', 'exit', 'hang'] as const) {
    test(`a worker that once does this while connections are lost is replaced, and order stays: ${note}`, async (t) => {
      const source = await Source.open(t, server());
      const words = new Int32Array(new SharedArrayBuffer(REPORT_WORDS * 4));
      words[FAILURES] = 1;
      const { stream, proxy, lose } = await proxied(t, source, {
        transform: { module, options: { words } },
        transformTimeoutMs: 1_500,
        workers: 2,
      });
      const values: unknown[] = [];
      const loop = (async () => {
        for await (const event of stream) {
          if (event.kind === 'insert') values.push(event.value);
          if (event.kind === 'commit' && values.at(-1) === '10000') break;
        }
      })();
      await stream.start();
      proxy.cutAfterBytes = proxy.bytesForwarded + 200_000;
      const rows = `SELECT g, CASE g WHEN 5000 THEN '${note}' ELSE g::text END FROM generate_series(1, 10000) g`;
      await source.query(`INSERT INTO ${source.name} ${rows}`);
      await until(() => !stream.stats().connected, 'the connection is lost');
      await lose();
      await loop;
      const expected = range(1, 10_000).map((id) => (id === 5_000 ? note : String(id)));
      assert.deepEqual(values, expected);
      assert.equal(stream.stats().workerRestarts, 1);
    });
  }

  test('one that does it again and again is final, however often the connection is lost', async (t) => {
    const source = await Source.open(t, server());
    const words = new Int32Array(new SharedArrayBuffer(REPORT_WORDS * 4));
    const { stream, lose } = await proxied(t, source, { transform: { module, options: { words } } });
    const failed = failure(
      (async () => {
        for await (const _ of stream);
      })(),
    );
    await stream.start();
    await lose();
    await source.query(`INSERT INTO ${source.name} VALUES (1, 'a'), (2, 'throw')`);
    const error = await failed;
    assert.ok(error instanceof WorkerError && !error.retryable, String(error));
    assert.deepEqual([error.relation, error.ordinal, words[ATTEMPTS]], [`public.${source.name}`, 1, 2]);
    assert.ok(error.lsn !== undefined);
  });
});
