import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { ConfigurationError, WorkerError } from '../../src/errors.js';
import type { WalEvent } from '../../src/pgoutput/event.js';
import type { CutBatch } from '../../src/stream/cut-batch.js';
import type { TransformSource } from '../../src/threads/decode-task.js';
import { UNCHANGED } from '../../src/types/unchanged.js';
import { cutStream } from '../pgoutput/batches.js';
import * as wire from '../support/pgoutput-bytes.js';
import { eventsOfReply, noteBatches, openPool, taskFor, transformOf } from './pool.js';
import { VALUES } from './transforms/values.js';

async function transformed(
  t: TestContext,
  transform: TransformSource,
  batches: readonly CutBatch[],
): Promise<WalEvent[]> {
  const pool = openPool(t, { transform });
  const replies = await Promise.all(batches.map((batch) => pool.decode(taskFor(batch), batch.firstLsn)));
  return replies.flatMap((reply, at) => eventsOfReply(batches[at] as CutBatch, reply));
}

function valuesOf(events: readonly WalEvent[]): unknown[] {
  return events.flatMap((event) => ('value' in event ? [event.value] : []));
}

suite('values', () => {
  test('of every kind cross the threads as they are', async (t) => {
    const names = Object.keys(VALUES);
    const events = await transformed(t, transformOf('values'), noteBatches([names]));
    const byName = Object.fromEntries(valuesOf(events).map((value, at) => [names[at], value]));
    assert.deepStrictEqual(byName, VALUES);
    for (const event of events) JSON.stringify(event);
  });

  test('an event with a value has no rows', async (t) => {
    const [, , event] = await transformed(t, transformOf('values'), noteBatches([['bigint']]));
    assert.ok(event?.kind === 'insert');
    assert.deepStrictEqual(event.new, {});
    assert.equal(event.identity, undefined);
    const { relation, ...plain } = event.toObject();
    assert.deepStrictEqual(plain, {
      kind: 'insert',
      schema: 's',
      table: 'notes',
      xid: 7,
      lsn: 100n,
      commitLsn: 900n,
      ordinal: 0,
      value: 9_007_199_254_740_993n,
    });
    assert.equal((relation as { id: number }).id, 5);
    assert.equal(event.toJSON().value, '9007199254740993');
  });

  test('a thenable is awaited', async (t) => {
    const events = await transformed(t, transformOf('values', 'thenable'), noteBatches([['a', 'b']]));
    assert.deepStrictEqual(valuesOf(events), ['then a', 'then b']);
  });

  for (const name of ['function', 'a function within', 'symbol']) {
    test(`a ${name} is a WorkerError, not lost without a word`, async (t) => {
      const [, batch] = noteBatches([[name]]);
      assert.ok(batch !== undefined);
      const pool = openPool(t, { transform: transformOf('values', 'functionNamed') });
      const { error } = await pool.decode(taskFor(batch), batch.firstLsn);
      assert.ok(error instanceof WorkerError, String(error));
      if (name !== 'symbol') assert.match((error.cause as Error).message, /a function cannot leave its worker/);
    });
  }

  test('a row as it is, unchanged columns included', async (t) => {
    const columns = ['id', 'toString', '1'].map((name, at) => ({ name, isIdentity: at === 0 }));
    const { batches } = cutStream([
      wire.xLogData(0n, wire.relation({ id: 5, columns })),
      wire.xLogData(2n, wire.update(5, ['a', UNCHANGED, null])),
      wire.xLogData(3n, wire.update(5, ['b', 's', UNCHANGED])),
    ]);
    const events = await transformed(t, transformOf('values', 'newRow'), batches);
    assert.deepStrictEqual(valuesOf(events), [
      { id: 'a', toString: UNCHANGED, 1: null },
      { id: 'b', toString: 's', 1: UNCHANGED },
    ]);
  });

  test('a value that cannot cross is a WorkerError that names the change', async (t) => {
    const pool = openPool(t, { transform: transformOf('values', 'unpackable') });
    const [, batch] = noteBatches(['x']);
    assert.ok(batch !== undefined);
    const { error } = await pool.decode(taskFor(batch), batch.firstLsn);
    assert.ok(error instanceof WorkerError);
    assert.deepStrictEqual([error.relation, error.ordinal, error.lsn], ['s.notes', 0, 100n]);
    assert.equal(pool.restarts, 1);
  });
});

