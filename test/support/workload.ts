import pg from 'pg';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { connect } from './server.js';

/** Numbers from a seed: mulberry32. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  /** A whole number from `min` to `max`, both included. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.integer(0, choices.length - 1)] as T;
  }

  /** Text that does not compress well. */
  text(length: number): string {
    let text = '';
    while (text.length < length) text += this.integer(0, 0x7fff_ffff).toString(36);
    return text.slice(0, length);
  }
}

const MANY_CHARACTERS = '😀 größe 列 \'"\\ {}[](),; \t\n NULL \u0001 \u2028';
const QUALITIES = ['sad', 'ok', "ha'ppy"];

function timestamp(random: Random): string {
  const year = random.integer(1, 9999);
  const day = `${pad(random.integer(1, 12))}-${pad(random.integer(1, 28))}`;
  const time = `${pad(random.integer(0, 23))}:${pad(random.integer(0, 59))}:${pad(random.integer(0, 59))}`;
  const fraction = random.pick(['', '.5', '.000001', '.999999', `.${random.integer(100_000, 999_999)}`]);
  return `${String(year).padStart(4, '0')}-${day} ${time}${fraction}${year < 4000 && random.chance(0.3) ? ' BC' : ''}`;
}

function pad(number: number): string {
  return String(number).padStart(2, '0');
}

function decimal(random: Random): string {
  const digits = () => Array.from({ length: random.integer(1, 30) }, () => random.integer(0, 9)).join('');
  return random.pick([
    () => digits(),
    () => `-${digits()}.${digits()}`,
    () => `0.${digits()}`,
    () => 'NaN',
    () => '0',
    () => '10000',
    () => `${digits()}e${random.integer(-20, 20)}`,
  ])();
}

function float(random: Random): string {
  return random.pick([
    () => String((random.next() - 0.5) * 10 ** random.integer(-30, 30)),
    () => String(random.integer(-1000, 1000)),
    () => random.pick(['NaN', 'Infinity', '-Infinity', '-0', '0.1', '1e23']),
  ])();
}

function int8(random: Random): string {
  const high = BigInt(random.integer(-0x8000_0000, 0x7fff_ffff));
  return String(
    random.pick([
      () => (high << 32n) | BigInt(random.integer(0, 0xffff_ffff)),
      () => BigInt(random.integer(-100, 100)),
    ])(),
  );
}

function json(random: Random): string {
  const value = (depth: number): unknown =>
    random.pick<() => unknown>([
      () => null,
      () => random.chance(0.5),
      () => random.integer(-1e9, 1e9) / 100,
      () => MANY_CHARACTERS.replace('\u0000', ''),
      () => (depth > 2 ? [] : Array.from({ length: random.integer(0, 4) }, () => value(depth + 1))),
      () =>
        depth > 2 ? {} : { a: value(depth + 1), [random.text(4)]: value(depth + 1), ['__proto__']: value(depth + 1) },
    ])();
  return JSON.stringify(value(0));
}

