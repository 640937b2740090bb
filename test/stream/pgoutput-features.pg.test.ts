import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigurationError, UNCHANGED, type WalEvent, WalStream } from '../../src/index.js';
import { connect, needsMajor, PG_MAJOR, sharedServer } from '../support/server.js';
import { changesOf, dropSlot, insertLsn, only, SCENARIO_SETTINGS, type Scenario, Scenarios } from './scenario.js';

const server = sharedServer({ settings: SCENARIO_SETTINGS });
const scenarios = new Scenarios(server);
const streamed = (scenario: Scenario) => scenarios.streamed(scenario);

describe(`PostgreSQL ${PG_MAJOR}: replica identities`, () => {
  const changes = [
    "INSERT INTO t VALUES (1, 'one', 'x')",
    "UPDATE t SET note = 'y'",
    "UPDATE t SET id = 2, name = 'two'",
    'DELETE FROM t',
  ];
  const columns = 'id int NOT NULL, name text NOT NULL, note text';

  for (const binary of [false, true]) {
    const options = { binary };
    const title = binary ? 'binary' : 'text';
    test(`default, ${title}`, async () => {
      const events = await streamed({ setup: `CREATE TABLE t (${columns}, PRIMARY KEY (id))`, changes, options });
      const table = 't';
      assert.deepStrictEqual(changesOf(events), [
        { kind: 'insert', table, new: { id: 1, name: 'one', note: 'x' }, identity: { id: 1 } },
        {
          kind: 'update',
          table,
          new: { id: 1, name: 'one', note: 'y' },
          old: undefined,
          key: undefined,
          identity: { id: 1 },
        },
        {
          kind: 'update',
          table,
          new: { id: 2, name: 'two', note: 'y' },
          old: undefined,
          key: { id: 1 },
          identity: { id: 1 },
        },
        { kind: 'delete', table, old: undefined, key: { id: 2 }, identity: { id: 2 } },
      ]);
    });

    test(`full, ${title}`, async () => {
      const setup = `CREATE TABLE t (${columns}, PRIMARY KEY (id)); ALTER TABLE t REPLICA IDENTITY FULL`;
      const events = await streamed({ setup, changes, options });
      const table = 't';
      const first = { id: 1, name: 'one', note: 'x' };
      const second = { id: 1, name: 'one', note: 'y' };
      const third = { id: 2, name: 'two', note: 'y' };
      assert.deepStrictEqual(changesOf(events), [
        { kind: 'insert', table, new: first, identity: first },
        { kind: 'update', table, new: second, old: first, key: undefined, identity: first },
        { kind: 'update', table, new: third, old: second, key: undefined, identity: second },
        { kind: 'delete', table, old: third, key: undefined, identity: third },
      ]);
      assert.ok(only(events, 'relation').every(({ relation }) => relation.replicaIdentity === 'full'));
    });

    test(`index, ${title}`, async () => {
      const setup = `CREATE TABLE t (${columns}, PRIMARY KEY (id)); CREATE UNIQUE INDEX other ON t (name, id);
        ALTER TABLE t REPLICA IDENTITY USING INDEX other`;
      const events = await streamed({ setup, changes, options });
      const table = 't';
      const one = { id: 1, name: 'one' };
      const two = { id: 2, name: 'two' };
      assert.deepStrictEqual(changesOf(events), [
        { kind: 'insert', table, new: { ...one, note: 'x' }, identity: one },
        { kind: 'update', table, new: { ...one, note: 'y' }, old: undefined, key: undefined, identity: one },
        { kind: 'update', table, new: { ...two, note: 'y' }, old: undefined, key: one, identity: one },
        { kind: 'delete', table, old: undefined, key: two, identity: two },
      ]);
    });
  }

  test('nothing, and a table without a key: inserts only, without an identity', async () => {
    const events = await streamed({
      setup: `CREATE TABLE t (${columns}, PRIMARY KEY (id)); ALTER TABLE t REPLICA IDENTITY NOTHING;
        CREATE TABLE keyless (id int)`,
      publication: "FOR TABLE t, keyless WITH (publish = 'insert')",
      changes: [...changes, 'INSERT INTO keyless VALUES (7)'],
    });
    assert.deepStrictEqual(changesOf(events), [
      { kind: 'insert', table: 't', new: { id: 1, name: 'one', note: 'x' }, identity: undefined },
      { kind: 'insert', table: 'keyless', new: { id: 7 }, identity: undefined },
    ]);
    assert.deepEqual(
      only(events, 'relation').map(({ relation }) => relation.replicaIdentity),
      ['nothing', 'default'],
    );
  });

  test('NULLs and empty strings are told apart in old, new and key', async () => {
    const events = await streamed({
      setup: `CREATE TABLE t (id text PRIMARY KEY, a text, b text, c int[]); CREATE TABLE f (LIKE t);
        ALTER TABLE f REPLICA IDENTITY FULL`,
      changes: [
        "INSERT INTO t VALUES ('', NULL, '', '{}'); INSERT INTO f VALUES ('', NULL, '', '{NULL}')",
        "UPDATE t SET id = ' ', a = '', b = NULL; UPDATE f SET a = '', b = NULL, c = NULL",
      ],
    });
    assert.deepStrictEqual(changesOf(events).slice(2), [
      {
        kind: 'update',
        table: 't',
        new: { id: ' ', a: '', b: null, c: [] },
        old: undefined,
        key: { id: '' },
        identity: { id: '' },
      },
      {
        kind: 'update',
        table: 'f',
        new: { id: '', a: '', b: null, c: null },
        old: { id: '', a: null, b: '', c: [null] },
        key: undefined,
        identity: { id: '', a: null, b: '', c: [null] },
      },
    ]);
  });
});

