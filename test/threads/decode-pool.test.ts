import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import { DecodeError } from '../../src/errors.js';
import { Transcoder } from '../../src/pgoutput/transcoder.js';
import { Resequencer } from '../../src/stream/resequencer.js';
import type { PooledBatch } from '../../src/threads/decode-pool.js';
import { modelStream } from '../pgoutput/arbitrary-stream.js';
import { cutStream, decode, eventFacts, taskOf } from '../pgoutput/batches.js';
import * as wire from '../support/pgoutput-bytes.js';
import fc from '../support/properties.js';
import { eventsOfReply, noteBatches, openPool, taskFor } from './pool.js';

suite('without a transform', () => {
  test('workers pack exactly what this thread packs, and in order behind the resequencer', async (t) => {
    const pool = openPool(t);
    for (const { frames } of fc.sample(modelStream(400), { numRuns: 12, seed: 7 })) {
      const { batches } = cutStream(frames, (messageNumber) => messageNumber % 17 === 3);
      const resequencer = new Resequencer<{ reply: PooledBatch; sequence: number }>();
      const inOrder: number[] = [];
      const facts: unknown[] = [];
      // The last first: completions come in no order of the stream.
      const submitted = batches.toReversed().map(async (batch) => {
        const reply = await pool.decode(taskFor(batch), batch.firstLsn);
        const inline = new Transcoder('lossless').transcode(taskOf(batch));
        assert.deepStrictEqual([...reply.index], [...inline.index]);
        assert.equal(Buffer.compare(reply.data, inline.data), 0);
        assert.equal(reply.error, undefined);
        const { sequence } = batch.position;
        for (const ready of resequencer.push(sequence, { reply, sequence })) {
          inOrder.push(ready.sequence);
          const of = batches[ready.sequence];
          if (of !== undefined) facts.push(...eventsOfReply(of, ready.reply, false).map(eventFacts));
        }
      });
      await Promise.all(submitted);
      assert.deepStrictEqual(
        inOrder,
        batches.map((_, sequence) => sequence),
      );
      assert.deepStrictEqual(facts, decode(frames).events.map(eventFacts));
    }
    assert.ok(pool.batches > 0 && pool.busyMs > 0);
    assert.equal(pool.restarts, 0);
  });

  test('a batch that cannot be decoded gives its events before the fault, and the fault', async (t) => {
    const pool = openPool(t, { workers: 1 });
    const frames = [
      wire.xLogData(1n, wire.begin({ commitLsn: 9n, xid: 1 })),
      wire.xLogData(0x1_0000_0002n, wire.insert(4711, ['1'])),
    ];
    const [batch] = cutStream(frames).batches;
    assert.ok(batch !== undefined);
    const reply = await pool.decode(taskFor(batch), batch.firstLsn);
    const { error } = reply;
    assert.ok(error instanceof DecodeError);
    assert.deepStrictEqual([error.offset, error.tag, error.lsn, error.relationId], [0, 'I', 0x1_0000_0002n, 4711]);
    assert.deepEqual(
      eventsOfReply(batch, reply, false).map(({ kind }) => kind),
      ['begin'],
    );
  });

  test('nothing of the stream is copied to the workers: they read the memory itself', async (t) => {
    const pool = openPool(t, { workers: 1 });
    const [, batch] = noteBatches(['first']);
    assert.ok(batch !== undefined);
    const at = batch.slab.bytes.indexOf('first', batch.start);
    batch.slab.bytes.write('later', at);
    const [event] = eventsOfReply(batch, await pool.decode(taskFor(batch), batch.firstLsn), false);
    assert.ok(event?.kind === 'insert');
    assert.equal(event.new.note, 'later');
  });
});

suite('close', () => {
  test('rejects what was not decoded, and what comes afterwards', async (t) => {
    const pool = openPool(t, { workers: 1 });
    const batches = noteBatches(Array.from({ length: 50 }, () => 'x'));
    const outcomes = Promise.allSettled(batches.map((batch) => pool.decode(taskFor(batch), batch.firstLsn)));
    await pool.close();
    const rejected = (await outcomes).filter((outcome) => outcome.status === 'rejected');
    assert.ok(rejected.length > 0);
    for (const { reason } of rejected) {
      assert.equal(reason.code, 'ERR_WORKER');
      assert.match(reason.message, /closed/);
    }
    const [batch] = batches;
    assert.ok(batch !== undefined);
    await assert.rejects(pool.decode(taskFor(batch), batch.firstLsn), { code: 'ERR_WORKER', sequence: 0, lsn: 10n });
    await pool.close();
  });
});

/** In a process of its own, because what went wrong was the end of the process. */
test('a pool may be closed while its threads load', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', CLOSE_EARLY]);
  assert.equal(stdout, 'done');
});

const CLOSE_EARLY = `
  import { setTimeout as sleep } from 'node:timers/promises';
  import { DecodePool } from '${new URL('../../src/threads/decode-pool.js', import.meta.url)}';
  for (let waitMs = 20; waitMs < 120; waitMs += 3) {
    const pool = new DecodePool({ types: { mode: 'lossless', overrides: [] }, transform: undefined, workers: 2, timeoutMs: 10_000 });
    await sleep(waitMs);
    await pool.close();
  }
  process.stdout.write('done');`;
