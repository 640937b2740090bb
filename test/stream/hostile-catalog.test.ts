import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { WalTape } from '../../src/testing/index.js';
import { sender, streamFrom } from '../testing/events.js';

const CUSTOM = 50_000;
const COLUMNS = [
  'oid',
  'schema',
  'name',
  'kind',
  'send',
  'base',
  'element',
  'delimiter',
  'subtype',
  'range',
  'fields',
] as const;

type Answer = Partial<Record<(typeof COLUMNS)[number], string | null>>;

const COMPOSITE: Answer = { oid: String(CUSTOM), schema: 'public', name: 'pair', kind: 'c', base: '0' };

/** A row with `(1,2)` in a column of a type that the server describes so. */
async function streamed(t: TestContext, answer: Answer, workers: number) {
  const tape = new WalTape();
  const orders = tape.relation({ table: 'orders', columns: { id: 'int8', pair: CUSTOM }, key: ['id'] });
  tape.transaction([orders.insert({ id: 1, pair: '(1,2)' })]);
  const from = await sender(tape, {
    answerQuery: (sql) =>
      /WITH RECURSIVE wanted/.test(sql)
        ? { columns: COLUMNS, rows: [COLUMNS.map((column) => answer[column] ?? null)] }
        : undefined,
  });
  t.after(() => from.close());
  const stream = streamFrom(from, { stopLsn: tape.endLsn, workers });
  t.after(() => stream.stop({ drain: 'none' }));
  const values: unknown[] = [];
  for await (const event of stream) if (event.kind === 'insert') values.push(event.new.pair);
  return { values, warnings: stream.warnings };
}

suite('a catalog that says anything', () => {
  test('what is right is used', async (t) => {
    const fields = JSON.stringify(['a', 'b'].map((name) => ({ name, typeOid: 23 })));
    assert.deepEqual((await streamed(t, { ...COMPOSITE, fields }, 1)).values, [{ a: 1, b: 2 }]);
  });

  const malformed: Readonly<Record<string, Answer>> = {
    ...Object.fromEntries(
      ['5', '{}', '"ab"', '[5]', '[null]', 'null', 'not json', '[{"name":5,"typeOid":23}]', '[{"name":"a"}]'].map(
        (fields) => [`fields ${fields}`, { ...COMPOSITE, fields }],
      ),
    ),
    'an OID that is no number': { ...COMPOSITE, oid: 'x' },
    'no schema': { ...COMPOSITE, schema: null },
    'a base type that is no number': { ...COMPOSITE, kind: 'd', base: 'x' },
  };
  for (const [what, answer] of Object.entries(malformed)) {
    test(`${what}: the server's text, and a warning that says so`, async (t) => {
      const { values, warnings } = await streamed(t, answer, 1);
      assert.deepEqual(values, ['(1,2)']);
      assert.match(warnings.join('\n'), /of a catalog query is (malformed|null)/);
    });
  }

  const strange: Readonly<Record<string, Answer>> = {
    'a domain over itself': { ...COMPOSITE, kind: 'd', base: String(CUSTOM) },
    'an array of itself': { ...COMPOSITE, kind: 'b', element: String(CUSTOM), delimiter: ',' },
    'an array without a delimiter': { ...COMPOSITE, kind: 'b', element: '23', delimiter: '' },
    'a range of itself': { ...COMPOSITE, kind: 'r', subtype: String(CUSTOM) },
    'a composite of itself': {
      ...COMPOSITE,
      fields: JSON.stringify(['a', 'b'].map((name) => ({ name, typeOid: CUSTOM }))),
    },
  };
  for (const [what, answer] of Object.entries(strange)) {
    test(`${what}: a value, or an error with a code`, async (t) => {
      try {
        assert.equal((await streamed(t, answer, 1)).values.length, 1);
      } catch (error) {
        assert.match((error as { code?: string }).code ?? '', /^ERR_[A-Z]+$/, String(error));
      }
    });
  }
});