describe(`PostgreSQL ${PG_MAJOR}: unchanged TOAST values`, () => {
  const setup = (identity: string) => `CREATE TABLE t (id int PRIMARY KEY, n int, big text, other text);
    ALTER TABLE t ALTER big SET STORAGE EXTERNAL, ALTER other SET STORAGE EXTERNAL; ALTER TABLE t REPLICA IDENTITY ${identity}`;
  const changes = [
    "INSERT INTO t VALUES (1, 1, repeat('a', 9000), repeat('b', 9000))",
    'UPDATE t SET n = 2',
    "UPDATE t SET big = repeat('c', 9000)",
    'UPDATE t SET id = 2, other = NULL',
    'DELETE FROM t',
  ];
  const [a, b, c] = ['a', 'b', 'c'].map((letter) => letter.repeat(9000));

  for (const binary of [false, true]) {
    const title = binary ? 'binary' : 'text';
    test(`are UNCHANGED, ${title}`, async () => {
      const events = await streamed({ setup: setup('DEFAULT'), changes, options: { binary } });
      assert.deepStrictEqual(
        only(events, 'insert', 'update').map((event) => event.new),
        [
          { id: 1, n: 1, big: a, other: b },
          { id: 1, n: 2, big: UNCHANGED, other: UNCHANGED },
          { id: 1, n: 2, big: c, other: UNCHANGED },
          { id: 2, n: 2, big: UNCHANGED, other: null },
        ],
      );
      const [update] = only(events, 'update');
      const json = JSON.parse(JSON.stringify(update));
      assert.deepEqual(json.new, { id: 1, n: 2 });
      assert.deepEqual(json.unchanged, ['big', 'other']);
    });

    test(`come from the old row under FULL, ${title}`, async () => {
      const events = await streamed({ setup: setup('FULL'), changes, options: { binary } });
      const rows = [
        { id: 1, n: 1, big: a, other: b },
        { id: 1, n: 2, big: a, other: b },
        { id: 1, n: 2, big: c, other: b },
        { id: 2, n: 2, big: c, other: null },
      ];
      assert.deepStrictEqual(
        only(events, 'insert', 'update').map((event) => event.new),
        rows,
      );
      assert.deepStrictEqual(
        only(events, 'update', 'delete').map((event) => event.old),
        rows,
      );
      assert.equal(JSON.stringify(events).includes('unchanged'), false);
    });
  }
});

