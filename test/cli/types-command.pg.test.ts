import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { isRowEvent, Lsn, type RowEvent, type TypesMode, UNCHANGED, WalStream } from '../../src/index.js';
import { connect, PG_MAJOR, sharedServer } from '../support/server.js';
import { COMPOSED_SAMPLES, COMPOSED_SCHEMA } from '../types/composed-samples.js';
import { ARRAY_SAMPLES, JSON_ARRAY_SAMPLES, TYPE_SAMPLES } from '../types/type-samples.js';
import { runToEnd } from './command-line.js';

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
const TSC = join(REPOSITORY, 'node_modules/typescript/bin/tsc');
const MODES: readonly TypesMode[] = ['lossless', 'pg', 'text'];

/** Arrays are declared with one dimension here; the server takes others all the same. */
const SEVERAL_DIMENSIONS = /^(?:\[[^\]]*\]){2,}=|^\{\{/;

const SAMPLES = [
  ...[...TYPE_SAMPLES, ...ARRAY_SAMPLES, ...JSON_ARRAY_SAMPLES].filter(({ since = 14 }) => since <= PG_MAJOR),
  ...COMPOSED_SAMPLES.map(({ type, values }) => ({ type, literals: values.map(([literal]) => literal) })),
].map(({ type, literals }, at) => ({
  type,
  table: `sample_${at}`,
  literals: literals.filter((literal) => !SEVERAL_DIMENSIONS.test(literal)),
}));

const SCHEMA = `
  CREATE TYPE address AS (street text, zip int4, codes int8[]);
  CREATE SCHEMA sales; CREATE SCHEMA "a.b"; CREATE SCHEMA left_out;
  CREATE TABLE "a.b".hidden (id int PRIMARY KEY);
  CREATE TABLE left_out.never (id int PRIMARY KEY);
  CREATE TABLE "Order Lines" (
    "order id" int8 PRIMARY KEY, "it's ""odd"" \\" text, class text NOT NULL, amount numeric(10,2) NOT NULL, big numeric,
    code varchar(5) NOT NULL, letters char(6) NOT NULL, state mood NOT NULL, "where" address, tags text[], matrix int4[][],
    span int8range NOT NULL, spans int4multirange, owner positive, label varchar(200)[] NOT NULL,
    total int8 GENERATED ALWAYS AS ("order id" * 2) STORED, flag bool NOT NULL DEFAULT true, day date NOT NULL,
    during interval, place point, doc jsonb NOT NULL, bits varbit(9) NOT NULL, dropped int
  );
  ALTER TABLE "Order Lines" DROP COLUMN dropped;
  ALTER TABLE "Order Lines" ALTER class SET STORAGE EXTERNAL;
  CREATE TABLE order_lines (id int PRIMARY KEY);
  CREATE TABLE sales.whole (id int PRIMARY KEY, note text NOT NULL);
  ALTER TABLE sales.whole REPLICA IDENTITY FULL; ALTER TABLE sales.whole ALTER note SET STORAGE EXTERNAL;
  CREATE TABLE sales.indexed (id int PRIMARY KEY, a int NOT NULL, b text NOT NULL, c int);
  CREATE UNIQUE INDEX by_a ON sales.indexed (b, a); ALTER TABLE sales.indexed REPLICA IDENTITY USING INDEX by_a;
  CREATE TABLE sales.keyless (line text);
  CREATE TABLE sales.few (id int PRIMARY KEY, kept text, secret text);
  CREATE TABLE sales.parts (id int PRIMARY KEY, note text) PARTITION BY RANGE (id);
  CREATE TABLE sales.part_1 PARTITION OF sales.parts FOR VALUES FROM (0) TO (10);
  CREATE TABLE sales."Tables" (id int PRIMARY KEY, "select" int, "größe" int, "2" int, __proto__ int);`;

const CHANGES = `
  INSERT INTO "Order Lines" VALUES (1, NULL, repeat('x', 9000), 1.50, 2, 'abc', 'letter', 'sad', ROW('s', NULL, '{1,NULL}'),
    '{a,NULL}', '{{1,NULL},{3,4}}', '[1,5)', '{[1,3),[7,)}', 7, '{}', DEFAULT, true, '2024-02-29', '1 day 02:00', '(1,2)',
    '{"a": [1, null]}', '101');
  INSERT INTO "Order Lines" VALUES (2, 'x', 'y', 0, NULL, '', '', '', NULL, NULL, NULL, 'empty', NULL, NULL, '{a}', DEFAULT,
    false, 'infinity', NULL, NULL, 'null', '');
  UPDATE "Order Lines" SET flag = false WHERE "order id" = 1;
  UPDATE "Order Lines" SET "order id" = 3 WHERE "order id" = 2;
  DELETE FROM "Order Lines";
  INSERT INTO order_lines VALUES (1);
  INSERT INTO sales.whole VALUES (1, repeat('x', 9000));
  UPDATE sales.whole SET id = 2; DELETE FROM sales.whole;
  INSERT INTO sales.indexed VALUES (1, 2, 'b', NULL); UPDATE sales.indexed SET a = 3; DELETE FROM sales.indexed;
  INSERT INTO sales.keyless VALUES ('a');
  INSERT INTO sales.few VALUES (1, NULL, 'secret'); UPDATE sales.few SET kept = 'a';
  INSERT INTO sales.parts VALUES (1, 'a'); UPDATE sales.parts SET note = NULL;
  INSERT INTO sales."Tables" VALUES (1, 2, NULL, 4, 5);`;

/** What the types of single columns are, by hand; and what must not compile, so that none of it is `any`. */
const BY_HAND = `
import { UNCHANGED, type ChangeOf, type JsonValue, type PgInterval, type RangeValue, type Unchanged, type WalEvent } from 'pg-walstream';
import type * as lossless from './lossless.js';
import type * as asPg from './pg.js';
import type * as text from './text.js';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
type Change<Tables extends object, Name extends string, Kind> = Extract<ChangeOf<WalEvent<Tables>, Name>, { kind: Kind }>;
type Inserted = Change<lossless.Tables, 'public.Order Lines', 'insert'>['new'];
type Updated = Change<lossless.Tables, 'public.Order Lines', 'update'>['new'];
type Deleted = Change<lossless.Tables, 'public.Order Lines', 'delete'>;
type Mood = 'sad' | 'it\\'s "ok"' | 'größe, 列' | 'NULL' | '';

export const exact: [
  Same<Inserted['order id'], bigint>, Same<Inserted['it\\'s "odd" \\\\'], string | null>, Same<Inserted['class'], string>,
  Same<Updated['class'], string | Unchanged>, Same<Updated['amount'], string>, Same<Updated['big'], string | null | Unchanged>,
  Same<Updated['code'], string>, Same<Updated['letters'], string | Unchanged>, Same<Updated['state'], Mood>,
  Same<Inserted['where'], lossless.Address | null>, Same<lossless.Address['zip'], number | null>,
  Same<lossless.Address['codes'], (bigint | null)[] | null>, Same<Inserted['tags'], (string | null)[] | null>,
  Same<Inserted['matrix'], (number | null)[][] | null>, Same<Inserted['span'], RangeValue<bigint>>,
  Same<Inserted['spans'], RangeValue<number>[] | null>, Same<Inserted['owner'], bigint | null>,
  Same<Inserted['label'], (string | null)[]>, Same<Updated['flag'], boolean>, Same<Updated['day'], string>,
  Same<Inserted['doc'], JsonValue>, Same<Updated['bits'], string>, Same<Deleted['key'], { 'order id': bigint } | undefined>,
  Same<'dropped' extends keyof Inserted ? 1 : 0, 0>, Same<'total' extends keyof Inserted ? 1 : 0, 0>,
  Same<Change<lossless.Tables, 'sales.whole', 'update'>['new'], { id: number; note: string }>,
  Same<Change<lossless.Tables, 'sales.whole', 'update'>['identity'], { id: number; note: string } | undefined>,
  Same<Change<lossless.Tables, 'sales.indexed', 'update'>['key'], { a: number; b: string } | undefined>,
  Same<Change<lossless.Tables, 'sales.keyless', 'insert'>['identity'], {} | undefined>,
  Same<keyof lossless.Tables & \`left_out.\${string}\`, never>, Same<keyof lossless.Tables & 'sales.parts', never>,
  Same<lossless.SalesTables['größe'], number | null>, Same<lossless.OrderLines['order id'], bigint>,
  Same<asPg.OrderLines['order id'], string>, Same<asPg.OrderLines['amount'], string>, Same<asPg.OrderLines['day'], Date | number>,
  Same<asPg.OrderLines['during'], PgInterval | null>, Same<asPg.OrderLines['place'], { x: number; y: number } | null>,
  Same<asPg.OrderLines['matrix'], (number | null)[][] | null | Unchanged>, Same<asPg.OrderLines['state'], Mood>,
  Same<asPg.OrderLines['span'], string | Unchanged>, Same<text.OrderLines['flag'], string>, Same<text.OrderLines['state'], Mood>,
  Same<text.OrderLines['tags'], string | null | Unchanged>,
] = [
  true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true,
  true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true,
  true, true, true, true,
];
// @ts-expect-error no null in a column that is NOT NULL
export const state: lossless.OrderLines['state'] = null;
// @ts-expect-error not one of the labels
export const label: lossless.OrderLines['state'] = 'happy';
// @ts-expect-error an int8 is no number
export const id: lossless.OrderLines['order id'] = 1;
// @ts-expect-error always sent
export const flag: lossless.OrderLines['flag'] = UNCHANGED;
// @ts-expect-error published without it
export const secret: lossless.SalesFew['secret'] = '';
`;

suite(`PostgreSQL ${PG_MAJOR}: pg-walstream types`, () => {
  const server = sharedServer();
  let client: pg.Client;
  let directory: string;
  const published = ['--publication', 'typed'];
  const env = () => ({ DATABASE_URL: server().connectionString() });

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'pg-walstream-types-'));
    client = await connect(server());
    await client.query(COMPOSED_SCHEMA);
    await client.query(SCHEMA);
    for (const { table, type } of SAMPLES) {
      await client.query(`CREATE TABLE ${table} (id serial PRIMARY KEY, value ${type})`);
    }
    const few = PG_MAJOR >= 15 ? 'sales.few (id, kept)' : 'sales.few';
    const samples = SAMPLES.map(({ table }) => table).join(', ');
    await client.query(
      `CREATE PUBLICATION typed FOR TABLE "Order Lines", order_lines, sales.whole, sales.indexed, sales.keyless, ${few},
         sales.parts, sales."Tables", "a.b".hidden, ${samples}`,
    );
    await client.query("SELECT pg_create_logical_replication_slot('typed', 'pgoutput')");
  });

  after(async () => {
    await client.end();
    await rm(directory, { recursive: true });
  });

  test('what is written is what is streamed, of every type and in every mode', async () => {
    for (const { table, type, literals } of SAMPLES) {
      await client.query(
        `INSERT INTO ${table} (value) SELECT literal::${type} FROM unnest($1::text[]) AS l (literal)`,
        [literals],
      );
    }
    await client.query(CHANGES);
    const { rows } = await client.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn');
    const stopLsn = Lsn.parse(rows[0]?.lsn ?? '');
    for (const types of MODES) {
      const out = join(directory, `${types}.ts`);
      const run = await runToEnd(['types', ...published, '--types', types, '--out', out], env());
      assert.equal(run.code, 0, run.stderr);
      assert.match(run.stderr, /warning: a\.b\.hidden is left out.*\n.* tables in /);
      await client.query(`SELECT pg_copy_logical_replication_slot('typed', 'typed_${types}')`);
      const connection = server().connectionString();
      const stream = new WalStream({ connection, slot: `typed_${types}`, publications: 'typed', types, stopLsn });
      const values: string[] = [];
      for await (const event of stream) if (isRowEvent(event)) values.push(...declarations(event, values.length));
      // An identity and a new row of each.
      assert.ok(values.length > 2 * SAMPLES.flatMap(({ literals }) => literals).length, `${values.length} values`);
      assert.ok(types !== 'lossless' || values.some((value) => value.includes('UNCHANGED')));
      await writeFile(join(directory, `${types}-values.ts`), VALUES_HEAD(types) + values.join(''));
    }
    let byHand = BY_HAND;
    if (PG_MAJOR < 15) byHand = byHand.replace(/\/\/ @ts-expect-error published without it\n.*secret.*\n/, '');
    await writeFile(join(directory, 'by-hand.ts'), byHand);
    assert.equal(await compile(directory), '');
  });

  test('written again it is the same, on stdout too', async () => {
    const first = await runToEnd(['types', ...published, '--types', 'pg'], env());
    const again = await runToEnd(['types', ...published, '--types', 'pg'], env());
    assert.deepEqual(again, first);
    assert.equal(first.stdout, await readFile(join(directory, 'pg.ts'), 'utf8'));
  });

  test('--schema and --table choose, of a publication too', async () => {
    const tablesOf = async (...flags: string[]) => {
      const { code, stdout, stderr } = await runToEnd(['types', ...flags], env());
      assert.equal(code, 0, stderr);
      return [...stdout.matchAll(/^ {2}'(.*)': TableType/gm)].map(([, name]) => name);
    };
    assert.deepEqual(await tablesOf('--schema', 'left_out', '--table', 'sales.keyless'), [
      'left_out.never',
      'sales.keyless',
    ]);
    assert.deepEqual(await tablesOf('--table', 'sales.parts', '--table', 'sales.part_1'), [
      'sales.part_1',
      'sales.parts',
    ]);
    const ofPublication = await tablesOf(...published, '--schema', 'sales', '--schema', 'left_out');
    assert.deepEqual(
      ofPublication,
      ['Tables', 'few', 'indexed', 'keyless', 'part_1', 'whole'].map((name) => `sales.${name}`),
    );
  });

  test('partitions under the name of their root, and generated columns, where the publication says so', async () => {
    await client.query('CREATE PUBLICATION via_root FOR TABLE sales.parts WITH (publish_via_partition_root = true)');
    const root = await runToEnd(['types', '--publication', 'via_root'], env());
    assert.match(root.stdout, /'sales.parts': TableType<SalesParts, 'id'>/);
    assert.match(root.stdout, /note: string \| null \| Unchanged/);
    if (PG_MAJOR < 18) return;
    await client.query(
      'CREATE PUBLICATION generated FOR TABLE "Order Lines" WITH (publish_generated_columns = stored)',
    );
    const generated = await runToEnd(['types', '--publication', 'generated'], env());
    assert.match(generated.stdout, /\/\*\* bigint, generated \*\/\n {2}total: bigint \| null;/);
  });

  test('what is not there is one line on stderr', async () => {
    for (const [flags, line] of [
      [['--publication', 'no such'], 'publication "no such" does not exist'],
      [['--table', 'public.nothing'], 'table public.nothing is not there'],
      [[...published, '--table', 'left_out.never'], 'table left_out.never is not published by typed'],
      [['--schema', 'nowhere'], 'there is no table of --schema nowhere: nothing is written'],
      [[...published, '--out', join(directory, 'no', 'such.ts')], /ENOENT/],
    ] as const) {
      const { code, stdout, stderr } = await runToEnd(['types', ...flags], env());
      assert.equal(code, 1);
      assert.equal(stdout, '');
      const last = stderr.trimEnd().split('\n').at(-1) ?? '';
      if (typeof line === 'string') assert.equal(last, `pg-walstream: ${line}`);
      else assert.match(last, line);
    }
  });
});

