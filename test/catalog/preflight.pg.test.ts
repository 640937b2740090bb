import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createSlot, dropSlot, firstError, type PreflightRequest, preflight } from '../../src/catalog/index.js';
import { AuthenticationError } from '../../src/errors.js';
import { resolvePgoutputOptions } from '../../src/protocol/commands.js';
import { needsMajor, sharedServer, sql } from '../support/server.js';
import { openSession } from './session.js';

function request(slot: string, publication: string): PreflightRequest {
  return {
    slot: { name: slot, create: 'never', temporary: false, failover: false, twoPhase: false },
    pgoutput: resolvePgoutputOptions({ publications: [publication] }),
    feedbackIntervalMs: 10_000,
  };
}

describe('preflight on a server that is ready', () => {
  const server = sharedServer();

  test('finds what is missing, and its remedies mend it', async (t) => {
    const session = await openSession(t, server().connectionString());
    await sql(server(), 'CREATE TABLE orders (id int PRIMARY KEY)');
    const wanted = request('mended', `the "publication" of 'all'; --`);
    const findings = await preflight(session, wanted);
    assert.deepEqual(
      findings.map(({ check }) => check),
      ['publication-missing', 'slot-missing'],
    );
    for (const { remedy } of findings) await sql(server(), remedy ?? '');
    assert.deepEqual(await preflight(session, wanted), []);
    await dropSlot(session, 'mended');
  });

  test('names the tables whose UPDATE the server would refuse', async (t) => {
    const session = await openSession(t, server().connectionString());
    await sql(
      server(),
      `CREATE SCHEMA audit;
      CREATE TABLE audit.with_key (id int PRIMARY KEY);
      CREATE TABLE audit.without_key (id int);
      CREATE TABLE audit.deferred_key (id int PRIMARY KEY DEFERRABLE);
      CREATE TABLE audit.full_row (id int); ALTER TABLE audit.full_row REPLICA IDENTITY FULL;
      CREATE TABLE audit."None" (id int PRIMARY KEY); ALTER TABLE audit."None" REPLICA IDENTITY NOTHING;
      CREATE TABLE audit.by_index (id int NOT NULL); CREATE UNIQUE INDEX by_index_key ON audit.by_index (id);
      ALTER TABLE audit.by_index REPLICA IDENTITY USING INDEX by_index_key;
      CREATE TABLE audit.lost_index (id int NOT NULL); CREATE UNIQUE INDEX lost_index_key ON audit.lost_index (id);
      ALTER TABLE audit.lost_index REPLICA IDENTITY USING INDEX lost_index_key; DROP INDEX audit.lost_index_key;
      CREATE TABLE audit.parted (id int, part int) PARTITION BY LIST (part);
      CREATE TABLE audit.part_1 PARTITION OF audit.parted FOR VALUES IN (1);
      CREATE TABLE audit.part_2 PARTITION OF audit.parted FOR VALUES IN (2);
      ALTER TABLE audit.part_2 REPLICA IDENTITY FULL;
      CREATE PUBLICATION audited FOR TABLE audit.with_key, audit.without_key, audit.deferred_key, audit.full_row,
        audit."None", audit.by_index, audit.lost_index, audit.parted WITH (publish_via_partition_root = true);
      CREATE PUBLICATION inserted FOR TABLE audit.without_key WITH (publish = 'insert')`,
    );
    await createSlot(session, { kind: 'logical', name: 'audit' });
    assert.deepEqual(await preflight(session, request('audit', 'inserted')), []);

    const findings = await preflight(session, request('audit', 'audited'));
    const tables = ['"None"', '"deferred_key"', '"lost_index"', '"part_1"', '"without_key"'];
    assert.deepEqual(
      findings.map(({ check, severity, remedy }) => [check, severity, remedy]),
      tables.map((table) => ['replica-identity', 'warning', `ALTER TABLE "audit".${table} REPLICA IDENTITY FULL`]),
    );
    // It is what the server says, too.
    await sql(
      server(),
      `INSERT INTO audit.without_key VALUES (1); INSERT INTO audit.deferred_key VALUES (1); INSERT INTO audit.lost_index VALUES (1);
       INSERT INTO audit."None" VALUES (1); INSERT INTO audit.parted VALUES (1, 1), (2, 2)`,
    );
    for (const table of tables) {
      await assert.rejects(sql(server(), `UPDATE audit.${table} SET id = 5`), /does not have a replica identity/);
    }
    for (const { remedy } of findings) await sql(server(), remedy ?? '');
    for (const table of tables) await sql(server(), `UPDATE audit.${table} SET id = 5`);
    assert.deepEqual(await preflight(session, request('audit', 'audited')), []);
    await dropSlot(session, 'audit');
  });

  test('more tables than can be named are counted', async (t) => {
    const session = await openSession(t, server().connectionString());
    await sql(
      server(),
      `CREATE SCHEMA many;
      DO $$ BEGIN FOR n IN 1..25 LOOP EXECUTE format('CREATE TABLE many.t%s (id int)', n); END LOOP; END $$;
      DO $$ BEGIN EXECUTE (SELECT 'CREATE PUBLICATION many FOR TABLE ' || string_agg('many.' || relname, ', ')
        FROM pg_class WHERE relnamespace = 'many'::regnamespace AND relkind = 'r'); END $$`,
    );
    await createSlot(session, { kind: 'logical', name: 'many' });
    const findings = await preflight(session, request('many', 'many'));
    assert.equal(findings.length, 21);
    assert.match(findings.at(-1)?.message ?? '', /^5 more/);
    await dropSlot(session, 'many');
  });

  test('an empty publication, and a slot that cannot be used', async (t) => {
    const session = await openSession(t, server().connectionString());
    const holder = await openSession(t, server().connectionString());
    await sql(server(), 'CREATE PUBLICATION empty');
    await sql(server(), 'CREATE DATABASE elsewhere');
    await createSlot(holder, { kind: 'logical', name: 'held', temporary: true });
    await createSlot(session, { kind: 'physical', name: 'physical' });
    const elsewhere = await openSession(t, server().connectionString('elsewhere'));
    await createSlot(elsewhere, { kind: 'logical', name: 'of_elsewhere' });

    const held = await preflight(session, request('held', 'empty'));
    assert.deepEqual(
      held.map(({ check }) => check),
      ['slot-in-use', 'publication-empty'],
    );
    assert.ok(held[0]?.remedy?.includes(String(holder.processId)));
    const check = async (slot: string) => (await preflight(session, request(slot, 'empty')))[0]?.check;
    assert.equal(await check('physical'), 'slot-type');
    assert.equal(await check('of_elsewhere'), 'slot-database');
    for (const slot of ['physical', 'of_elsewhere']) await dropSlot(session, slot);
  });

  test('a two_phase slot sends Prepare even to a stream of protocol 1', {
    skip: needsMajor(15, 'two_phase'),
  }, async (t) => {
    const session = await openSession(t, server().connectionString());
    await sql(server(), 'CREATE TABLE prepared (id int PRIMARY KEY); CREATE PUBLICATION prepared FOR TABLE prepared');
    await createSlot(session, { kind: 'logical', name: 'preparing', twoPhase: true });
    await sql(server(), `BEGIN; INSERT INTO prepared VALUES (1); PREPARE TRANSACTION 'one'`);
    const rows = await sql(
      server(),
      `SELECT chr(get_byte(data, 0)) AS kind FROM pg_logical_slot_peek_binary_changes('preparing', NULL, NULL,
        'proto_version', '1', 'publication_names', 'prepared')`,
    );
    assert.deepEqual(
      rows.map(({ kind }) => kind),
      ['b', 'R', 'I', 'P'],
    );
    const [one] = await preflight(session, request('preparing', 'prepared'));
    assert.deepEqual([one?.check, one?.severity], ['slot-two-phase', 'error']);
    await sql(server(), `ROLLBACK PREPARED 'one'`);
    await dropSlot(session, 'preparing');
  });

  test('a role without the privilege, on a connection that is not for replication', async (t) => {
    await sql(server(), 'CREATE ROLE "no ""one" LOGIN');
    const url = new URL(server().connectionString());
    url.username = encodeURIComponent('no "one');
    const session = await openSession(t, url.href, { mode: 'sql' });
    const findings = await preflight(session, {});
    assert.deepEqual(
      findings.map(({ check, remedy }) => [check, remedy]),
      [
        ['pooler', undefined],
        ['privilege', 'ALTER ROLE "no ""one" REPLICATION'],
      ],
    );
    assert.ok(findings[1]?.error() instanceof AuthenticationError);
    await sql(server(), findings[1]?.remedy ?? '');
    const streaming = await openSession(t, url.href);
    assert.deepEqual(await preflight(streaming, {}), []);
  });
});

describe('preflight on a server that is not ready', () => {
  const server = sharedServer({
    settings: { wal_level: 'replica', max_wal_senders: '1', max_replication_slots: '1', wal_sender_timeout: '15s' },
  });

  test('finds wal_level, what is used up, and a timeout that is too short', async (t) => {
    const session = await openSession(t, server().connectionString());
    await createSlot(session, { kind: 'physical', name: 'only' });
    await sql(server(), 'CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR ALL TABLES');
    const { slot, ...rest } = request('new', 'p');
    assert.ok(slot !== undefined);
    const findings = await preflight(session, { ...rest, slot: { ...slot, create: 'if-missing' } });
    assert.deepEqual(
      findings.map(({ check, severity }) => [check, severity]),
      [
        ['wal-level', 'error'],
        ['replication-slots', 'error'],
        ['wal-senders', 'warning'],
        ['wal-sender-timeout', 'warning'],
      ],
    );
    assert.match(firstError(findings)?.message ?? '', /wal_level is replica/);
    for (const { remedy } of findings) if (remedy !== undefined) await sql(server(), remedy);
  });
});