describe(`PostgreSQL ${PG_MAJOR}: transactions, truncates and messages`, () => {
  test('a transaction has the same xid and commitLsn in all its events, and ordinals from 0', async () => {
    const events = await streamed({
      setup: 'CREATE TABLE t (id int PRIMARY KEY)',
      changes: [
        `BEGIN; INSERT INTO t VALUES (1), (2); SAVEPOINT s; INSERT INTO t VALUES (3); ROLLBACK TO s;
         SELECT pg_logical_emit_message(true, 'p', 'c'); TRUNCATE t; SAVEPOINT u; INSERT INTO t VALUES (4); RELEASE u; COMMIT`,
        'BEGIN; INSERT INTO t VALUES (5); ROLLBACK',
        'INSERT INTO t VALUES (6)',
      ],
      options: { messages: true },
    });
    const [begin, ...rest] = events.filter((event) => event.kind !== 'relation');
    assert.deepEqual(
      [begin, ...rest].map((event) => event?.kind),
      'begin insert insert message truncate insert commit begin insert commit'.split(' '),
    );
    assert.ok(begin?.kind === 'begin');
    const first = rest.slice(0, 6);
    for (const event of first) {
      assert.ok('xid' in event && 'commitLsn' in event);
      assert.equal(event.xid, begin.xid);
      assert.equal(event.commitLsn, begin.commitLsn);
    }
    assert.deepEqual(
      rest.flatMap((event) => ('ordinal' in event ? event.ordinal : [])),
      [0, 1, 2, 3, 0],
    );
    const [commit] = only(events, 'commit');
    assert.ok(commit !== undefined && commit.commitEndLsn > commit.commitLsn);
    assert.deepEqual(commit.commitTime, begin.commitTime);
    assert.ok(Math.abs(Date.now() - begin.commitTime.getTime()) < 60_000);
    assert.deepEqual(
      only(events, 'insert').map((event) => event.new.id),
      [1, 2, 4, 6],
    );
  });

  test('truncate is one event that names every table', async () => {
    const events = await streamed({
      setup: `CREATE TABLE a (id serial PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a);
        CREATE TABLE c (id int); CREATE TABLE "d.""d" (id int)`,
      changes: [
        'TRUNCATE c',
        'TRUNCATE a, "d.""d" CASCADE',
        'TRUNCATE c RESTART IDENTITY',
        'TRUNCATE b, c CONTINUE IDENTITY',
      ],
    });
    const schema = scenarios.name;
    const truncates = only(events, 'truncate').map(({ relations, cascade, restartIdentity, ordinal }) => {
      assert.ok(relations.every((relation) => relation.schema === schema));
      return { tables: relations.map(({ table }) => table).sort(), cascade, restartIdentity, ordinal };
    });
    assert.deepEqual(truncates, [
      { tables: ['c'], cascade: false, restartIdentity: false, ordinal: 0 },
      { tables: ['a', 'b', 'd."d'], cascade: true, restartIdentity: false, ordinal: 0 },
      { tables: ['c'], cascade: false, restartIdentity: true, ordinal: 0 },
      { tables: ['b', 'c'], cascade: false, restartIdentity: false, ordinal: 0 },
    ]);
  });

  const messages = {
    setup: 'CREATE TABLE t (id int PRIMARY KEY)',
    changes: [
      "SELECT pg_logical_emit_message(false, 'alone', '\\x00ff00'::bytea)",
      `BEGIN; INSERT INTO t VALUES (1); SELECT pg_logical_emit_message(true, 'größe', 'within');
       SELECT pg_logical_emit_message(false, 'early', ''); INSERT INTO t VALUES (2); COMMIT`,
      `BEGIN; SELECT pg_logical_emit_message(true, 'never', 'x'); SELECT pg_logical_emit_message(false, 'kept', 'x');
       ROLLBACK`,
      "SELECT pg_logical_emit_message(true, '', repeat('m', 300000))",
    ],
  };

  test('messages: within a transaction, and alone, also out of one that is rolled back', async () => {
    const events = await streamed({ ...messages, options: { messages: true } });
    const seen = events.map((event) => (event.kind === 'message' ? `message ${event.prefix}` : event.kind));
    assert.deepEqual(
      seen.filter((name) => name !== 'relation'),
      [
        'message alone',
        'message early',
        'begin',
        'insert',
        'message größe',
        'insert',
        'commit',
        'message kept',
        'begin',
        'message ',
        'commit',
      ],
    );
    const [alone, early, within, kept, large] = only(events, 'message');
    assert.ok(alone && early && within && kept && large);
    assert.deepEqual(alone.content, Buffer.of(0, 255, 0));
    assert.equal(early.content.length, 0);
    assert.equal(within.content.toString(), 'within');
    assert.equal(large.content.toString(), 'm'.repeat(300_000));
    for (const message of [alone, early, kept]) {
      assert.equal(message.transactional, false);
      assert.equal(message.xid, undefined);
      assert.equal(message.commitLsn, undefined);
      assert.ok(message.lsn > 0n);
    }
    const [begin] = only(events, 'begin');
    assert.equal(within.transactional, true);
    assert.equal(within.xid, begin?.xid);
    assert.equal(within.commitLsn, begin?.commitLsn);
    assert.deepEqual(
      only(events, 'insert').map(({ ordinal }) => ordinal),
      [0, 1],
    );
  });

  test('no messages unless asked for', async () => {
    const events = await streamed(messages);
    assert.deepEqual(only(events, 'message'), []);
    assert.equal(only(events, 'insert').length, 2);
  });
});

