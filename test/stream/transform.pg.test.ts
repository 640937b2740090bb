import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { ConfigurationError, WorkerError } from '../../src/errors.js';
import type { TransformOptions } from '../../src/options.js';
import type { WalEvent } from '../../src/pgoutput/event.js';
import type { WalStream } from '../../src/stream/wal-stream.js';
import { sharedServer } from '../support/server.js';
import { drain, failure, range, Source } from './source.js';
import type { RowsOptions } from './transforms/rows.js';

function transformOf(name: string, rest: Partial<TransformOptions> = {}): TransformOptions {
  return { module: new URL('./transforms/rows.js', import.meta.url), export: name, ...rest };
}

function valuesOf(events: readonly WalEvent[]): unknown[] {
  return events.flatMap((event) => ('value' in event ? [event.value] : []));
}

/** Starts the stream and waits until all that there is has come: before anybody consumes, that is one batch. */
async function received(stream: WalStream): Promise<void> {
  await stream.start();
  let bytes = -1;
  while (stream.stats().bytesReceived !== bytes || bytes === 0) {
    bytes = stream.stats().bytesReceived;
    await sleep(300);
  }
}

suite('transform', () => {
  const server = sharedServer();

  test('each change: what it returns, in order, among the other events', async (t) => {
    const source = await Source.open(t, server());
    const { name } = source;
    await source.insert(1, 3);
    await source.query(`UPDATE ${name} SET note = 'x' WHERE id = 2`);
    await source.query(`DELETE FROM ${name} WHERE id = 3`);
    const stream = source.stream({ stopLsn: await source.lsn(), transform: transformOf('encode') });
    const events = await drain(stream);
    assert.deepEqual(
      events.map((event) => ('value' in event ? event.value : event.kind)),
      [
        ...['begin', 'relation', `insert ${name} 1`, `insert ${name} 2`, `insert ${name} 3`, 'commit'],
        ...['begin', `update ${name} 2`, 'commit', 'begin', `delete ${name} 3`, 'commit'],
      ],
    );
    const insert = events[3];
    assert.ok(insert?.kind === 'insert');
    assert.equal(insert.ordinal, 1);
    assert.equal(insert.table, name);
    assert.ok(insert.commitLsn !== undefined && insert.xid !== undefined && insert.lsn > 0n);
  });

  test('in several threads and batches, in exact order', async (t) => {
    const source = await Source.open(t, server());
    const rows = 20_000;
    for (const style of ['change', 'late', 'batch'] as const) {
      await source.query(`TRUNCATE ${source.name}`);
      await source.insert(1, rows, 60);
      const transform =
        style === 'change'
          ? transformOf('row')
          : style === 'late'
            ? transformOf('late')
            : transformOf('batch', { per: 'batch' });
      const stream = source.stream({ stopLsn: await source.lsn(), workers: 3, transform });
      const values: unknown[] = [];
      for await (const batch of stream.batches()) values.push(...valuesOf([...batch]));
      const { workerBatches, inlineBatches } = stream.stats();
      assert.ok(workerBatches > 3, `${workerBatches} batches`);
      assert.equal(inlineBatches, 0);
      const expected = range(1, rows).map((id) =>
        style === 'change' ? { id, note: String(id).padEnd(60, '.') } : style === 'late' ? id : id * 2,
      );
      assert.deepEqual(values, expected);
      await source.free();
    }
  });

  test('a filter drops changes; begin, commit and positions stay', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1, 5);
    await source.insert(7);
    await source.insert(8);
    const stream = source.stream({ stopLsn: await source.lsn(), transform: transformOf('even') });
    const events = await drain(stream);
    assert.deepEqual(
      events.map((event) => ('value' in event ? event.value : event.kind)),
      ['begin', 'relation', 2, 4, 'commit', 'begin', 'commit', 'begin', 8, 'commit'],
    );
    const ordinals = events.flatMap((event) => (event.kind === 'insert' ? [event.ordinal] : []));
    assert.deepEqual(ordinals, [1, 3, 0]);
    // What was dropped is done with.
    assert.deepEqual(await source.rest(), []);
  });

  for (const how of ['throw', 'exit', 'hang'] as const) {
    for (const style of ['for await', 'batches', 'nextEvent'] as const) {
      test(`${how}, ${style}: WorkerError after what came before, and nothing confirmed past it`, async (t) => {
        const source = await Source.open(t, server());
        const { name } = source;
        await source.insert(1, 2_000, 500);
        await source.insert(2_001, 2_003);
        await source.insert(2_004, 2_006);
        await source.insert(2_007, 5_000, 500);
        const options: RowsOptions = { badId: 2_005, how };
        const stream = source.stream({
          workers: 2,
          transform: transformOf('encode', { options }),
          // Loading the module on a busy machine has to fit into it too.
          transformTimeoutMs: how === 'hang' ? 3_000 : 30_000,
        });
        const values: unknown[] = [];
        const add = (event: WalEvent | null | undefined) => {
          if (event?.kind === 'insert') values.push(event.value);
        };
        const consume = async () => {
          if (style === 'for await') for await (const event of stream) add(event);
          else if (style === 'batches')
            for await (const batch of stream.batches()) for (const event of batch) add(event);
          else
            for (let event = await stream.nextEvent(); event !== undefined; event = await stream.nextEvent())
              add(event);
        };
        const error = await failure(consume());
        assert.ok(error instanceof WorkerError, inspect(error));
        assert.equal(error.retryable, false);
        assert.ok(error.lsn !== undefined && error.lsn > 0n);
        assert.ok(stream.stats().workerRestarts > 0);
        // No gap, and nothing of what comes after.
        assert.deepEqual(
          values,
          range(1, values.length).map((id) => `insert ${name} ${id}`),
        );
        if (how === 'throw') {
          assert.equal(error.relation, `public.${name}`);
          assert.equal(error.ordinal, 1);
          assert.equal((error.cause as Error).message, 'told to throw');
        }
        // Of a thread that is gone, whole batches that came before; of one that threw, the batch's changes before it too.
        assert.ok(values.length > 0 && values.length <= 2_004, `${values.length} values`);
        if (how === 'throw') assert.equal(values.length, 2_004);
        if (how === 'exit') assert.equal(error.exitCode, 7);
        const rest = await source.rest();
        // From the beginning of a transaction that was not finished, through the one at fault, to the end.
        assert.ok((how === 'throw' ? [2_004] : [1, 2_001, 2_004]).includes(rest[0] ?? 0), `from ${rest[0]}`);
        assert.deepEqual(rest, range(rest[0] ?? 0, 5_000));
      });
    }
  }

  for (const style of ['for await', 'batches', 'batches, manual'] as const) {
    test(`throw, ${style}: what came before it in its own batch is delivered, and that alone confirmed`, async (t) => {
      const source = await Source.open(t, server());
      for (const id of range(1, 3)) await source.insert(id);
      await source.insert(4, 6);
      await source.insert(7);
      const seen: unknown[] = [];
      const options: RowsOptions = { badId: 5, how: 'throw' };
      const stream = source.stream({
        transform: transformOf('encode', { options }),
        ack: style === 'batches, manual' ? 'manual' : 'auto',
      });
      const add = (event: WalEvent) => seen.push('value' in event ? event.value : event.kind);
      const batchLengths: number[] = [];
      const consume = async () => {
        if (style === 'for await') for await (const event of stream) add(event);
        else
          for await (const batch of stream.batches()) {
            batchLengths.push([...batch].length);
            for (const event of batch) add(event);
            // Everything that can be: the batch that was cut short counts as what there is of it.
            if (style === 'batches, manual') stream.ack(0xffff_ffff_ffff_ffffn);
          }
      };
      await received(stream);
      const error = await failure(consume());
      assert.ok(error instanceof WorkerError, inspect(error));
      assert.equal(error.ordinal, 1);
      const { name } = source;
      const whole = (id: number) => ['begin', `insert ${name} ${id}`, 'commit'];
      assert.deepEqual(
        seen.filter((what) => what !== 'relation'),
        [...whole(1), ...whole(2), ...whole(3), 'begin', `insert ${name} 4`],
      );
      if (style !== 'for await') assert.ok((batchLengths.at(-1) ?? 0) > 2, `batches of ${batchLengths} events`);
      assert.deepEqual(await source.rest(), [4, 5, 6, 7]);
    });
  }

  test("a batch transform that throws: what comes before its batch's first change", async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1, 3);
    const options: RowsOptions = { badId: 2, how: 'throw' };
    const stream = source.stream({ transform: transformOf('badBatch', { per: 'batch', options }) });
    const kinds: string[] = [];
    await received(stream);
    const error = await failure(
      (async () => {
        for await (const { kind } of stream) kinds.push(kind);
      })(),
    );
    assert.ok(error instanceof WorkerError, inspect(error));
    assert.equal(error.ordinal, 0);
    assert.deepEqual(kinds, ['begin', 'relation']);
    assert.deepEqual(await source.rest(), [1, 2, 3]);
  });

  test('a module that cannot be used fails the start', async (t) => {
    const source = await Source.open(t, server());
    const fails = async (transform: TransformOptions, option: string) => {
      const error = await failure(source.stream({ transform, transformTimeoutMs: 5_000 }).start());
      assert.ok(error instanceof ConfigurationError, inspect(error));
      assert.equal(error.option, option);
    };
    await fails({ module: new URL('./transforms/missing.js', import.meta.url) }, 'transform.module');
    await fails(transformOf('missing'), 'transform.export');
    await fails({ module: 'data:text/javascript,throw new Error()' }, 'transform.module');
    await fails({ module: 'data:text/javascript,process.exit(3)' }, 'transform.module');
    await fails({ module: 'data:text/javascript,export default 5' }, 'transform.export');
    assert.equal(await source.activePid(), null);
  });

  test('a module that never loads: stop() and abort end the start', async (t) => {
    const source = await Source.open(t, server());
    const transform = { module: 'data:text/javascript,await new Promise((done) => setTimeout(done, 1e9))' };
    const reason = new Error('enough');
    const controller = new AbortController();
    const failed = failure(source.stream({ transform, signal: controller.signal }).start());
    setTimeout(() => controller.abort(reason), 200);
    assert.equal(await failed, reason);
    const stream = source.stream({ transform });
    const stopped = failure(stream.start());
    setTimeout(() => void stream.stop(), 200);
    assert.ok((await stopped) instanceof ConfigurationError);
  });
});