suite('per change', () => {
  test('the function sees where the change stands', async (t) => {
    const events = await transformed(t, transformOf('values', 'position'), noteBatches([['a', 'b'], 'c']));
    const at = { kind: 'insert', table: 's.notes', xid: 7, commitLsn: 900n };
    assert.deepStrictEqual(valuesOf(events), [
      { ...at, ordinal: 0, lsn: 100n },
      { ...at, ordinal: 1, lsn: 100n },
      { ...at, ordinal: 2, lsn: 101n },
    ]);
  });

  test('async, with options; undefined drops the change, and ordinals stay', async (t) => {
    const notes = Array.from({ length: 20 }, () => ['x', 'x', 'x']);
    const transform = transformOf('values', 'evenLater', { options: { delayMs: 4, factor: 10 } });
    const batches = noteBatches(notes);
    const events = await transformed(t, transform, batches);
    const kept = Array.from({ length: 30 }, (_, at) => at * 2);
    assert.deepStrictEqual(
      valuesOf(events),
      kept.map((ordinal) => ordinal * 10),
    );
    assert.deepStrictEqual(
      events.flatMap((event) => (event.kind === 'insert' ? [event.ordinal] : [])),
      kept,
    );
    assert.deepEqual(
      events.flatMap(({ kind }) => (kind === 'insert' ? [] : [kind])),
      ['begin', 'relation', 'commit'],
    );
  });

  test('events that are no row changes come through as they are', async (t) => {
    const frames = [
      wire.begin({ commitLsn: 900n, xid: 7 }),
      wire.origin({ originLsn: 5n, name: 'o' }),
      wire.type({ id: 9, schema: 's', name: 'mood' }),
      wire.relation({ id: 5, columns: [{ name: 'note' }] }),
      wire.relation({ id: 6, columns: [] }),
      wire.insert(5, ['null']),
      wire.truncate([6, 5], { restartIdentity: true }),
      wire.insert(5, ['not a value']),
      wire.message({ transactional: true, lsn: 3n, prefix: 'p', content: 'content' }),
      wire.commit({ commitLsn: 900n, commitEndLsn: 930n }),
    ].map((payload, at) => wire.xLogData(BigInt(at), payload));
    const { batches } = cutStream(frames);
    const events = await transformed(t, transformOf('values'), batches);
    const plain = eventsOfReply(
      batches[0] as CutBatch,
      await openPool(t).decode(taskFor(batches[0] as CutBatch), 0n),
      false,
    );
    const others = (of: readonly WalEvent[]) =>
      of.filter(({ kind }) => kind !== 'insert').map((event) => event.toObject());
    assert.deepStrictEqual(others(events), others(plain));
    assert.equal(events.length, plain.length - 1);
    const truncate = events.find((event) => event.kind === 'truncate');
    assert.equal(truncate?.ordinal, 1);
  });
});

suite('per batch', () => {
  const perBatch = (name: string) => transformOf('values', name, { per: 'batch' });

  test('one value per event', async (t) => {
    const events = await transformed(t, perBatch('countBatch'), noteBatches([['a', 'b', 'c'], 'd', ['e', 'f']]));
    assert.deepStrictEqual(valuesOf(events), [
      { at: 1, of: 3 },
      { at: 2, of: 3 },
      { at: 1, of: 2 },
    ]);
  });

  test('another number of values is a WorkerError', async (t) => {
    const [, batch] = noteBatches([['a', 'b']]);
    assert.ok(batch !== undefined);
    const pool = openPool(t, { transform: perBatch('tooFew') });
    const { error } = await pool.decode(taskFor(batch), batch.firstLsn);
    assert.ok(error instanceof WorkerError);
    assert.equal(error.sequence, 1);
    // What a user's function says may hold row values: it is the cause, and not in the message.
    assert.equal(
      error.message,
      'the transform failed twice on a change of s.notes, change 0 of its transaction at 0/64',
    );
    assert.ok(error.cause instanceof Error);
    assert.equal(error.cause.message, 'the batch transform must return an array of 2 values');
  });
});

suite('prepare()', () => {
  test('a module that is fine, and none', async (t) => {
    await openPool(t, { transform: transformOf('values') }).prepare();
    await openPool(t).prepare();
  });

  const cases: readonly [string, TransformSource, string, RegExp][] = [
    ['missing', transformOf('nowhere'), 'transform.module', /nowhere\.js cannot be loaded.*Cannot find module/],
    ['that throws', transformOf('broken'), 'transform.module', /broken\.js cannot be loaded: broken on purpose/],
    ['that ends its thread', transformOf('exiting'), 'transform.module', /exiting\.js cannot be loaded without ending/],
    ['that never loads', transformOf('stuck'), 'transform.module', /stuck\.js cannot be loaded within 700 ms/],
    ['without that export', transformOf('values', 'nothing'), 'transform.export', /has no function 'nothing'/],
    ['whose export is no function', transformOf('values', 'VALUES'), 'transform.export', /has no function 'VALUES'/],
  ];
  for (const [name, transform, option, message] of cases) {
    test(`a module ${name} is a ConfigurationError`, async (t) => {
      const pool = openPool(t, { transform, timeoutMs: name === 'that never loads' ? 700 : 20_000 });
      const error: unknown = await pool.prepare().catch((reason: unknown) => reason);
      assert.ok(error instanceof ConfigurationError, `${error}`);
      assert.equal(error.option, option);
      assert.match(error.message, message);
    });
  }
});