describe(`PostgreSQL ${PG_MAJOR}: what a publication selects`, () => {
  test('column list', { skip: needsMajor(15, 'column lists') }, async () => {
    const events = await streamed({
      setup: 'CREATE TABLE t (id int PRIMARY KEY, secret text, b int, "c d" text)',
      publication: 'FOR TABLE t (id, "c d")',
      changes: ["INSERT INTO t VALUES (1, 's', 2, 'x')", "UPDATE t SET secret = 'u', id = 2", 'DELETE FROM t'],
    });
    const [relation] = only(events, 'relation');
    assert.deepEqual(
      relation?.relation.columns.map(({ name, isIdentity }) => [name, isIdentity]),
      [
        ['id', true],
        ['c d', false],
      ],
    );
    assert.deepStrictEqual(changesOf(events), [
      { kind: 'insert', table: 't', new: { id: 1, 'c d': 'x' }, identity: { id: 1 } },
      {
        kind: 'update',
        table: 't',
        new: { id: 2, 'c d': 'x' },
        old: undefined,
        key: { id: 1 },
        identity: { id: 1 },
      },
      { kind: 'delete', table: 't', old: undefined, key: { id: 2 }, identity: { id: 2 } },
    ]);
  });

  test('row filter: an update into it is an insert, one out of it a delete', {
    skip: needsMajor(15, 'row filters'),
  }, async () => {
    const events = await streamed({
      setup: 'CREATE TABLE t (id int PRIMARY KEY, n int); ALTER TABLE t REPLICA IDENTITY FULL',
      publication: 'FOR TABLE t WHERE (n > 10)',
      changes: [
        'INSERT INTO t VALUES (1, 5), (2, 50)',
        'UPDATE t SET n = 51 WHERE id = 2',
        'UPDATE t SET n = 20 WHERE id = 1',
        'UPDATE t SET n = 1 WHERE id = 2',
        'DELETE FROM t',
      ],
    });
    assert.deepEqual(
      changesOf(events).map(({ kind, identity }) => [kind, identity]),
      [
        ['insert', { id: 2, n: 50 }],
        ['update', { id: 2, n: 50 }],
        ['insert', { id: 1, n: 20 }],
        ['delete', { id: 2, n: 51 }],
        ['delete', { id: 1, n: 20 }],
      ],
    );
  });

  test('tables of a schema', { skip: needsMajor(15, 'TABLES IN SCHEMA') }, async () => {
    const events = await streamed({
      setup: 'CREATE TABLE t (id int); CREATE SCHEMA IF NOT EXISTS elsewhere; CREATE TABLE elsewhere.t (id int)',
      publication: `FOR TABLES IN SCHEMA ${scenarios.nextName}`,
      changes: [
        'INSERT INTO t VALUES (1)',
        'INSERT INTO elsewhere.t VALUES (2)',
        'CREATE TABLE late (id int)',
        'INSERT INTO late VALUES (3)',
      ],
    });
    assert.deepEqual(
      changesOf(events).map(({ table, identity }) => [table, identity]),
      [
        ['t', undefined],
        ['late', undefined],
      ],
    );
  });

  const partitioned = {
    setup: `CREATE TABLE root (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
      CREATE TABLE leaf_eu PARTITION OF root FOR VALUES IN ('eu');
      CREATE TABLE leaf_us (region text NOT NULL, gone int, id int NOT NULL, PRIMARY KEY (id, region));
      ALTER TABLE leaf_us DROP COLUMN gone; ALTER TABLE root ATTACH PARTITION leaf_us FOR VALUES IN ('us')`,
    changes: [
      "INSERT INTO root VALUES (1, 'eu'), (2, 'us')",
      "UPDATE root SET id = 3 WHERE region = 'us'",
      "UPDATE root SET region = 'us' WHERE id = 1",
      'TRUNCATE root',
    ],
  };
  const shortForm = (events: WalEvent[]) =>
    only(events, 'insert', 'update', 'delete', 'truncate').map((event) => {
      switch (event.kind) {
        case 'truncate':
          return ['truncate', event.relations.map(({ table }) => table).sort()];
        case 'delete':
          return ['delete', event.table, event.key];
        default:
          return [event.kind, event.table, event.new];
      }
    });

  test('partitions by themselves', async () => {
    const events = await streamed({ ...partitioned, publication: 'FOR TABLE root' });
    assert.deepEqual(shortForm(events), [
      ['insert', 'leaf_eu', { id: 1, region: 'eu' }],
      ['insert', 'leaf_us', { region: 'us', id: 2 }],
      ['update', 'leaf_us', { region: 'us', id: 3 }],
      ['delete', 'leaf_eu', { id: 1, region: 'eu' }],
      ['insert', 'leaf_us', { region: 'us', id: 1 }],
      ['truncate', ['leaf_eu', 'leaf_us']],
    ]);
  });

  test('partitions as their root', async () => {
    const events = await streamed({
      ...partitioned,
      publication: 'FOR TABLE root WITH (publish_via_partition_root = true)',
    });
    assert.deepEqual(shortForm(events), [
      ['insert', 'root', { id: 1, region: 'eu' }],
      ['insert', 'root', { id: 2, region: 'us' }],
      ['update', 'root', { id: 3, region: 'us' }],
      ['delete', 'root', { id: 1, region: 'eu' }],
      ['insert', 'root', { id: 1, region: 'us' }],
      ['truncate', ['root']],
    ]);
  });

  const generated = {
    setup: 'CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED, last text)',
    changes: ["INSERT INTO t (id, last) VALUES (4, 'x')"],
  };

  test('generated columns are not sent', async () => {
    const events = await streamed(generated);
    assert.deepStrictEqual(changesOf(events), [
      { kind: 'insert', table: 't', new: { id: 4, last: 'x' }, identity: { id: 4 } },
    ]);
  });

  test('generated columns are sent when published', { skip: needsMajor(18, 'publish_generated_columns') }, async () => {
    const publication = 'FOR TABLE t WITH (publish_generated_columns = stored)';
    const events = await streamed({ ...generated, publication });
    assert.deepStrictEqual(changesOf(events), [
      { kind: 'insert', table: 't', new: { id: 4, twice: 8, last: 'x' }, identity: { id: 4 } },
    ]);
  });

  test('some kinds of change', async () => {
    const events = await streamed({
      setup: 'CREATE TABLE t (id int PRIMARY KEY)',
      publication: "FOR TABLE t WITH (publish = 'update, truncate')",
      changes: ['INSERT INTO t VALUES (1)', 'UPDATE t SET id = 2', 'DELETE FROM t', 'TRUNCATE t'],
    });
    assert.deepEqual(
      only(events, 'insert', 'update', 'delete', 'truncate').map(({ kind }) => kind),
      ['update', 'truncate'],
    );
  });
});

