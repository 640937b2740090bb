import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { WalStreamOptions } from '../../src/options.js';
import type { WalStream } from '../../src/stream/wal-stream.js';
import { Source } from '../stream/source.js';
import { connect, PG_MAJOR, sharedServer } from '../support/server.js';

const COUNTING = { module: new URL('./parsers/values.js', import.meta.url), export: 'columnValue' };

/** Values of the next `count` inserts. */
async function next(stream: WalStream, count: number): Promise<unknown[]> {
  const values: unknown[] = [];
  while (values.length < count) {
    const event = await stream.nextEvent({ timeoutMs: 30_000 });
    assert.ok(event !== null && event !== undefined, `${values.length} of ${count} inserts`);
    if (event.kind === 'insert') values.push(event.new.value);
  }
  return values;
}

describe(`PostgreSQL ${PG_MAJOR}: what the catalog says of types`, () => {
  const server = sharedServer();
  let types = 0;

  async function opened(t: Parameters<typeof Source.open>[0], options: Partial<WalStreamOptions> = {}) {
    const source = await Source.open(t, server(), 'id serial PRIMARY KEY');
    await source.client.query(`ALTER PUBLICATION ${source.name} SET (publish = 'insert')`);
    const stream = source.stream(options);
    await stream.start();
    const name = `type_${++types}`;
    return { source, client: source.client, table: source.name, stream, name };
  }

  for (const binary of [false, true]) {
    const how = binary ? 'binary' : 'text';

    test(`${how}: types that come after the start`, async (t) => {
      const { client, table, stream, name } = await opened(t, { binary });
      await client.query(`
        BEGIN; CREATE TYPE ${name} AS (a int, b text[]); ALTER TABLE ${table} ADD value ${name};
        INSERT INTO ${table} (value) VALUES ('(1,"{x,NULL}")'); COMMIT`);
      assert.deepEqual(await next(stream, 1), [{ a: 1, b: ['x', null] }]);
      await client.query(`
        ALTER TABLE ${table} DROP value; DROP TYPE ${name}; CREATE TYPE ${name} AS ENUM ('old');
        ALTER TABLE ${table} ADD value ${name}[]; INSERT INTO ${table} (value) VALUES ('{old}');
        ALTER TYPE ${name} ADD VALUE 'new'`);
      await client.query(`INSERT INTO ${table} (value) VALUES ('{new,NULL}')`);
      assert.deepEqual(await next(stream, 2), [['old'], ['new', null]]);
      assert.deepEqual(stream.warnings, []);
    });

    test(`${how}: attributes that come and go`, async (t) => {
      const { client, table, stream, name } = await opened(t, { binary });
      await client.query(`CREATE TYPE ${name} AS (a int, b text); ALTER TABLE ${table} ADD value ${name}`);
      const insert = (literal: string) => client.query(`INSERT INTO ${table} (value) VALUES ('${literal}')`);
      await insert('(1,x)');
      assert.deepEqual(await next(stream, 1), [{ a: 1, b: 'x' }]);
      await client.query(`ALTER TYPE ${name} ADD ATTRIBUTE c int8`);
      await insert('(2,y,9007199254740993)');
      assert.deepEqual(await next(stream, 1), [{ a: 2, b: 'y', c: 9007199254740993n }]);
      await client.query(`ALTER TYPE ${name} DROP ATTRIBUTE a`);
      await insert('(z,3)');
      assert.deepEqual(await next(stream, 1), [{ b: 'z', c: 3n }]);
      await client.query(`ALTER TYPE ${name} ADD ATTRIBUTE d text, DROP ATTRIBUTE b`);
      await insert('(4,v)');
      assert.deepEqual(await next(stream, 1), [{ c: 4n, d: 'v' }]);
    });

    test(`${how}: values from before an attribute was added, read after it`, async (t) => {
      const { client, table, stream, name, source } = await opened(t, { binary });
      await stream.stop();
      await source.free();
      await client.query(`CREATE TYPE ${name} AS (a int, b text); ALTER TABLE ${table} ADD value ${name}`);
      await client.query(`INSERT INTO ${table} (value) VALUES ('(1,"x y")')`);
      await client.query(`ALTER TYPE ${name} ADD ATTRIBUTE c int`);
      await client.query(`INSERT INTO ${table} (value) VALUES ('(2,,3)')`);
      const late = source.stream({ binary });
      assert.deepEqual(await next(late, 2), ['(1,"x y")', { a: 2, b: null, c: 3 }]);
    });
  }

  for (const transform of [false, true]) {
    test(`a type altered in the middle of a backlog${transform ? ', with a transform' : ''}`, async (t) => {
      const { client, table, stream, name } = await opened(t, transform ? { transform: COUNTING } : {});
      await client.query(`CREATE TYPE ${name} AS (a int, b text); ALTER TABLE ${table} ADD value ${name}`);
      const half = 20_000;
      for (const [literal, alter] of [
        ["(g.g, repeat('x', 50))", `ALTER TYPE ${name} ADD ATTRIBUTE c int`],
        ['(g.g, NULL, 3)', 'SELECT'],
      ]) {
        await client.query(
          `INSERT INTO ${table} (value) SELECT ROW${literal}::${name} FROM generate_series(1, ${half}) g`,
        );
        await client.query(alter);
      }
      const [row, later] = [
        (index: number) => ({ a: index + 1, b: 'x'.repeat(50) }),
        (index: number) => ({ a: index + 1, b: null, c: 3 }),
      ];
      let count = 0;
      const texts: unknown[] = [];
      while (count < half * 2) {
        const event = await stream.nextEvent({ timeoutMs: 30_000 });
        assert.ok(event !== null && event !== undefined, `${count} inserts`);
        if (event.kind !== 'insert') continue;
        const value = transform ? event.value : event.new.value;
        // The first half may be read when the catalog has forgotten what it was.
        if (typeof value === 'string') texts.push(value);
        else assert.deepEqual(value, count < half ? row(count) : later(count - half));
        count++;
      }
      assert.ok(texts.every((text) => /^\(\d+,x{50}\)$/.test(String(text))));
      assert.ok(stream.stats().workerBatches > 1);
    });
  }

  test('a renamed type is known by its new name', async (t) => {
    const overrides = { new_name: (text: string) => `new ${text}`, old_name: (text: string) => `old ${text}` };
    const { client, table, stream } = await opened(t, { types: { overrides } });
    await client.query(`
      CREATE TYPE old_name AS ENUM ('a'); ALTER TABLE ${table} ADD value old_name;
      INSERT INTO ${table} (value) VALUES ('a')`);
    assert.deepEqual(await next(stream, 1), ['old a']);
    // The server tells of a type only together with a table, of which it tells again when that changes.
    await client.query(`ALTER TYPE old_name RENAME TO new_name; ALTER TABLE ${table} ALTER id SET STATISTICS 10`);
    await client.query(`INSERT INTO ${table} (value) VALUES ('a')`);
    assert.deepEqual(await next(stream, 1), ['new a']);
  });

  for (const binary of [false, true]) {
    test(`without access to the catalog: what the server sends, binary ${binary}`, async (t) => {
      const { source, client, table, name } = await opened(t);
      const database = `denied_${types}`;
      await client.query(`CREATE DATABASE ${database}`);
      await client.query(`CREATE ROLE ${name} LOGIN REPLICATION PASSWORD 'x'`);
      const other = await connect(server(), database);
      try {
        await other.query(`
          CREATE TYPE ${name} AS (a int); CREATE TABLE ${table} (id serial PRIMARY KEY, value ${name}, plain int8);
          CREATE PUBLICATION ${table} FOR TABLE ${table}; REVOKE SELECT ON pg_catalog.pg_type FROM PUBLIC`);
        await other.query(`SELECT pg_create_logical_replication_slot('${database}', 'pgoutput')`);
        await other.query(`INSERT INTO ${table} (value, plain) VALUES ('(7)', 1)`);
        const url = new URL(server().connectionString(database));
        url.username = name;
        url.password = 'x';
        const stream = source.stream({
          connection: url.href,
          slot: database,
          binary,
          stopLsn: await source.lsn(),
        });
        const rows: unknown[] = [];
        for await (const event of stream) if (event.kind === 'insert') rows.push({ ...event.new });
        const record = Buffer.from('0000000100000017000000040000000700000000', 'hex').subarray(0, 16);
        assert.deepEqual(rows, [{ id: 1, value: binary ? record : '(7)', plain: 1n }]);
        assert.match(stream.warnings.join('\n'), /the catalog does not tell what types \d+ are.*permission denied/s);
      } finally {
        await other.query(`SELECT pg_drop_replication_slot('${database}')`).catch(() => {});
        await other.end();
      }
    });
  }
});
