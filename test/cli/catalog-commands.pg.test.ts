import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { connect, needsMajor, PG_MAJOR, sharedServer, sql } from '../support/server.js';
import { runToEnd } from './command-line.js';

suite(`slot and publication, PostgreSQL ${PG_MAJOR}`, () => {
  const server = sharedServer();
  const run = (...args: string[]) => runToEnd(args, { DATABASE_URL: server().connectionString() });
  const works = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args);
    assert.deepEqual([code, stderr], [0, '']);
    return stdout;
  };
  const fails = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^pg-walstream: [^\n]+\n$/);
    return stderr;
  };
  const slots = () =>
    sql(
      server(),
      `SELECT slot_name, slot_type, plugin, restart_lsn IS NOT NULL AS keeps FROM pg_replication_slots ORDER BY 1`,
    );

  test('slots are created, listed as the server has them, advanced and dropped', async () => {
    assert.match(
      await works('slot', 'create', 'changes'),
      /^created logical slot changes, from [\dA-F]+\/[\dA-F]+ on\n$/,
    );
    assert.equal(await works('slot', 'create', 'bytes', '--physical'), 'created physical slot bytes\n');
    assert.equal(await works('slot', 'create', 'kept', '--physical', '--reserve-wal'), 'created physical slot kept\n');
    assert.deepEqual(await slots(), [
      { slot_name: 'bytes', slot_type: 'physical', plugin: null, keeps: false },
      { slot_name: 'changes', slot_type: 'logical', plugin: 'pgoutput', keeps: true },
      { slot_name: 'kept', slot_type: 'physical', plugin: null, keeps: true },
    ]);

    const [expected] = await sql(
      server(),
      `SELECT confirmed_flush_lsn AS lsn FROM pg_replication_slots WHERE slot_name = 'changes'`,
    );
    const table = (await works('slot', 'list')).trimEnd().split('\n');
    assert.equal(table.length, 4);
    assert.match(table[0] ?? '', /^NAME +KIND +DATABASE +USED BY +CONFIRMED +WAL KEPT +STATE$/);
    assert.match(table[2] ?? '', new RegExp(`^changes  pgoutput  postgres  - +${expected?.lsn} +\\d.* reserved$`));
    const lines = (await works('slot', 'list', '--format', 'jsonl')).trimEnd().split('\n');
    const listed = lines.map((line) => JSON.parse(line));
    assert.deepEqual(
      listed.map(({ name, slotType, confirmedFlushLsn }) => [name, slotType, confirmedFlushLsn]),
      [
        ['bytes', 'physical', undefined],
        ['changes', 'logical', expected?.lsn],
        ['kept', 'physical', undefined],
      ],
    );

    await sql(server(), `SELECT pg_logical_emit_message(true, 'x', 'x')`);
    const [end] = await sql(server(), 'SELECT pg_current_wal_flush_lsn() AS lsn');
    assert.equal(await works('slot', 'advance', 'changes', String(end?.lsn)), `slot changes is at ${end?.lsn}\n`);
    assert.match(await fails('slot', 'advance', 'changes', '0/1'), /changes/);

    for (const name of ['bytes', 'changes', 'kept'])
      assert.equal(await works('slot', 'drop', name), `dropped slot ${name}\n`);
    assert.deepEqual(await slots(), []);
    assert.match(await fails('slot', 'drop', 'changes'), /slot changes does not exist/);
  });

  test('a slot in use is named with its process, and waited for when that is asked for', async (t) => {
    await works('slot', 'create', 'busy');
    const client = await connect(server());
    t.after(() => client.end());
    // A temporary slot is held by its session for good.
    await client.query(`SELECT pg_create_logical_replication_slot('held', 'pgoutput', true)`);
    const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
    assert.match(await fails('slot', 'drop', 'held'), new RegExp(`\\(PID\\) ${rows[0]?.pid}`));
    assert.match(await works('slot', 'list'), new RegExp(`^held .* PID ${rows[0]?.pid} `, 'm'));
    await works('slot', 'drop', 'busy', '--wait', '5');
  });

  test('two_phase', { skip: needsMajor(15, 'two_phase in the replication protocol') }, async () => {
    await works('slot', 'create', 'prepared', '--two-phase');
    assert.deepEqual(
      await sql(server(), 'SELECT two_phase FROM pg_replication_slots WHERE slot_name = $1', ['prepared']),
      [{ two_phase: true }],
    );
    await works('slot', 'drop', 'prepared');
  });

  test('failover', { skip: needsMajor(17, 'failover slots') }, async () => {
    await works('slot', 'create', 'follows', '--failover');
    assert.deepEqual(
      await sql(server(), 'SELECT failover FROM pg_replication_slots WHERE slot_name = $1', ['follows']),
      [{ failover: true }],
    );
    await works('slot', 'drop', 'follows');
  });

  test('publications are created, listed as the server has them, and dropped', async () => {
    await sql(
      server(),
      'CREATE TABLE a (id int PRIMARY KEY); CREATE SCHEMA "s.t"; CREATE TABLE "s.t".b (id int PRIMARY KEY)',
    );
    assert.equal(
      await works(
        'publication',
        'create',
        'some',
        '--table',
        'public.a',
        '--table',
        '"s.t".b',
        '--publish',
        'insert',
        '--publish',
        'delete',
      ),
      'created publication some\n',
    );
    await works('publication', 'create', 'every', '--all-tables', '--via-root');
    const published = await sql(
      server(),
      'SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = $1 ORDER BY 1',
      ['some'],
    );
    assert.deepEqual(published, [
      { schemaname: 'public', tablename: 'a' },
      { schemaname: 's.t', tablename: 'b' },
    ]);
    const table = (await works('publication', 'list')).trimEnd().split('\n');
    assert.deepEqual(
      table.map((line) => line.split(/ {2,}/)),
      [
        ['NAME', 'OWNER', 'PUBLISHES', 'TABLES'],
        ['every', 'postgres', 'insert, update, delete, truncate', 'all, now public.a, s.t.b'],
        ['some', 'postgres', 'insert, delete', 'public.a, s.t.b'],
      ],
    );
    const [every, some] = (await works('publication', 'list', '--format', 'jsonl'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual([every.name, every.allTables, every.viaRoot], ['every', true, true]);
    assert.deepEqual([some.name, some.publish, some.tables.length], ['some', ['insert', 'delete'], 2]);

    assert.match(await fails('publication', 'create', 'some', '--table', 'public.a'), /exists already/);
    assert.match(await fails('publication', 'create', 'other', '--table', 'public.nothing'), /public\.nothing/);
    for (const name of ['some', 'every']) await works('publication', 'drop', name);
    assert.equal(await works('publication', 'list'), 'NAME  OWNER  PUBLISHES  TABLES\n');
    assert.match(await fails('publication', 'drop', 'some'), /does not exist/);
  });

  test('a schema', { skip: needsMajor(15, 'publication of schemas') }, async () => {
    await works('publication', 'create', 'whole', '--schema', 's.t');
    assert.match(await works('publication', 'list'), /^whole .*s\.t\.b$/m);
    await works('publication', 'drop', 'whole');
  });
});