describe(`PostgreSQL ${PG_MAJOR}: tables`, () => {
  test('are described again after they were altered, also within a transaction', async () => {
    const events = await streamed({
      setup: 'CREATE TABLE t (id int PRIMARY KEY, a int)',
      changes: [
        'INSERT INTO t VALUES (1, 10)',
        'ALTER TABLE t ADD COLUMN b text',
        "INSERT INTO t VALUES (2, 20, 'b')",
        `BEGIN; INSERT INTO t VALUES (3, 30, 'c'); ALTER TABLE t DROP COLUMN a; INSERT INTO t VALUES (4, 'd');
         ALTER TABLE t RENAME b TO "B"; INSERT INTO t VALUES (5, 'e'); COMMIT`,
        'ALTER TABLE t ALTER id TYPE bigint, REPLICA IDENTITY FULL',
        "INSERT INTO t VALUES (6, 'f')",
        'ALTER TABLE t RENAME TO u',
        "INSERT INTO u VALUES (7, 'g')",
        'BEGIN; ALTER TABLE u ADD COLUMN z int; INSERT INTO u VALUES (8, NULL, 1); ROLLBACK',
        "INSERT INTO u VALUES (9, 'h')",
      ],
    });
    assert.deepStrictEqual(
      only(events, 'insert').map((event) => [event.table, event.new]),
      [
        ['t', { id: 1, a: 10 }],
        ['t', { id: 2, a: 20, b: 'b' }],
        ['t', { id: 3, a: 30, b: 'c' }],
        ['t', { id: 4, b: 'd' }],
        ['t', { id: 5, B: 'e' }],
        ['t', { id: 6n, B: 'f' }],
        ['u', { id: 7n, B: 'g' }],
        ['u', { id: 9n, B: 'h' }],
      ],
    );
    for (const [index, event] of events.entries()) {
      if (event.kind !== 'insert') continue;
      const described = events.slice(0, index).findLast((other) => other.kind === 'relation');
      assert.deepStrictEqual(event.relation, described?.relation);
    }
    assert.deepEqual(
      [...new Set(only(events, 'insert').map((event) => event.relation.replicaIdentity))],
      ['default', 'full'],
    );
  });

  test('types that are not built in are named before their first use', async () => {
    const events = await streamed({
      setup: `CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN word AS text; CREATE TYPE pair AS (a int, b text);
        CREATE TABLE t (id int PRIMARY KEY, m mood, w word, p pair, ms mood[])`,
      changes: [`INSERT INTO t VALUES (1, 'ok', 'x y', '(1,"a b")', '{ok,NULL}')`],
    });
    const schema = scenarios.name;
    assert.deepEqual(
      only(events, 'type').map((event) => [event.schema, event.name]),
      [
        [schema, 'mood'],
        // With the OID of a domain comes the name of its base type.
        ['pg_catalog', 'text'],
        [schema, 'pair'],
        [schema, '_mood'],
      ],
    );
    const kinds = events.map((event) => event.kind);
    assert.ok(kinds.lastIndexOf('type') < kinds.indexOf('relation'));
    assert.deepStrictEqual(only(events, 'insert')[0]?.new, {
      id: 1,
      m: 'ok',
      w: 'x y',
      p: { a: 1, b: 'a b' },
      ms: ['ok', null],
    });
  });

  for (const binary of [false, true]) {
    test(`of 1,600 columns, ${binary ? 'binary' : 'text'}`, async () => {
      const names = Array.from({ length: 1_600 }, (_, index) => `column_${index}`);
      const events = await streamed({
        setup: `CREATE TABLE wide (${names.map((name) => `${name} int`).join(', ')}, PRIMARY KEY (column_1599))`,
        changes: [
          `INSERT INTO wide VALUES (${names.map((_, index) => (index % 7 === 2 ? 'NULL' : index * 3)).join(', ')})`,
          'UPDATE wide SET column_0 = -1, column_1599 = -2',
        ],
        options: { binary },
      });
      const row = Object.fromEntries(names.map((name, index) => [name, index % 7 === 2 ? null : index * 3]));
      assert.deepStrictEqual(only(events, 'insert')[0]?.new, row);
      const [update] = only(events, 'update');
      assert.deepStrictEqual(update?.new, { ...row, column_0: -1, column_1599: -2 });
      assert.deepStrictEqual(update?.key, { column_1599: 4_797 });
    });
  }
});

