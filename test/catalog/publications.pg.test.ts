import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  createPublication,
  createSlot,
  dropPublication,
  findPublication,
  listPublications,
  publicationErrorFrom,
} from '../../src/catalog/index.js';
import type { ServerNotice } from '../../src/connection/server-error.js';
import { AuthenticationError, ConfigurationError, ServerError } from '../../src/errors.js';
import fc from '../support/properties.js';
import { needsMajor, PG_MAJOR, sharedServer, sql } from '../support/server.js';
import { openSession } from './session.js';

const HOSTILE_NAMES = fc.oneof(
  fc.string({
    unit: fc.constantFrom('"', "'", '\\', '.', ',', ';', '-', '/', '*', '$', '%', '{', ' ', '\n', 'ä', '😀', 'A', 'b'),
    minLength: 1,
    maxLength: 15,
  }),
  fc.constantFrom('"; DROP TABLE t; --', "'; --", '/* x', '*/', "E'\\'", '$$', 'a.b', '"a"', '\\', "\\'", 'U&"x"'),
);

describe('publications', () => {
  const server = sharedServer();

  test('what was created is listed as it was created', async (t) => {
    const session = await openSession(t, server().connectionString());
    await sql(
      server(),
      `CREATE SCHEMA "Sales"; CREATE TABLE "Sales"."Order ""x""" (id int PRIMARY KEY, note text); CREATE TABLE other (id int)`,
    );
    await createPublication(session, { name: 'everything', tables: 'all' });
    await createPublication(session, { name: 'nothing' });
    await createPublication(session, {
      name: 'some',
      tables: [{ schema: 'Sales', table: 'Order "x"' }, { table: 'other' }],
      publish: ['insert', 'truncate'],
      viaRoot: true,
    });

    const all = await listPublications(session);
    assert.deepEqual(
      all.map((one) => [one.name, one.owner, one.allTables, one.schemas.length, one.tables.length]),
      [
        ['everything', 'postgres', true, 0, 2],
        ['nothing', 'postgres', false, 0, 0],
        ['some', 'postgres', false, 0, 2],
      ],
    );
    assert.deepEqual(all[0]?.publish, ['insert', 'update', 'delete', 'truncate']);
    assert.deepEqual(await findPublication(session, 'some'), {
      name: 'some',
      owner: 'postgres',
      allTables: false,
      schemas: [],
      publish: ['insert', 'truncate'],
      viaRoot: true,
      generatedColumns: 'none',
      tables: [
        { schema: 'public', table: 'other', columns: PG_MAJOR >= 15 ? ['id'] : undefined, rowFilter: undefined },
        {
          schema: 'Sales',
          table: 'Order "x"',
          columns: PG_MAJOR >= 15 ? ['id', 'note'] : undefined,
          rowFilter: undefined,
        },
      ].sort((a, b) => (a.schema < b.schema ? -1 : 1)),
    });
    for (const one of all) await dropPublication(session, one.name);
    assert.deepEqual(await listPublications(session), []);
  });

  test('schemas, column lists and row filters', { skip: needsMajor(15, 'these') }, async (t) => {
    const session = await openSession(t, server().connectionString());
    await sql(
      server(),
      `CREATE SCHEMA "s'1"; CREATE TABLE "s'1".a (id int); CREATE TABLE b (id int, "the ""name" text)`,
    );
    await createPublication(session, {
      name: 'parts',
      tables: [{ schema: 'public', table: 'b', columns: ['id', 'the "name'], where: 'id > 5' }],
    });
    await createPublication(session, { name: 'of_schema', schemas: ["s'1"] });
    assert.deepEqual((await findPublication(session, 'parts'))?.tables, [
      { schema: 'public', table: 'b', columns: ['id', 'the "name'], rowFilter: '(id > 5)' },
    ]);
    const ofSchema = await findPublication(session, 'of_schema');
    assert.deepEqual(ofSchema?.schemas, ["s'1"]);
    assert.deepEqual(
      ofSchema?.tables.map(({ table }) => table),
      ['a'],
    );
  });

  test('generated columns', { skip: needsMajor(18, 'published generated columns') }, async (t) => {
    const session = await openSession(t, server().connectionString());
    await createPublication(session, { name: 'generated', tables: 'all', generatedColumns: 'stored' });
    assert.equal((await findPublication(session, 'generated'))?.generatedColumns, 'stored');
    await dropPublication(session, 'generated');
  });

  test('any name is created, found and dropped as it is', async (t) => {
    const session = await openSession(t, server().connectionString());
    await sql(server(), 'CREATE TABLE named (id int)');
    await fc.assert(
      fc.asyncProperty(HOSTILE_NAMES, async (name) => {
        await createPublication(session, { name, tables: [{ schema: 'public', table: 'named' }] });
        assert.equal((await findPublication(session, name))?.name, name);
        await dropPublication(session, name);
        assert.equal(await findPublication(session, name), undefined);
      }),
      { numRuns: 60 },
    );
  });

  test('failures name the option', async (t) => {
    const session = await openSession(t, server().connectionString());
    const isAbout = (option: string) => (error: unknown) =>
      error instanceof ConfigurationError && error.option === option;
    await createPublication(session, { name: 'once' });
    await assert.rejects(createPublication(session, { name: 'once' }), isAbout('publications'));
    await assert.rejects(dropPublication(session, 'never'), isAbout('publications'));
    await assert.rejects(createPublication(session, { name: 'p', tables: [{ table: 'gone' }] }), isAbout('tables'));
    const catalogTable = [{ schema: 'pg_catalog', table: 'pg_class' }];
    await assert.rejects(createPublication(session, { name: 'p', tables: catalogTable }), isAbout('tables'));
    if (PG_MAJOR < 15)
      await assert.rejects(createPublication(session, { name: 'p', schemas: ['s'] }), isAbout('schemas'));

    await sql(server(), `CREATE ROLE plain LOGIN`);
    const url = new URL(server().connectionString());
    url.username = 'plain';
    const plain = await openSession(t, url.href, { mode: 'sql' });
    await assert.rejects(
      createPublication(plain, { name: 'p', tables: 'all' }),
      (error) => error instanceof AuthenticationError && error.method === 'privilege',
    );
  });

  test('a publication that is younger than the position is explained', async (t) => {
    const reports: { readonly sqlState: string; readonly message: string }[] = [];
    const onNotice = (notice: ServerNotice) => reports.push(notice);
    const session = await openSession(t, server().connectionString(), { onNotice });
    await createSlot(session, { kind: 'logical', name: 'older' });
    await sql(server(), 'CREATE TABLE young (id int); INSERT INTO young VALUES (1)');
    await createPublication(session, { name: 'young', tables: 'all' });
    const peek = `SELECT count(*) FROM pg_logical_slot_peek_binary_changes('older', NULL, NULL,
      'proto_version', '1', 'publication_names', 'young')`;
    await session.query(peek).catch((error: unknown) => {
      assert.ok(error instanceof ServerError, String(error));
      reports.push(error);
    });
    const error = reports.map(publicationErrorFrom).find((one) => one !== undefined);
    assert.match(
      error?.message ?? '',
      /^publication "young" does not exist at the position .* dropped .* or created only later/,
    );
    assert.equal(publicationErrorFrom({ sqlState: '42704', message: 'type "x" does not exist' }), undefined);
  });
});
