import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerError } from '../../src/errors.js';
import type { CutBatch } from '../../src/stream/cut-batch.js';
import type { DecodePool } from '../../src/threads/decode-pool.js';
import { eventsOfReply, noteBatches, openPool, taskFor, transformOf } from './pool.js';
import { ATTEMPTS, ENDED, FAILURES, HEARTBEATS, REPORT_WORDS, SEEN } from './transforms/misbehaving.js';

/** A known gap, and no success: a worker there neither stops at its heap's limit nor when it is terminated. */
const NO_HEAP_LIMIT =
  Number(process.versions.node.split('.')[0]) >= 24 &&
  `Node ${process.versions.node} does not end a worker thread that allocates without end`;

/** So that running out of memory is quick. */
const HEAP_MB = 96;
const TIMEOUT_MS = 1_500;

function misbehavingPool(t: TestContext, options: { workers?: number; timeoutMs?: number; exportName?: string } = {}) {
  const { exportName, ...poolOptions } = options;
  const words = new Int32Array(new SharedArrayBuffer(REPORT_WORDS * 4));
  const transform = transformOf('misbehaving', exportName, { options: { words } });
  return { pool: openPool(t, { transform, timeoutMs: TIMEOUT_MS, heapMb: HEAP_MB, ...poolOptions }), words };
}

interface Outcome {
  /** `undefined` when nothing of the batch came back. */
  readonly values: unknown[] | undefined;
  readonly error: WorkerError | undefined;
}

async function decodeOne(pool: DecodePool, batch: CutBatch): Promise<Outcome> {
  try {
    const packed = await pool.decode(taskFor(batch), batch.firstLsn);
    const { error } = packed;
    assert.ok(error === undefined || error instanceof WorkerError, `${error}`);
    const events = eventsOfReply(batch, packed);
    return { values: events.flatMap((event) => ('value' in event ? [event.value] : [])), error };
  } catch (error) {
    assert.ok(error instanceof WorkerError, `${error instanceof Error ? error.stack : error}`);
    return { values: undefined, error };
  }
}

function decodeAll(pool: DecodePool, batches: readonly CutBatch[]): Promise<Outcome[]> {
  return Promise.all(batches.map((batch) => decodeOne(pool, batch)));
}

/** Fails the test on what nobody catches; node:test would do so too, but would not say in which. */
function watchRejections(t: TestContext): void {
  const seen: unknown[] = [];
  const onRejection = (reason: unknown) => seen.push(reason);
  process.on('unhandledRejection', onRejection);
  t.after(() => {
    process.off('unhandledRejection', onRejection);
    assert.deepEqual(seen, []);
  });
}

/** What is known of the failure: a change where a transform failed on one, else the batch. */
const KINDS = [
  {
    note: 'throw',
    message: /transform failed twice on a change of s\.notes, change 6 of its transaction at 0\/69$/,
    change: true,
  },
  {
    note: 'throw-text',
    message: /transform failed twice on a change of s\.notes, change 6 of its transaction at 0\/69$/,
    change: true,
  },
  {
    note: 'reject',
    message: /transform failed twice on a change of s\.notes, change 6 of its transaction at 0\/69$/,
    change: true,
  },
  { note: 'exit', message: /worker thread exited with code 23, twice on the same batch at 0\/69$/, exitCode: 23 },
  { note: 'hang', message: /no answer within 1500 ms/ },
  { note: 'never', message: /no answer within 1500 ms/ },
  { note: 'uncaught', message: /worker thread failed, twice on the same batch at 0\/69$/ },
  { note: 'exhaust', message: /worker thread ran out of memory, twice on the same batch at 0\/69$/ },
] as const;

suite('a worker that fails on a batch every time', () => {
  for (const { note, message, ...known } of KINDS) {
    test(note, { skip: note === 'exhaust' && NO_HEAP_LIMIT }, async (t) => {
      watchRejections(t);
      const { pool, words } = misbehavingPool(t);
      const notes = Array.from({ length: 12 }, (_, at) => (at === 5 ? ['fine', note, 'fine'] : `row ${at}`));
      const batches = noteBatches(notes);
      const outcomes = await decodeAll(pool, batches);
      const bad = 6;
      const { error, values: before } = outcomes[bad] ?? {};
      assert.ok(error instanceof WorkerError);
      assert.match(error.message, message);
      assert.equal(words[ATTEMPTS], 2, 'attempts');
      assert.equal(error.sequence, bad);
      assert.equal(error.retryable, false);
      assert.equal(error.lsn, 105n);
      const change = 'change' in known;
      assert.equal(error.relation, change ? 's.notes' : undefined);
      assert.equal(error.ordinal, change ? 6 : undefined);
      assert.equal(error.exitCode, 'exitCode' in known ? known.exitCode : undefined);
      assert.ok(error.cause instanceof Error);
      assert.deepStrictEqual(before, change ? ['fine'] : undefined);
      const values = outcomes.filter((_, at) => at !== bad).map((outcome) => outcome.values);
      assert.deepStrictEqual(values, [[], ...notes.filter((_, at) => at !== 5).map((row) => [row]), []]);
      // The pool goes on.
      const [, after] = await decodeAll(pool, noteBatches(['after']));
      assert.deepStrictEqual(after?.values, ['after']);
      const beats = words[HEARTBEATS];
      await sleep(50);
      assert.equal(words[HEARTBEATS], beats, 'the hanging thread was ended');
    });
  }
});