function uuid(random: Random): string {
  const hex = Array.from({ length: 4 }, () => random.integer(0, 0xffff_ffff).toString(16).padStart(8, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function bytea(random: Random): string {
  const length = random.pick([0, 1, 20, 300]);
  return `\\x${Array.from({ length }, () => random.integer(0, 255).toString(16).padStart(2, '0')).join('')}`;
}

function words(random: Random): string {
  return random.pick([
    () => '',
    () => MANY_CHARACTERS,
    () => random.text(random.integer(1, 40)),
    () => random.text(400),
    () => 'ü'.repeat(random.integer(1, 200)),
  ])();
}

/** An array literal of one or two dimensions, with NULLs. */
function arrayOf(element: (random: Random) => string): (random: Random) => string {
  const one = (random: Random, length: number): string =>
    `{${Array.from({ length }, () =>
      random.chance(0.15) ? 'NULL' : `"${element(random).replace(/["\\]/g, '\\$&')}"`,
    ).join(',')}}`;
  return (random) => {
    const length = random.integer(0, 5);
    if (length === 0 || random.chance(0.6)) return one(random, length);
    return `{${one(random, length)},${one(random, length)}}`;
  };
}

interface ValueColumn {
  readonly name: string;
  readonly type: string;
  readonly literal: (random: Random) => string;
}

/** Columns of the tables in schema "types": every common type, with random values. */
const VALUE_COLUMNS: readonly ValueColumn[] = [
  { name: 'yes', type: 'boolean', literal: (random) => random.pick(['t', 'f']) },
  { name: 'small', type: 'int2', literal: (random) => String(random.integer(-32768, 32767)) },
  { name: 'medium', type: 'int4', literal: (random) => String(random.integer(-0x8000_0000, 0x7fff_ffff)) },
  { name: 'large', type: 'int8', literal: int8 },
  { name: 'single', type: 'float4', literal: (random) => String(Math.fround(Number(float(random)) % 1e30)) },
  { name: 'double', type: 'float8', literal: float },
  { name: 'exact', type: 'numeric', literal: decimal },
  { name: 'price', type: 'numeric(12,2)', literal: (random) => String(random.integer(-1e9, 1e9) / 100) },
  { name: 'words', type: 'text', literal: words },
  { name: 'short', type: 'varchar(50)', literal: (random) => random.text(random.integer(0, 50)) },
  { name: 'padded', type: 'char(10)', literal: (random) => random.text(random.integer(0, 10)) },
  { name: 'bytes', type: 'bytea', literal: bytea },
  { name: 'id128', type: 'uuid', literal: uuid },
  { name: 'document', type: 'json', literal: json },
  { name: 'document_b', type: 'jsonb', literal: json },
  { name: 'day', type: 'date', literal: (random) => random.pick(['infinity', '-infinity', timestamp(random)]) },
  { name: 'at', type: 'time', literal: (random) => timestamp(random).slice(11).replace(' BC', '') },
  { name: 'at_zone', type: 'timetz', literal: (random) => `${timestamp(random).slice(11).replace(' BC', '')}+05:30` },
  {
    name: 'moment',
    type: 'timestamp',
    literal: (random) => (random.chance(0.1) ? 'infinity' : timestamp(random)),
  },
  {
    name: 'moment_zone',
    type: 'timestamptz',
    literal: (random) => (random.chance(0.1) ? '-infinity' : timestamp(random).replace(/( BC)?$/, '+03$1')),
  },
  { name: 'span', type: 'interval', literal: (random) => `${random.integer(-99, 99)} mon ${random.next()} s` },
  { name: 'address', type: 'inet', literal: (random) => `10.${random.integer(0, 255)}.0.1/${random.integer(8, 32)}` },
  { name: 'spot', type: 'point', literal: (random) => `(${random.next()},${random.integer(-9, 9)})` },
  { name: 'bits', type: 'varbit', literal: (random) => random.integer(0, 1e6).toString(2) },
  { name: 'stretch', type: 'int4range', literal: (random) => `[${random.integer(-9, 9)},${random.integer(10, 99)})` },
  { name: 'integers', type: 'int4[]', literal: arrayOf((random) => String(random.integer(-1e6, 1e6))) },
  { name: 'larges', type: 'int8[]', literal: arrayOf(int8) },
  { name: 'texts', type: 'text[]', literal: arrayOf(words) },
  { name: 'decimals', type: 'numeric[]', literal: arrayOf(decimal) },
  { name: 'doubles', type: 'float8[]', literal: arrayOf(float) },
  { name: 'moments', type: 'timestamptz[]', literal: arrayOf(timestamp) },
  { name: 'flags', type: 'boolean[]', literal: arrayOf((random) => random.pick(['t', 'f'])) },
  { name: 'documents', type: 'jsonb[]', literal: arrayOf(json) },
  { name: 'blobs', type: 'bytea[]', literal: arrayOf(bytea) },
  { name: 'quality', type: 'types.quality', literal: (random) => random.pick(QUALITIES) },
];

/** Both publications cover the workload together. */
export const WORKLOAD_PUBLICATIONS = ['workload', 'workload "inserts"'];
/** Tables whose rows are published whole, but for those that change their columns. */
export const WORKLOAD_TABLES = [
  { schema: 'public', table: 'by_key', key: ['id'] },
  { schema: 'public', table: 'whole_row', key: ['id'] },
  { schema: 'public', table: 'parent', key: ['id'] },
  { schema: 'public', table: 'child', key: ['id'] },
  { schema: 'public', table: 'mood_swings', key: ['id'] },
  { schema: 'types', table: 'by_key', key: ['id'] },
  { schema: 'types', table: 'whole_row', key: ['id'] },
  { schema: 'größe.schema', table: 'Tab"le ☃', key: ['__proto__'] },
  { schema: 'größe.schema', table: 'index.identity', key: ['b.c', 'a'] },
];
/** The last message that the workload writes. */
export const END_PREFIX = 'the end';

const WEIRD = '"größe.schema"."Tab""le ☃"';
const INDEX_IDENTITY = '"größe.schema"."index.identity"';

/** Creates the tables and publications, before any slot. */
export async function createWorkloadSchema(client: pg.Client, writers: number): Promise<void> {
  const body = 'counter int, body text, note text';
  const external = (table: string) =>
    `ALTER TABLE ${table} ALTER body SET STORAGE EXTERNAL, ALTER note SET STORAGE EXTERNAL;`;
  const valueColumns = VALUE_COLUMNS.map(({ name, type }) => `${name} ${type}`).join(', ');
  const evolving = Array.from({ length: writers }, (_, writer) => `types."evolving ${writer}"`);
  const published = [
    'by_key, whole_row, parent, child, mood_swings, types.by_key, types.whole_row',
    WEIRD,
    INDEX_IDENTITY,
    ...evolving,
  ];
  await client.query(`
    CREATE SCHEMA types; CREATE SCHEMA "größe.schema";
    CREATE TYPE types.quality AS ENUM (${QUALITIES.map((quality) => pg.escapeLiteral(quality)).join(', ')});
    CREATE DOMAIN types.label AS text CHECK (VALUE <> 'none');
    CREATE TABLE by_key (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, ${body});
    CREATE TABLE whole_row (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, ${body});
    ALTER TABLE whole_row REPLICA IDENTITY FULL;
    CREATE TABLE no_identity (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, ${body});
    ALTER TABLE no_identity REPLICA IDENTITY NOTHING;
    CREATE TABLE unpublished (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, ${body});
    CREATE TABLE ${INDEX_IDENTITY} (a int NOT NULL, "b.c" text NOT NULL, ${body});
    CREATE UNIQUE INDEX "unique ""index" ON ${INDEX_IDENTITY} ("b.c", a);
    ALTER TABLE ${INDEX_IDENTITY} REPLICA IDENTITY USING INDEX "unique ""index";
    ${['by_key', 'whole_row', 'no_identity', 'unpublished', INDEX_IDENTITY].map(external).join('\n')}
    CREATE TABLE parent (id serial PRIMARY KEY, label text);
    CREATE TABLE child (id serial PRIMARY KEY, parent_id int REFERENCES parent, label text);
    CREATE TABLE mood_swings (id serial PRIMARY KEY, mood types.quality, label types.label);
    CREATE TABLE ${WEIRD} ("__proto__" int PRIMARY KEY, "constructor" text, "a.b" text, "quo""te" text, "ключ" text,
      "7" int, "toString" text);
    CREATE TABLE types.by_key (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, ${valueColumns});
    CREATE TABLE types.whole_row (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, ${valueColumns});
    ALTER TABLE types.whole_row REPLICA IDENTITY FULL;
    ${evolving.map((table) => `CREATE TABLE ${table} (id serial PRIMARY KEY);`).join('\n')}
    INSERT INTO by_key (counter, body) SELECT n, repeat(md5(n::text), 300) FROM generate_series(1, 50) n;
    INSERT INTO whole_row (counter, body) SELECT n, repeat(md5(n::text), 300) FROM generate_series(1, 50) n;
    CREATE PUBLICATION workload FOR TABLE ${published.join(', ')};
    CREATE PUBLICATION "workload ""inserts""" FOR TABLE no_identity WITH (publish = 'insert, truncate');
  `);
}

export interface WorkloadOptions {
  readonly seed: number;
  readonly writers: number;
  readonly transactionsPerWriter: number;
}

/** What the workload did, to see that it did it at all. */
export interface WorkloadReport {
  readonly committed: number;
  readonly rolledBack: number;
  /** Transactions that the server ended: deadlocks and broken constraints. */
  readonly failed: number;
}

/** Runs the writers at once, each with its own connection and numbers, then writes the message that ends it. */
export async function runWorkload(server: EmbeddedServer, options: WorkloadOptions): Promise<WorkloadReport> {
  const writers = await Promise.all(
    Array.from({ length: options.writers }, async (_, number) => new Writer(await connect(server), number, options)),
  );
  try {
    const reports = await Promise.all(writers.map((writer) => writer.run()));
    await writers[0]?.end();
    const sum = (name: keyof WorkloadReport) => reports.reduce((total, report) => total + report[name], 0);
    return { committed: sum('committed'), rolledBack: sum('rolledBack'), failed: sum('failed') };
  } finally {
    await Promise.all(writers.map((writer) => writer.close()));
  }
}

/** Deadlock, unique, foreign key, check. */
const EXPECTED_FAILURES = new Set(['40P01', '23505', '23503', '23514']);

/** A table whose columns change as its writer goes. */
interface Evolving {
  name: string;
  /** Columns besides `id`, by name. */
  columns: ReadonlyMap<string, string>;
}

const EVOLVING_TYPES = ['int', 'text', 'numeric', 'jsonb', 'timestamptz', 'int[]'];

class Writer {
  readonly #client: pg.Client;
  readonly #number: number;
  readonly #random: Random;
  readonly #transactions: number;
  #evolving: Evolving;
  #columnsMade = 0;

  constructor(client: pg.Client, number: number, options: WorkloadOptions) {
    this.#client = client;
    this.#number = number;
    this.#random = new Random(options.seed + number * 7919);
    this.#transactions = options.transactionsPerWriter;
    this.#evolving = { name: `evolving ${number}`, columns: new Map() };
  }

  async run(): Promise<WorkloadReport> {
    const report = { committed: 0, rolledBack: 0, failed: 0 };
    const random = this.#random;
    await this.#client.query(`SET synchronous_commit = ${random.pick(['on', 'off'])}`);
    for (let transaction = 0; transaction < this.#transactions; transaction++) {
      const before = { ...this.#evolving };
      let outcome: keyof WorkloadReport;
      try {
        outcome = await this.#transaction();
      } catch (error) {
        if (!(error instanceof pg.DatabaseError) || !EXPECTED_FAILURES.has(error.code ?? '')) throw error;
        await this.#client.query('ROLLBACK');
        outcome = 'failed';
      }
      if (outcome !== 'committed') this.#evolving = before;
      report[outcome]++;
      if (random.chance(0.05)) await this.#message(false);
    }
    return report;
  }

  async end(): Promise<void> {
    await this.#client.query('SET synchronous_commit = on');
    await this.#client.query('SELECT pg_logical_emit_message(true, $1, $2)', [END_PREFIX, 'of the workload']);
  }

  close(): Promise<void> {
    return this.#client.end();
  }

  async #transaction(): Promise<keyof WorkloadReport> {
    const random = this.#random;
    const client = this.#client;
    const withOrigin = random.chance(0.1);
    if (withOrigin) await this.#enterOrigin();
    try {
      if (random.chance(0.1)) {
        // A statement by itself.
        await this.#change();
        return 'committed';
      }
      await client.query('BEGIN');
      if (withOrigin) await client.query(`SELECT pg_replication_origin_xact_setup('AB/CDEF${this.#number}', now())`);
      await this.#changes(random.pick([1, 3, 8, 20]), 0);
      const commits = random.chance(0.88);
      await client.query(commits ? 'COMMIT' : 'ROLLBACK');
      return commits ? 'committed' : 'rolledBack';
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    } finally {
      if (withOrigin) await client.query('SELECT pg_replication_origin_session_reset()');
    }
  }

  async #enterOrigin(): Promise<void> {
    const name = `origin 'ö' ${this.#number}`;
    await this.#client.query(
      `SELECT pg_replication_origin_create($1)
        WHERE NOT EXISTS (SELECT FROM pg_replication_origin WHERE roname = $1)`,
      [name],
    );
    await this.#client.query('SELECT pg_replication_origin_session_setup($1)', [name]);
  }

  async #changes(count: number, depth: number): Promise<void> {
    const random = this.#random;
    for (let change = 0; change < count; change++) {
      if (depth < 3 && random.chance(0.08)) await this.#savepoint(depth);
      else await this.#change();
    }
  }

  async #savepoint(depth: number): Promise<void> {
    const before = { ...this.#evolving };
    await this.#client.query(`SAVEPOINT level_${depth}`);
    await this.#changes(this.#random.integer(1, 5), depth + 1);
    const end = this.#random.pick(['roll back', 'release', 'leave']);
    if (end === 'roll back') {
      await this.#client.query(`ROLLBACK TO SAVEPOINT level_${depth}`);
      this.#evolving = before;
    } else if (end === 'release') {
      await this.#client.query(`RELEASE SAVEPOINT level_${depth}`);
    }
  }

  async #change(): Promise<void> {
    const roll = this.#random.next();
    if (roll < 0.3) await this.#changeBody();
    else if (roll < 0.45) await this.#changeValues();
    else if (roll < 0.55) await this.#changeIndexIdentity();
    else if (roll < 0.65) await this.#changeWeird();
    else if (roll < 0.75) await this.#changeFamily();
    else if (roll < 0.81) await this.#message(true);
    else if (roll < 0.83) await this.#message(false);
    else if (roll < 0.95) await this.#changeEvolving();
    else if (roll < 0.97) await this.#manyRows();
    else await this.#truncate();
  }

  /** Some row of `table`, by a column that has an index. */
  #some(table: string, column = 'id'): string {
    const from = this.#random.integer(0, 200);
    return `${column} = (SELECT ${column} FROM ${table} WHERE ${column} >= ${from} ORDER BY ${column} LIMIT 1)`;
  }

  /** Large values in external storage: new ones, changed ones, and ones that an update leaves alone. */
  async #changeBody(): Promise<void> {
    const random = this.#random;
    const table = random.pick(['by_key', 'by_key', 'whole_row', 'whole_row', 'no_identity', 'unpublished']);
    const body = () => random.pick([null, 'short', random.text(random.integer(8_200, 20_000))]);
    const where = this.#some(table);
    const client = this.#client;
    switch (random.integer(0, 5)) {
      case 0:
      case 1:
        await client.query(`INSERT INTO ${table} (counter, body, note) VALUES ($1, $2, $3)`, [
          random.integer(0, 99),
          body(),
          body(),
        ]);
        break;
      case 2:
        await client.query(`UPDATE ${table} SET counter = counter + 1 WHERE ${where}`);
        break;
      case 3:
        await client.query(`UPDATE ${table} SET body = $1 WHERE ${where}`, [body()]);
        break;
      case 4:
        await client.query(`UPDATE ${table} SET id = id + 100000, note = $1 WHERE ${where}`, [body()]);
        break;
      default:
        await client.query(`DELETE FROM ${table} WHERE ${where}`);
    }
  }

  async #changeValues(): Promise<void> {
    const random = this.#random;
    const table = random.pick(['types.by_key', 'types.whole_row']);
    const literal = (column: ValueColumn) => (random.chance(0.15) ? null : column.literal(random));
    const roll = random.integer(0, 4);
    if (roll <= 2) {
      const names = VALUE_COLUMNS.map((column) => column.name).join(', ');
      const values = VALUE_COLUMNS.map(({ type }, index) => `$${index + 1}::text::${type}`).join(', ');
      await this.#client.query(`INSERT INTO ${table} (${names}) VALUES (${values})`, VALUE_COLUMNS.map(literal));
    } else if (roll === 3) {
      const columns = [random.pick(VALUE_COLUMNS), random.pick(VALUE_COLUMNS)].filter(
        (one, at, all) => all.indexOf(one) === at,
      );
      const sets = columns.map(({ name, type }, index) => `${name} = $${index + 1}::text::${type}`).join(', ');
      await this.#client.query(`UPDATE ${table} SET ${sets} WHERE ${this.#some(table)}`, columns.map(literal));
    } else {
      await this.#client.query(`DELETE FROM ${table} WHERE ${this.#some(table)}`);
    }
  }

  async #changeIndexIdentity(): Promise<void> {
    const random = this.#random;
    const where = this.#some(INDEX_IDENTITY, 'a');
    switch (random.integer(0, 3)) {
      case 0:
      case 1:
        await this.#client.query(`INSERT INTO ${INDEX_IDENTITY} (a, "b.c", counter, body) VALUES ($1, $2, $3, $4)`, [
          random.integer(0, 300),
          random.text(random.integer(0, 60)),
          random.integer(0, 99),
          random.pick([null, random.text(9_000)]),
        ]);
        break;
      case 2:
        await this.#client.query(
          random.chance(0.5)
            ? `UPDATE ${INDEX_IDENTITY} SET counter = counter + 1 WHERE ${where}`
            : `UPDATE ${INDEX_IDENTITY} SET "b.c" = "b.c" || 'é' WHERE ${where}`,
        );
        break;
      default:
        await this.#client.query(`DELETE FROM ${INDEX_IDENTITY} WHERE ${where}`);
    }
  }

  async #changeWeird(): Promise<void> {
    const random = this.#random;
    const where = this.#some(WEIRD, '"__proto__"');
    switch (random.integer(0, 3)) {
      case 0:
      case 1:
        await this.#client.query(`INSERT INTO ${WEIRD} VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`, [
          random.integer(0, 1000),
          words(random),
          words(random),
          null,
          words(random),
          random.integer(0, 99),
        ]);
        break;
      case 2:
        await this.#client.query(
          random.chance(0.5)
            ? `UPDATE ${WEIRD} SET "quo""te" = "a.b", "7" = "7" + 1 WHERE ${where}`
            : `UPDATE ${WEIRD} SET "__proto__" = "__proto__" + 1000 WHERE ${where}`,
        );
        break;
      default:
        await this.#client.query(`DELETE FROM ${WEIRD} WHERE ${where}`);
    }
  }

  async #changeFamily(): Promise<void> {
    const random = this.#random;
    switch (random.integer(0, 2)) {
      case 0:
        await this.#client.query(
          `WITH made AS (INSERT INTO parent (label) VALUES ($1) RETURNING id)
           INSERT INTO child (parent_id, label) SELECT id, $1 || n FROM made, generate_series(1, 3) n`,
          [random.text(10)],
        );
        break;
      case 1:
        await this.#client.query('INSERT INTO mood_swings (mood, label) VALUES ($1, $2)', [
          random.pick(QUALITIES),
          words(random),
        ]);
        break;
      default:
        await this.#client.query(`DELETE FROM child WHERE ${this.#some('child')}`);
    }
  }

  async #message(transactional: boolean): Promise<void> {
    const random = this.#random;
    const content = random.pick(['', MANY_CHARACTERS, random.text(20_000)]);
    await this.#client.query('SELECT pg_logical_emit_message($1, $2, $3::text)', [
      transactional,
      random.pick(['', 'a prefix', 'größe "prefix"']),
      content,
    ]);
  }

  /** Enough for the server to spill the transaction to disk, and for us to cut it. */
  async #manyRows(): Promise<void> {
    const random = this.#random;
    const count = random.integer(100, 1_000);
    const [table, text] = random.pick([
      ['by_key', 'md5(n::text)'],
      ['whole_row', 'md5(n::text)'],
      ['no_identity', 'NULL'],
    ] as const);
    await this.#client.query(
      `INSERT INTO ${table} (counter, body) SELECT n, ${text} FROM generate_series(1, $1::int) n`,
      [count],
    );
    if (table !== 'no_identity' && random.chance(0.5)) {
      await this.#client.query(`UPDATE ${table} SET note = 'x' WHERE counter < 30 AND id > 1000`);
    }
  }

  async #truncate(): Promise<void> {
    await this.#client.query(
      this.#random.pick([
        'TRUNCATE parent CASCADE',
        'TRUNCATE parent, no_identity RESTART IDENTITY CASCADE',
        'TRUNCATE child, unpublished, mood_swings',
        `TRUNCATE ${WEIRD} RESTART IDENTITY`,
        'TRUNCATE unpublished',
      ]),
    );
  }

  /** Changes the rows of this writer's own table, or its columns, name or replica identity. */
  async #changeEvolving(): Promise<void> {
    const random = this.#random;
    const { columns } = this.#evolving;
    if (random.chance(0.3)) {
      await this.#alter();
      return;
    }
    const table = `types.${pg.escapeIdentifier(this.#evolving.name)}`;
    const values = [...columns].map(([, type]) => evolvingLiteral(random, type));
    const names = [...columns.keys()].map(pg.escapeIdentifier);
    switch (random.integer(0, 3)) {
      case 0:
      case 1: {
        const list = ['id', ...names].join(', ');
        const parameters = ['DEFAULT', ...[...columns.values()].map((type, index) => `$${index + 1}::text::${type}`)];
        await this.#client.query(`INSERT INTO ${table} (${list}) VALUES (${parameters.join(', ')})`, values);
        break;
      }
      case 2:
        await this.#client.query(`UPDATE ${table} SET id = id + 1000 WHERE ${this.#some(table)}`);
        break;
      default:
        await this.#client.query(`DELETE FROM ${table} WHERE ${this.#some(table)}`);
    }
  }

  async #alter(): Promise<void> {
    const random = this.#random;
    const { name } = this.#evolving;
    const table = `types.${pg.escapeIdentifier(name)}`;
    const columns = new Map(this.#evolving.columns);
    const column = columns.size === 0 ? undefined : random.pick([...columns.keys()]);
    const quoted = column === undefined ? '' : pg.escapeIdentifier(column);
    const made = `col.${this.#columnsMade++}`;
    let statement: string;
    let renamed = name;
    switch (column === undefined ? 0 : random.integer(0, 6)) {
      case 0:
      case 1: {
        const type = random.pick(EVOLVING_TYPES);
        const fallback = type === 'int' && random.chance(0.5) ? ' DEFAULT 42' : '';
        statement = `ADD COLUMN "${made}" ${type}${fallback}`;
        columns.set(made, type);
        break;
      }
      case 2:
        statement = `DROP COLUMN ${quoted}`;
        columns.delete(column ?? '');
        break;
      case 3:
        statement = `RENAME COLUMN ${quoted} TO "${made}"`;
        columns.set(made, columns.get(column ?? '') ?? '');
        columns.delete(column ?? '');
        break;
      case 4:
        statement = `ALTER COLUMN ${quoted} DROP DEFAULT, ALTER COLUMN ${quoted} TYPE text`;
        columns.set(column ?? '', 'text');
        break;
      case 5:
        statement = `REPLICA IDENTITY ${random.pick(['FULL', 'DEFAULT'])}`;
        break;
      default:
        renamed = name.startsWith('evolving') ? `evolved "${this.#number}"` : `evolving ${this.#number}`;
        statement = `RENAME TO ${pg.escapeIdentifier(renamed)}`;
    }
    await this.#client.query(`ALTER TABLE ${table} ${statement}`);
    this.#evolving = { name: renamed, columns };
  }
}

function evolvingLiteral(random: Random, type: string): string | null {
  if (random.chance(0.2)) return null;
  switch (type) {
    case 'int':
      return String(random.integer(-1e6, 1e6));
    case 'numeric':
      return decimal(random);
    case 'jsonb':
      return json(random);
    case 'timestamptz':
      return timestamp(random);
    case 'int[]':
      return `{${random.integer(0, 9)},NULL}`;
    default:
      return words(random);
  }
}
