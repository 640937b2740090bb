import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import {
  ConfigurationError,
  isRowEvent,
  type StandardSchema,
  UNCHANGED,
  ValidationError,
  type WalEvent,
  WalStream,
  type WalStreamOptions,
  WorkerError,
} from '../../src/index.js';
import { FakeWalSender, savepoint, type TapeRow, WalTape } from '../../src/testing/index.js';
import { issuePaths } from '../../src/threads/row-issues.js';
import { failure } from './source.js';

function validatorsOf(module: string, rest: Partial<WalStreamOptions['validate']> = {}) {
  return { module: new URL(`./validators/${module}.js`, import.meta.url), ...rest };
}

/** What the standard says is what is taken. */
export const takesTheStandard = (schema: StandardSchemaV1): StandardSchema => schema;

const GOOD: TapeRow = { id: 1, total: '1.50', note: 'a', doc: null };
const BAD: TapeRow = { ...GOOD, id: 66, total: '6.66' };

/** Orders, one transaction for each list of rows; a table that nobody checks is in each. */
function tapeOf(...transactions: (readonly TapeRow[])[]) {
  const wal = new WalTape();
  const columns = { id: 'int8', total: 'numeric', note: 'text', doc: 'jsonb' } as const;
  const orders = wal.relation({ table: 'orders', columns, key: ['id'] });
  const others = wal.relation({ table: 'others', columns: { total: 'numeric' } });
  for (const rows of transactions) {
    wal.transaction([others.insert({ total: '6.66' }), ...rows.map((row) => orders.insert(row))]);
  }
  return { wal, orders };
}

async function streamOf(t: TestContext, wal: WalTape, options: Partial<WalStreamOptions>) {
  const sender = await FakeWalSender.listen({ wal, slots: ['orders'], publications: ['orders'] });
  t.after(() => sender.close());
  const connection = sender.connectionString();
  const rest = { retry: { maxAttempts: 0 }, stopLsn: wal.endLsn, ...options };
  const stream = new WalStream({ connection, slot: 'orders', publications: 'orders', ...rest });
  t.after(() => stream.stop({ drain: 'none' }));
  return { stream, sender };
}

function idsOf(events: readonly WalEvent[]): unknown[] {
  return events.flatMap((event) => (event.kind === 'insert' && event.table === 'orders' ? [event.new.id] : []));
}

for (const library of ['zod', 'valibot', 'arktype']) {
  suite(`validators of ${library}`, () => {
    test('what is valid passes as it is; the first that is not ends the stream, after everything before it', async (t) => {
      const secret = 'tell nobody';
      const { wal } = tapeOf(
        [GOOD, { ...GOOD, id: 2, note: null, doc: { lines: [{ price: 1 }, { price: 2.5 }] } }],
        [
          { ...GOOD, id: 3 },
          { ...GOOD, id: 4, total: secret, doc: { lines: [{ price: 1 }, { price: secret }] } },
        ],
        [{ ...GOOD, id: 5 }],
      );
      const { stream, sender } = await streamOf(t, wal, { validate: validatorsOf(`with-${library}`) });
      const events: WalEvent[] = [];
      const error = await failure(
        (async () => {
          for await (const event of stream) events.push(event);
        })(),
      );
      assert.ok(error instanceof ValidationError, inspect(error));
      assert.deepEqual(idsOf(events), [1n, 2n, 3n]);
      const last = events.at(-1);
      assert.ok(last?.kind === 'insert');
      const { code, relation, ordinal, paths, lsn, retryable } = error;
      assert.deepEqual(
        { code, relation, ordinal, retryable },
        {
          code: 'ERR_VALIDATION',
          relation: 'public.orders',
          ordinal: 2,
          retryable: false,
        },
      );
      assert.deepEqual([...paths].sort(), ['doc.lines[1].price', 'total']);
      assert.ok(lsn > last.lsn);
      assert.ok(!inspect(error, { depth: 9 }).includes(secret));
      // The transaction that it is in comes again.
      const [first] = events.filter((event) => event.kind === 'commit');
      assert.ok(first?.kind === 'commit');
      assert.equal(sender.slot('orders')?.confirmedFlushLsn, first.commitEndLsn);
    });

    test('columns that an update left out are not judged', async (t) => {
      const { wal, orders } = tapeOf([GOOD]);
      wal.transaction([
        orders.update({ ...GOOD, note: UNCHANGED, doc: UNCHANGED }),
        orders.update({ ...GOOD, total: 'x', note: UNCHANGED }),
      ]);
      const { stream } = await streamOf(t, wal, { validate: validatorsOf(`with-${library}`) });
      const updates: WalEvent[] = [];
      const error = await failure(
        (async () => {
          for await (const event of stream) if (event.kind === 'update') updates.push(event);
        })(),
      );
      assert.ok(error instanceof ValidationError, inspect(error));
      assert.equal(updates.length, 1);
      assert.deepEqual(error.paths, ['total']);
      assert.equal(error.ordinal, 1);
    });
  });
}

