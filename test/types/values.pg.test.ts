import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { arrayElementOf, Oid } from '../../src/types/oids.js';
import { connect, PG_MAJOR, sharedServer } from '../support/server.js';
import { isoOf } from './iso-text.js';
import { decodedValue } from './packed.js';
import { ARRAY_SAMPLES, JSON_ARRAY_SAMPLES, TYPE_SAMPLES, type TypeSamples } from './type-samples.js';

let client: pg.Client;

interface ServerValue {
  readonly text: string;
  readonly binary: Buffer;
  readonly json: string | null;
}

interface ServerType {
  readonly oid: number;
  readonly values: readonly ServerValue[];
}

/** The server's own text and binary form of literals. */
async function serverType(samples: TypeSamples, withJson = false): Promise<ServerType> {
  const types = await client.query<{ oid: number; send: string }>(
    'SELECT t.oid::int8::int4 AS oid, t.typsend::regproc::text AS send FROM pg_type t WHERE t.oid = $1::regtype',
    [samples.type],
  );
  const [type] = types.rows;
  assert.ok(type !== undefined);
  // format() calls the output function; a cast to text is something else for several types.
  const values = await client.query<ServerValue>(
    `SELECT format('%s', value) AS text, ${type.send}(value) AS binary, ${withJson ? 'to_json(value)::text' : 'NULL'} AS json
       FROM (SELECT literal::${samples.type} AS value FROM unnest($1::text[]) WITH ORDINALITY AS l (literal, n) ORDER BY n) v`,
    [samples.literals],
  );
  return { oid: type.oid, values: values.rows };
}

/** The value that the server's text stands for, by other means than the writers'. */
function expectedOf(typeName: string, typeOid: number, text: string): unknown {
  switch (typeOid) {
    case Oid.bool:
      return text === 't';
    case Oid.int2:
    case Oid.int4:
    case Oid.oid:
    case Oid.xid:
    case Oid.cid:
    case Oid.float4:
    case Oid.float8:
      return Number(text);
    case Oid.int8:
      return BigInt(text);
    case Oid.bytea:
      return Buffer.from(text.slice(2), 'hex');
    case Oid.json:
    case Oid.jsonb:
      return JSON.parse(text);
    default:
      if (text !== '' && /range$/.test(typeName)) return expectedOfRanges(typeName, text);
      return isoOf(typeName, text);
  }
}

/** No bound of the samples holds what would have to be escaped. */
const RANGE = /empty|([[(])(?:"([^"]*)"|([^",]*)),(?:"([^"]*)"|([^",\])]*))([\])])/g;

function expectedOfRanges(typeName: string, text: string): unknown {
  const bound = (quoted: string | undefined, plain: string | undefined): unknown => {
    const value = quoted ?? plain ?? '';
    if (value === '') return null;
    if (/^int4/.test(typeName)) return Number(value);
    if (/^int8/.test(typeName)) return BigInt(value);
    return isoOf(
      typeName
        .replace(/^ts(?!tz)/, 'timestamp')
        .replace(/^tstz/, 'timestamptz')
        .replace(/(?:multi)?range$/, ''),
      value,
    );
  };
  const ranges = Array.from(text.matchAll(RANGE), ([whole, opener, lowerQuoted, lower, upperQuoted, upper, closer]) =>
    whole === 'empty'
      ? { empty: true }
      : {
          lower: bound(lowerQuoted, lower),
          upper: bound(upperQuoted, upper),
          lowerInclusive: opener === '[',
          upperInclusive: closer === ']',
        },
  );
  return /multi/.test(typeName) ? ranges : ranges[0];
}