function VALUES_HEAD(types: TypesMode): string {
  return `import { UNCHANGED, type ChangeOf, type WalEvent } from 'pg-walstream';
import type { Tables } from './${types}.js';
type Change<Name extends string, Kind> = Extract<ChangeOf<WalEvent<Tables>, Name>, { kind: Kind }>;
`;
}

/** Constants that are declared to be what the event's rows are, and are what they were. */
function declarations(event: RowEvent, number: number): string[] {
  const parts: [string, unknown][] = [['identity', event.identity]];
  if (event.kind !== 'delete') parts.push(['new', event.new]);
  if (event.kind !== 'insert') parts.push(['old', event.old], ['key', event.key]);
  return parts.map(([part, row], at) => {
    const type = `Change<${JSON.stringify(`${event.schema}.${event.table}`)}, '${event.kind}'>['${part}']`;
    return `export const v${number + at}: ${type} = ${expressionOf(row)};\n`;
  });
}

function expressionOf(value: unknown): string {
  if (value === UNCHANGED) return 'UNCHANGED';
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'number')
    return Number.isFinite(value) ? String(value) : `Number(${JSON.stringify(String(value))})`;
  // Long ones are no other than short ones.
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 50));
  if (typeof value === 'function') return '() => ""';
  if (typeof value !== 'object' || value === null) return String(value);
  if (Buffer.isBuffer(value)) return 'Buffer.alloc(1)';
  if (value instanceof Date) return 'new Date(0)';
  if (Array.isArray(value)) return `[${value.map(expressionOf).join(', ')}]`;
  const entries = Object.entries(value);
  if ('toPostgres' in value) entries.push(['toPostgres', value.toPostgres], ['toISOString', () => '']);
  return `{ ${entries.map(([name, part]) => `[${JSON.stringify(name)}]: ${expressionOf(part)}`).join(', ')} }`;
}

/** Compiles the folder as a project in which the package is installed; what the compiler says. */
async function compile(folder: string): Promise<string> {
  await mkdir(join(folder, 'node_modules'), { recursive: true });
  await symlink(REPOSITORY, join(folder, 'node_modules/pg-walstream'), 'junction');
  await symlink(join(REPOSITORY, 'node_modules/@types'), join(folder, 'node_modules/@types'), 'junction');
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  const compilerOptions = { target: 'es2023', module: 'nodenext', types: ['node'], strict: true, noEmit: true };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
  return new Promise((resolve) => {
    execFile(process.execPath, [TSC, '--project', folder], { maxBuffer: 64 << 20 }, (_error, stdout, stderr) => {
      resolve(`${stdout}${stderr}`.slice(0, 4000));
    });
  });
}