suite('validators', () => {
  test('onInvalid drop: the change is left out and counted; ordinals, order and acknowledgement stay', async (t) => {
    for (const exported of ['whole', 'late']) {
      const rows = (from: number): TapeRow[] =>
        Array.from({ length: 500 }, (_, at) => ({ ...(at % 3 === 1 ? BAD : GOOD), id: from + at }));
      const { wal } = tapeOf(rows(0), [BAD], rows(500));
      const validate = validatorsOf('by-hand', { export: exported, onInvalid: 'drop' });
      const { stream, sender } = await streamOf(t, wal, { validate, workers: 2 });
      const events: WalEvent[] = [];
      for await (const event of stream) events.push(event);
      const expected = [...rows(0), BAD, ...rows(500)].filter(({ total }) => total !== '6.66');
      assert.deepEqual(
        idsOf(events),
        expected.map(({ id }) => BigInt(id as number)),
      );
      const ordinals = events.flatMap((event) => (event.kind === 'insert' ? [event.ordinal] : [])).slice(0, 4);
      assert.deepEqual(ordinals, [0, 1, 3, 4]);
      assert.equal(events.filter(({ kind }) => kind === 'commit').length, 3);
      assert.equal(stream.stats().invalidRows, 1 + 2 * 167);
      assert.equal(stream.stats().inlineBatches, 0);
      assert.equal(sender.slot('orders')?.confirmedFlushLsn, wal.endLsn);
    }
  });

  test('what is streamed and rolled back to a savepoint is counted by nobody who gets transactions', async (t) => {
    const { wal, orders } = tapeOf();
    wal.transaction([orders.insert(GOOD), savepoint([orders.insert(GOOD)]), orders.insert(BAD), orders.insert(GOOD)]);
    const validate = validatorsOf('by-hand', { export: 'whole', onInvalid: 'drop' });
    const { stream } = await streamOf(t, wal, { validate });
    const ordinals: unknown[] = [];
    for await (const item of stream.transactions()) {
      if (item.kind !== 'transaction') continue;
      for await (const change of item.changes) if (isRowEvent(change)) ordinals.push(change.ordinal);
    }
    assert.deepEqual(ordinals, [0, 1, 3]);
  });

  test('before a transform: that sees what is valid only', async (t) => {
    const { wal } = tapeOf([GOOD, BAD, { ...GOOD, id: 2 }]);
    const transform = { module: new URL('./transforms/rows.js', import.meta.url), export: 'orderId' };
    for (const onInvalid of ['drop', 'fail'] as const) {
      const validate = validatorsOf('by-hand', { export: 'whole', onInvalid });
      const { stream } = await streamOf(t, wal, { validate, transform });
      const values: unknown[] = [];
      const run = (async () => {
        for await (const event of stream) if (isRowEvent(event)) values.push(event.value);
      })();
      if (onInvalid === 'drop') await run;
      else assert.ok((await failure(run)) instanceof ValidationError);
      assert.deepEqual(values, onInvalid === 'drop' ? ['others', 1n, 2n] : ['others', 1n]);
    }
  });

  test('one that throws, throws twice: a WorkerError with the place', async (t) => {
    const { wal } = tapeOf([GOOD, BAD]);
    const { stream } = await streamOf(t, wal, { validate: validatorsOf('by-hand', { export: 'throwing' }) });
    const events: WalEvent[] = [];
    const error = await failure(
      (async () => {
        for await (const event of stream) events.push(event);
      })(),
    );
    assert.ok(error instanceof WorkerError, inspect(error));
    assert.match(
      error.message,
      /^the validator failed twice on a change of public\.orders, change \d+ of its transaction at [0-9A-F]+\/[0-9A-F]+$/,
    );
    assert.equal(error.ordinal, 2);
    assert.equal((error.cause as Error).message, 'told to throw');
    assert.deepEqual(idsOf(events), [1n]);
    assert.equal(stream.stats().workerRestarts, 1);
  });

  test('what is wrong with the option or the module is said before the stream starts', async (t) => {
    const { wal } = tapeOf([GOOD]);
    for (const [validate, option, message] of [
      [validatorsOf('nowhere'), 'validate.module', /cannot be loaded/],
      [validatorsOf('by-hand'), 'validate.export', /has no object 'default'/],
      [validatorsOf('by-hand', { export: 'aSchemaItself' }), 'validate.export', /has no object 'aSchemaItself'/],
      [validatorsOf('by-hand', { export: 'misnamed' }), 'validate.export', /"orders" in .* is not 'schema\.table'/],
      [
        validatorsOf('by-hand', { export: 'noSchema' }),
        'validate.export',
        /"public\.orders" in .* is no Standard Schema/,
      ],
    ] as const) {
      const { stream } = await streamOf(t, wal, { validate });
      const error = await failure(stream.start());
      assert.ok(error instanceof ConfigurationError, inspect(error));
      assert.equal(error.option, option);
      assert.match(error.message, message);
    }
    const module = new URL('file:///nowhere.js');
    for (const [validate, option] of [
      ['module', 'validate'],
      [{}, 'validate.module'],
      [{ module, onInvalid: 'mark' }, 'validate.onInvalid'],
      [{ module, export: '' }, 'validate.export'],
      [{ module, per: 'batch' }, 'validate.per'],
    ] as const) {
      assert.throws(
        () =>
          new WalStream({ connection: 'postgresql://h', slot: 's', publications: 'p', validate: validate as never }),
        (error) => error instanceof ConfigurationError && error.option === option,
      );
    }
    assert.throws(
      () =>
        new WalStream({
          connection: 'postgresql://h',
          slot: 's',
          publications: 'p',
          validate: { module },
          types: { overrides: { int8: Number } },
        }),
      { option: 'types.overrides.int8' },
    );
  });
});