describe(`PostgreSQL ${PG_MAJOR}: text and binary give the same value`, () => {
  const server = sharedServer();

  before(async () => {
    client = await connect(server());
    await client.query(
      `SET DateStyle = ISO; SET TimeZone = UTC; SET IntervalStyle = postgres; SET bytea_output = hex;
       SET extra_float_digits = 3; SET lc_monetary = 'C'`,
    );
  });

  after(() => client.end());

  for (const samples of TYPE_SAMPLES) {
    const skip = samples.since !== undefined && PG_MAJOR < samples.since && `came with PostgreSQL ${samples.since}`;
    test(`${samples.type}: ${samples.literals.length} values`, { skip }, async () => {
      const { oid, values } = await serverType(samples);
      assert.equal(values.length, samples.literals.length);
      for (const { text, binary } of values) {
        const expected = expectedOf(samples.type, oid, text);
        assert.deepStrictEqual(decodedValue(oid, 'text', text), expected, `text ${text.slice(0, 100)}`);
        assert.deepStrictEqual(decodedValue(oid, 'binary', binary), expected, `binary of ${text.slice(0, 100)}`);
        assert.equal(decodedValue(oid, 'text', text, 'text'), text);
      }
    });
  }

  for (const samples of JSON_ARRAY_SAMPLES) {
    test(`${samples.type}: ${samples.literals.length} values`, async () => {
      const { oid, values } = await serverType(samples, true);
      for (const { text, binary, json } of values) {
        const expected = JSON.parse(json ?? '');
        assert.deepStrictEqual(decodedValue(oid, 'text', text), expected, `text ${text}`);
        assert.deepStrictEqual(decodedValue(oid, 'binary', binary), expected, `binary of ${text}`);
      }
    });
  }

  for (const samples of ARRAY_SAMPLES) {
    test(`${samples.type}: ${samples.literals.length} values`, async () => {
      const { oid, values } = await serverType(samples);
      for (const { text, binary } of values) {
        const value = decodedValue(oid, 'text', text);
        assert.ok(Array.isArray(value) && value.length > 0, text);
        assert.deepStrictEqual(decodedValue(oid, 'binary', binary), value, text);
      }
    });
  }

  test('random float4 and float8', async () => {
    const bits = new DataView(new ArrayBuffer(8));
    const singles = new Set<string>();
    const doubles = new Set<string>();
    // Bits from a fixed generator, and the multiples of a power of two at which ties are common.
    let state = 42;
    const next = () => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      return state;
    };
    for (let index = 0; index < 20_000; index++) {
      bits.setInt32(0, next() ^ (next() >>> 16));
      bits.setInt32(4, next() ^ (next() >>> 16));
      singles.add(String(bits.getFloat32(0)));
      doubles.add(String(bits.getFloat64(0)));
      singles.add(String(Math.fround(0x2000000 + (index % 5000) * 4)));
      doubles.add(String(2 ** 60 + index * 4096));
      doubles.add(String((next() >>> 0) / 1000));
      singles.add(String(Math.fround((next() >>> 0) / 1000)));
    }
    for (let exponent = -149; exponent < 128; exponent++) {
      singles.add(String(2 ** exponent));
      doubles.add(String(2 ** exponent));
    }
    for (const [type, literals] of [
      ['float4', singles],
      ['float8', doubles],
    ] as const) {
      const { oid, values } = await serverType({ type, literals: [...literals] });
      for (const { text, binary } of values) {
        const expected = Number(text);
        assert.ok(Object.is(decodedValue(oid, 'text', text), expected), `text ${text}`);
        assert.ok(Object.is(decodedValue(oid, 'binary', binary), expected), `binary of ${text}`);
      }
    }
    const literals = [...doubles].map((value) => `(${value},${value})`);
    const points = await serverType({ type: 'point', literals });
    for (const { text, binary } of points.values) {
      assert.equal(decodedValue(Oid.point, 'binary', binary), text);
    }
  });

  test('the built-in types are those that the server has', async () => {
    const { rows } = await client.query<{ oid: number; name: string; element: number }>(
      `SELECT t.oid::int8::int4 AS oid, t.typname AS name, e.oid::int8::int4 AS element
         FROM pg_type t JOIN pg_type e ON e.typarray = t.oid
        WHERE t.oid < 16384 AND e.typtype IN ('b', 'r', 'm') ORDER BY t.oid`,
    );
    const unknown = rows
      .filter(({ oid, element }) => arrayElementOf(oid)?.elementOid !== element)
      .map(({ name }) => name);
    // Not types of columns.
    assert.deepEqual(unknown, ['_gtsvector']);
    const names = await client.query<{ oid: number; name: string }>(
      "SELECT oid::int8::int4 AS oid, replace(typname, '_', '') AS name FROM pg_type WHERE oid < 16384",
    );
    const nameOf = new Map(names.rows.map(({ oid, name }) => [oid, name]));
    for (const [name, oid] of Object.entries(Oid)) {
      assert.equal(nameOf.get(oid), name.toLowerCase());
    }
  });
});