describe(`PostgreSQL ${PG_MAJOR}: a publication that was created after the slot`, () => {
  /** A slot, a change, then the publication of that change, then `later`. */
  async function lateStream(name: string, later: readonly string[]): Promise<WalEvent[]> {
    const client = await connect(server());
    try {
      await client.query(`CREATE TABLE ${name} (id int PRIMARY KEY)`);
      await client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [name]);
      await client.query(`INSERT INTO ${name} VALUES (1)`);
      await client.query(`CREATE PUBLICATION ${name} FOR TABLE ${name}`);
      for (const change of later) await client.query(change);
      const events: WalEvent[] = [];
      const stream = new WalStream({
        connection: server().connectionString(),
        slot: name,
        publications: name,
        stopLsn: await insertLsn(client),
      });
      for await (const event of stream) events.push(event);
      return events;
    } finally {
      await dropSlot(client, name);
      await client.query(`DROP TABLE ${name}; DROP PUBLICATION ${name}`);
      await client.end();
    }
  }

  const explains = (name: string) => (error: unknown) => {
    assert.ok(error instanceof ConfigurationError, String(error));
    assert.equal(error.option, 'publications');
    assert.ok(error.message.includes(name));
    return true;
  };

  test('is an error that says so', async () => {
    await assert.rejects(lateStream('late_publication', []), explains('late_publication'));
  });

  test('is an error also when later changes could be decoded', async () => {
    await assert.rejects(
      lateStream('later_publication', ['INSERT INTO later_publication VALUES (2)']),
      explains('later_publication'),
    );
  });
});