suite('a worker that fails once', () => {
  for (const note of ['throw', 'reject', 'exit', 'hang', 'uncaught'] as const) {
    test(note, async (t) => {
      watchRejections(t);
      const { pool, words } = misbehavingPool(t);
      words[FAILURES] = 1;
      const outcomes = await decodeAll(pool, noteBatches(['a', note, 'b', 'c', 'd']));
      assert.deepStrictEqual(
        outcomes.map(({ values }) => values),
        [[], ['a'], [note], ['b'], ['c'], ['d'], []],
      );
      assert.equal(words[ATTEMPTS], 2);
      assert.ok(pool.restarts >= 1);
    });
  }
});

suite('a thread with a second batch', () => {
  test('goes on with it while the main thread is busy', async (t) => {
    const { pool, words } = misbehavingPool(t, { workers: 1, timeoutMs: 20_000 });
    const [, first, second, third] = noteBatches(['seen', 'seen', 'seen']);
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    await decodeOne(pool, first);
    const outcomes = decodeAll(pool, [second, third]);
    // Nothing else runs on this thread meanwhile.
    Atomics.wait(words, SEEN, 1, 10_000);
    Atomics.wait(words, SEEN, 2, 10_000);
    assert.equal(Atomics.load(words, SEEN), 3);
    assert.deepStrictEqual(await outcomes, [
      { values: ['seen'], error: undefined },
      { values: ['seen'], error: undefined },
    ]);
  });

  test('counts its time from when it is begun', async (t) => {
    const { pool } = misbehavingPool(t, { workers: 1, timeoutMs: 4_000 });
    const outcomes = await decodeAll(pool, noteBatches(['slow', 'slow']));
    assert.deepStrictEqual(
      outcomes.map(({ values }) => values),
      [[], ['slow'], ['slow'], []],
    );
    assert.equal(pool.restarts, 0);
  });

  for (const note of ['exit', 'hang', 'uncaught'] as const) {
    test(`is not to blame for its end: ${note}`, async (t) => {
      watchRejections(t);
      const { pool, words } = misbehavingPool(t, { workers: 1 });
      // The second one fails by itself, once: more would be too often.
      const outcomes = await decodeAll(pool, noteBatches([note, 'exit-once', 'fine']));
      assert.deepStrictEqual(
        outcomes.map(({ values }) => values),
        [[], undefined, ['exit-once'], ['fine'], []],
      );
      assert.equal(outcomes[1]?.error?.sequence, 1);
      assert.equal(words[ATTEMPTS], 2);
      assert.equal(words[ENDED], 2);
    });
  }
});

test('many bad batches, each its own error, among good ones', async (t) => {
  watchRejections(t);
  const { pool, words } = misbehavingPool(t);
  const notes = Array.from({ length: 30 }, (_, at) => (at % 5 === 2 ? 'exit' : at % 5 === 4 ? 'throw' : `row ${at}`));
  const outcomes = (await decodeAll(pool, noteBatches(notes))).slice(1, -1);
  outcomes.forEach(({ values, error }, at) => {
    if (at % 5 === 2 || at % 5 === 4) assert.equal(error?.sequence, at + 1);
    else assert.deepStrictEqual(values, [notes[at]]);
  });
  assert.equal(words[ATTEMPTS], 24);
});

test('a batch in its second attempt is alone, and batches that come meanwhile wait', async (t) => {
  watchRejections(t);
  const { pool } = misbehavingPool(t);
  const [suspect, later] = noteBatches(['late', 'fine']).slice(1, -1);
  assert.ok(suspect !== undefined && later !== undefined);
  const order: string[] = [];
  const first = decodeOne(pool, suspect).then(({ values }) => order.push(String(values)));
  while (pool.restarts < 1) await sleep(5);
  await decodeOne(pool, later).then(({ values }) => order.push(String(values)));
  await first;
  assert.deepStrictEqual(order, ['late', 'fine']);
});

test('close() leaves no thread', async (t) => {
  const { pool, words } = misbehavingPool(t, { exportName: 'ticking' });
  const batches = noteBatches(['a', 'b']);
  await decodeAll(pool, batches);
  await sleep(30);
  assert.ok(words[HEARTBEATS] > 0, 'timers of a module run while its worker is idle');
  await pool.close();
  const beats = words[HEARTBEATS];
  await sleep(50);
  assert.equal(words[HEARTBEATS], beats);
});

test('close() does not wait for a worker that hangs', async (t) => {
  watchRejections(t);
  const { pool } = misbehavingPool(t, { timeoutMs: 60_000 });
  const outcomes = decodeAll(pool, noteBatches(['hang', 'a', 'hang', 'b']));
  await sleep(200);
  const startedAt = performance.now();
  await pool.close();
  assert.ok(performance.now() - startedAt < 30_000);
  assert.ok((await outcomes).some(({ error }) => error?.message.includes('closed')));
});