suite('places of issues', () => {
  const row = { a: 1, b: UNCHANGED };

  test('by column and key, bounded, each once', () => {
    assert.deepEqual(issuePaths({ a: 1 }, [{ message: 'x' }, { message: 'y', path: [] }]), ['']);
    const paths = issuePaths(row, [
      { message: '', path: ['a', { key: 'k' }, 3, 'l'] },
      { message: '', path: [{ key: 'a' }, 'k', { key: 3 }, 'l'] },
      { message: '', path: ['a', 'x'.repeat(1000)] },
    ]);
    assert.deepEqual(paths, ['a.k[3].l', `a.${'x'.repeat(64)}`]);
    const many = Array.from({ length: 100 }, (_, at) => ({ message: '', path: ['a', at] }));
    assert.equal(issuePaths(row, many).length, 20);
    assert.equal(issuePaths(row, [{ message: '', path: Array(1000).fill('a') }])[0]?.length, 31);
  });

  test('of what was not sent nothing counts', () => {
    assert.deepEqual(
      issuePaths(row, [{ message: '', path: ['b'] }, { message: '', path: ['b', 1] }, { message: '' }]),
      [],
    );
    assert.deepEqual(issuePaths(row, [{ message: '', path: ['missing'] }]), ['missing']);
  });
});
