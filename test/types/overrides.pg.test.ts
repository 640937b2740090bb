import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigurationError, DecodeError } from '../../src/errors.js';
import type { WalStreamOptions } from '../../src/options.js';
import type { Row } from '../../src/pgoutput/event-json.js';
import { failure, Source } from '../stream/source.js';
import { PG_MAJOR, sharedServer } from '../support/server.js';
import { streamedRows } from './streamed-rows.js';

const moduleOf = (name: string) => ({ module: new URL('./parsers/values.js', import.meta.url), export: name });

describe(`PostgreSQL ${PG_MAJOR}: overrides of types`, () => {
  const server = sharedServer();
  let sources = 0;

  /** A table of one column of the type, with values. */
  async function sourceOf(t: Parameters<typeof Source.open>[0], type: string, ...literals: (string | null)[]) {
    const source = await Source.open(t, server(), `id serial PRIMARY KEY, value ${type}`);
    for (const literal of literals) {
      await source.client.query(`INSERT INTO ${source.name} (value) VALUES ($1::text::${type})`, [literal]);
    }
    return source;
  }

  async function valuesOf(source: Source, options: Partial<WalStreamOptions>): Promise<unknown[]> {
    const { rows } = await streamedRows(server(), source.client, source.name, options);
    return (rows.get(source.name) ?? []).map((row: Row) => row.value);
  }

  for (const binary of [false, true]) {
    const how = binary ? 'binary' : 'text';
    const values = (source: Source, overrides: object) =>
      valuesOf(source, { binary, types: { overrides: overrides as Record<string, 'text'> } });

    test(`${how}: functions are given the server's text`, async (t) => {
      const source = await sourceOf(t, 'int8', '9007199254740993', null);
      const seen: unknown[] = [];
      const parse = (text: string) => {
        seen.push(text);
        return { parsed: text };
      };
      assert.deepEqual(await values(source, { int8: parse }), [{ parsed: '9007199254740993' }, null]);
      assert.deepEqual(await values(source, { 'pg_catalog.int8': Number }), [9007199254740992, null]);
      assert.deepEqual(await values(source, { 20: String }), ['9007199254740993', null]);
      assert.deepEqual(await values(source, { 20: String, int8: Number }), ['9007199254740993', null]);
      assert.deepEqual(seen, ['9007199254740993']);
    });

    test(`${how}: elements of arrays, bases of domains, fields, bounds and values within`, async (t) => {
      const name = `t${++sources}_${how}`;
      const { client } = await sourceOf(t, 'int');
      await client.query(`
        CREATE DOMAIN ${name}_d AS numeric; CREATE TYPE ${name}_c AS (n ${name}_d, ns numeric[], r numrange, t text);`);
      const price = (text: string) => `€${text}`;
      const array = await sourceOf(t, 'numeric[]', '{{1.10,NULL},{NaN,2}}');
      assert.deepEqual(await values(array, { numeric: price }), [
        [
          ['€1.10', null],
          ['€NaN', '€2'],
        ],
      ]);
      assert.deepEqual(await values(array, { _numeric: price }), ['€{{1.10,NULL},{NaN,2}}']);
      const domain = await sourceOf(t, `${name}_d`, '1.50');
      assert.deepEqual(await values(domain, { numeric: price }), ['€1.50']);
      assert.deepEqual(await values(domain, { numeric: price, [`${name}_d`]: 'lossless' }), ['1.50']);
      assert.deepEqual(await values(domain, { [`public.${name}_d`]: price }), ['€1.50']);
      const composite = await sourceOf(t, `${name}_c`, '(1,"{2,NULL}","[3,)",x)');
      const expected = {
        n: '€1',
        ns: ['€2', null],
        r: { lower: '€3', upper: null, lowerInclusive: true, upperInclusive: false },
        t: 'x',
      };
      assert.deepEqual(await values(composite, { numeric: price }), [expected]);
      assert.deepEqual(await values(composite, { numeric: price, [`${name}_c`]: 'text' }), ['(1,"{2,NULL}","[3,)",x)']);
      const ranges = await sourceOf(t, 'nummultirange', '{[1,2)}');
      assert.deepEqual(await values(ranges, { numeric: Number }), [
        [{ lower: 1, upper: 2, lowerInclusive: true, upperInclusive: false }],
      ]);
    });

    test(`${how}: modules run in the workers`, async (t) => {
      const source = await sourceOf(t, 'numeric[]', '{1.5,NULL}', '{}');
      const [first, ...rest] = await values(source, { numeric: moduleOf('default') });
      const [parsed, none] = first as [{ thread: number; text: string }, null];
      assert.ok(parsed.thread > 0);
      assert.deepEqual([parsed.text, none, ...rest], ['1.5', null, []]);
      assert.deepEqual(await values(source, { numeric: moduleOf('parts') }), [
        [{ list: [1, '1.5', null], big: 2n ** 62n, at: new Date(0), bytes: Buffer.from('1.5'), 64: 100 }, null],
        [],
      ]);
    });

    test(`${how}: modes for single types`, async (t) => {
      const source = await sourceOf(t, 'timestamptz', '2024-01-02 03:04:05.678+00');
      assert.deepEqual(await values(source, { timestamptz: 'pg' }), [new Date('2024-01-02T03:04:05.678Z')]);
      assert.deepEqual(await values(source, { timestamptz: 'text' }), ['2024-01-02 03:04:05.678+00']);
    });
  }

  test("'lossless' for a type among text and among node-postgres' values", async (t) => {
    const source = await sourceOf(t, 'int8[]', '{1}');
    assert.deepEqual(await valuesOf(source, { types: { mode: 'text', overrides: { int8: 'lossless' } } }), [[1n]]);
    assert.deepEqual(await valuesOf(source, { types: { mode: 'pg', overrides: { int8: 'lossless' } } }), [[1n]]);
    assert.deepEqual(await valuesOf(source, { types: { mode: 'text', overrides: { text: 'lossless' } } }), ['{1}']);
    const domain = await sourceOf(t, 'information_schema.cardinal_number', '5');
    assert.deepEqual(await valuesOf(domain, { types: 'pg' }), [5]);
  });

  test('a transform has them too', async (t) => {
    const source = await sourceOf(t, 'numeric', '1.5');
    const stream = source.stream({
      stopLsn: await source.lsn(),
      types: { mode: 'pg', overrides: { numeric: moduleOf('parts') } },
      transform: { module: new URL('../stream/transforms/rows.js', import.meta.url).href, export: 'row' },
    });
    const found: unknown[] = [];
    for await (const event of stream) if (event.kind === 'insert') found.push(event.value);
    assert.deepEqual(Object.keys((found[0] as { value: object }).value).sort(), ['64', 'at', 'big', 'bytes', 'list']);
  });

  test('a function that throws is a DecodeError that names the column, each time the row is read', async (t) => {
    const source = await sourceOf(t, 'text', 'secret');
    const cause = new RangeError('mine');
    const parse = () => {
      throw cause;
    };
    const stream = source.stream({ stopLsn: await source.lsn(), types: { overrides: { text: parse } } });
    for await (const event of stream) {
      if (event.kind !== 'insert') continue;
      for (let read = 0; read < 2; read++) {
        assert.throws(
          () => event.new,
          (error) => {
            assert.ok(error instanceof DecodeError);
            assert.equal(error.message, `the parser of column "value" of public.${source.name} failed`);
            assert.equal(error.relationId, event.relation.id);
            assert.equal(error.relation, `public.${source.name}`);
            assert.equal(error.column, 'value');
            assert.equal(error.lsn, event.lsn);
            assert.equal(error.cause, cause);
            return true;
          },
        );
      }
    }
  });

  for (const [name, literal] of [
    ['secret', 'secret'],
    ['late', 'x'],
  ] as const) {
    test(`a module's function that ${name === 'late' ? 'is async' : 'throws'} ends the stream with a DecodeError`, async (t) => {
      const source = await sourceOf(t, 'text', 'fine', literal);
      const stream = source.stream({ stopLsn: await source.lsn(), types: { overrides: { text: moduleOf(name) } } });
      const lsns: bigint[] = [];
      const error = await failure(
        (async () => {
          for await (const event of stream) if (event.kind === 'insert') lsns.push(event.lsn);
        })(),
      );
      assert.ok(error instanceof DecodeError, String(error));
      assert.equal(error.message, `column value of public.${source.name}: its parser module failed`);
      assert.equal(error.tag, 'I');
      assert.ok(error.lsn !== undefined && error.lsn > (lsns[0] ?? 0n));
      // What it threw is its author's, and in no message of ours.
      const said = name === 'late' ? /^a parser of a type must not be async$/ : /secret/;
      assert.match((error.cause as Error).message, said);
      assert.equal(lsns.length, name === 'late' ? 0 : 1);
    });
  }

  test('a module that is not there, or has no such function, is refused at the start', async (t) => {
    const source = await sourceOf(t, 'text');
    for (const [override, option] of [
      [{ module: '/does/not/exist.js' }, 'types.overrides.text.module'],
      [moduleOf('nothing'), 'types.overrides.text.export'],
    ] as const) {
      const stream = source.stream({ types: { overrides: { text: override } } });
      const error = await failure(stream.start());
      assert.ok(error instanceof ConfigurationError, String(error));
      assert.equal(error.option, option);
    }
  });
});
