import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import type { Row } from '../../src/pgoutput/event-json.js';
import { jsonFromRow } from '../../src/pgoutput/event-json.js';
import { connect, PG_MAJOR, sharedServer } from '../support/server.js';
import { COMPOSED_SAMPLES, COMPOSED_SCHEMA } from './composed-samples.js';
import { FIXED_SETTINGS, streamedRows } from './streamed-rows.js';
import { ARRAY_SAMPLES, JSON_ARRAY_SAMPLES, TYPE_SAMPLES } from './type-samples.js';

interface Sample {
  readonly type: string;
  readonly table: string;
  readonly literals: readonly string[];
  /** By hand, where there are any. */
  readonly values: readonly unknown[] | undefined;
  /** Whether binary transfer gives the same: a name is not in the bytes of a reg* type. */
  readonly isSameInBinary: boolean;
}

const REG_SAMPLES = [
  { type: 'regclass', literals: ['pg_class'] },
  { type: 'regtype', literals: ['int4', 'timestamptz'] },
  { type: 'regrole[]', literals: ['{pg_monitor}'] },
];

/** Without a binary form (aclitem before 16), or given as bytes there. */
const TEXT_SAMPLES = [{ type: 'aclitem', literals: ['pg_monitor=r/pg_monitor'] }];

const SAMPLES: readonly Sample[] = [
  ...[...TYPE_SAMPLES, ...JSON_ARRAY_SAMPLES, ...ARRAY_SAMPLES, ...TEXT_SAMPLES]
    .filter((samples) => !('since' in samples) || samples.since === undefined || samples.since <= PG_MAJOR)
    .map((samples) => ({ ...samples, values: undefined, isSameInBinary: true })),
  ...REG_SAMPLES.map((samples) => ({ ...samples, values: undefined, isSameInBinary: false })),
  ...COMPOSED_SAMPLES.map(({ type, values }) => ({
    type,
    literals: values.map(([literal]) => literal),
    values: values.map(([, value]) => value),
    isSameInBinary: true,
  })),
].map((samples, at) => ({ ...samples, table: `sample_${at}` }));

describe(`PostgreSQL ${PG_MAJOR}: every type, streamed`, () => {
  const server = sharedServer();
  let client: pg.Client;
  let text: Map<string, Row[]>;
  let binary: Map<string, Row[]>;
  let plain: Map<string, Row[]>;
  let asPg: Map<string, Row[]>;
  let printedHere: Map<string, Row[]>;

  before(async () => {
    client = await connect(server());
    await client.query(FIXED_SETTINGS);
    await client.query(COMPOSED_SCHEMA);
    for (const { table, type } of SAMPLES)
      await client.query(`CREATE TABLE ${table} (id serial PRIMARY KEY, value ${type})`);
    await client.query('CREATE PUBLICATION types FOR ALL TABLES');
    await client.query("SELECT pg_create_logical_replication_slot('types', 'pgoutput')");
    for (const { table, type, literals } of SAMPLES) {
      await client.query(
        `INSERT INTO ${table} (value) SELECT literal::${type} FROM unnest($1::text[]) WITH ORDINALITY AS l (literal, n) ORDER BY n`,
        [literals],
      );
    }
    const stream = async (options: Parameters<typeof streamedRows>[3]) => {
      const { rows, warnings } = await streamedRows(server(), client, 'types', options);
      assert.deepEqual(
        warnings.filter((warning) => /types/.test(warning)),
        [],
      );
      return rows;
    };
    text = await stream({});
    binary = await stream({ binary: true });
    plain = await stream({ types: 'text' });
    asPg = await stream({ types: 'pg' });
    const oids = await client.query<{ oid: string }>(
      "SELECT DISTINCT atttypid::text AS oid FROM pg_attribute WHERE attname = 'value' AND attrelid > 16384",
    );
    const overrides = Object.fromEntries(oids.rows.map(({ oid }) => [oid, 'text' as const]));
    printedHere = await stream({ binary: true, types: { overrides } });
  });

  after(() => client.end());

  for (const { type, table, literals, values, isSameInBinary } of SAMPLES) {
    test(`${type}: ${literals.length} values`, async () => {
      const rows = text.get(table) ?? [];
      assert.equal(rows.length, literals.length);
      if (values !== undefined)
        assert.deepStrictEqual(
          rows.map((row) => row.value),
          values,
        );
      if (isSameInBinary) assert.deepStrictEqual(binary.get(table), rows);
      const printed = await client.query(`SELECT id::text, format('%s', value) AS value FROM ${table} t ORDER BY t.id`);
      assert.deepStrictEqual(plain.get(table), printed.rows.map(plainRow));
      const texts = printed.rows.map(({ value }) => value);
      if (isSameInBinary)
        assert.deepStrictEqual(
          printedHere.get(table)?.map(({ value }) => value),
          texts,
        );
      const selected = await client.query(`SELECT id, value FROM ${table} t ORDER BY t.id`);
      assert.deepStrictEqual(asPg.get(table)?.map(comparable), selected.rows.map(comparable));
      for (const row of asPg.get(table) ?? []) assert.ok(JSON.stringify(jsonFromRow(row)).length > 0);
    });
  }

  test('composed values go back to the server as JSON and are the same there', async () => {
    for (const type of ['pair', 'nested', 'odd', 'one', 'rowtype', 'pair[]', 'mood[]', 'moods', 'deep[]']) {
      const { table = '' } = SAMPLES.find((sample) => sample.type === type) ?? {};
      // JSON says bytea as text, and ranges and hstore not at all.
      const back = (text.get(table) ?? []).map((row) =>
        JSON.stringify({ ...jsonFromRow(row), value: withLiterals(jsonFromRow(row).value) }),
      );
      const { rows } = await client.query(
        `SELECT r.id, r.value::text = s.value::text AS same
           FROM unnest($1::text[]) j, json_populate_record(NULL::${table}, j::json) r JOIN ${table} s USING (id)
          WHERE s.value::text !~ '^[[]'`,
        [back],
      );
      assert.ok(
        rows.every(({ same }) => same === true),
        type,
      );
    }
  });
});

function plainRow(row: Row): Row {
  return { ...row };
}

/** node-postgres makes invalid dates of what JavaScript cannot say; those are equal to nothing. */
function comparable({ id, value }: Row): Row {
  return { id, value: value instanceof Date && Number.isNaN(value.getTime()) ? 'invalid' : value };
}

/** Ranges and hstore of `nested` as literals. */
function withLiterals(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('span' in value) || !('tags' in value)) return value;
  if (value.span === null) return value;
  return { ...value, span: '[1.10,)', tags: '"a"=>"1", "b"=>NULL' };
}
