import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Diagnosis } from '../../../src/cli/doctor/diagnosis.js';
import { FakeWalSender } from '../../../src/testing/index.js';
import { PG_MAJOR, sharedServer, sql, withServer } from '../../support/server.js';
import { type Ended, runToEnd } from '../command-line.js';

function diagnosesOf({ stdout, stderr }: Ended): Map<string, Diagnosis> {
  assert.equal(stderr, '');
  const all = stdout
    .trimEnd()
    .split('\n')
    .map((line): Diagnosis => JSON.parse(line));
  return new Map(all.map((one) => [one.check, one]));
}

function notWell(ended: Ended): string[] {
  return Array.from(diagnosesOf(ended).values())
    .filter(({ status }) => status !== 'ok')
    .map(({ status, check }) => `${status} ${check}`);
}

suite(`doctor, PostgreSQL ${PG_MAJOR}`, () => {
  const server = sharedServer();
  const doctor = (...args: string[]) =>
    runToEnd(['doctor', '--format', 'jsonl', ...args], { DATABASE_URL: server().connectionString() });

  test('a server that has everything but a publication, then that too', async () => {
    const without = await doctor();
    assert.equal(without.code, 0);
    assert.deepEqual(notWell(without), ['warning publication-missing']);

    await sql(server(), 'CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t');
    await sql(server(), `SELECT pg_create_logical_replication_slot('s', 'pgoutput')`);
    const ended = await doctor('--slot', 's', '--publication', 'p');
    assert.equal(ended.code, 0);
    assert.deepEqual(notWell(ended), []);
    const diagnoses = diagnosesOf(ended);
    assert.match(
      diagnoses.get('server')?.message ?? '',
      new RegExp(`^PostgreSQL ${PG_MAJOR}\\.\\d+ at 127\\.0\\.0\\.1:`),
    );
    assert.equal(diagnoses.get('slot')?.message, 'slot s can be streamed from');
    // The doctor's own connections are not in its way.
    assert.equal(diagnoses.get('wal-senders')?.message, '32 of 32 max_wal_senders are free');
    assert.equal(diagnoses.get('replication-slots')?.message, '31 of 32 max_replication_slots are free');
  });

  test('what is missing is a problem with the statement that mends it, which mends it', async () => {
    const ended = await doctor('--slot', 'later', '--publication', 'later');
    assert.equal(ended.code, 1);
    assert.deepEqual(notWell(ended), ['problem publication-missing', 'problem slot-missing']);
    for (const { remedy } of diagnosesOf(ended).values()) if (remedy !== undefined) await sql(server(), remedy);
    const mended = await doctor('--slot', 'later', '--publication', 'later');
    assert.deepEqual([mended.code, notWell(mended)], [0, []]);
  });

  test('a table without a replica identity, of any publication there is', async () => {
    await sql(server(), 'CREATE TABLE keyless (id int); CREATE PUBLICATION k FOR TABLE keyless');
    const ended = await doctor();
    assert.deepEqual([ended.code, notWell(ended)], [0, ['warning replica-identity']]);
    assert.match(diagnosesOf(ended).get('replica-identity')?.remedy ?? '', /"keyless" REPLICA IDENTITY FULL/);
    await sql(server(), 'DROP TABLE keyless');
  });

  test('a role that may not replicate is told so, by an ordinary connection', async () => {
    await sql(server(), 'CREATE ROLE reader LOGIN');
    const url = server().connectionString().replace('//postgres@', '//reader@');
    const ended = await runToEnd(['doctor', '--format', 'jsonl', '-d', url, '--publication', 'p']);
    assert.equal(ended.code, 1);
    assert.deepEqual(notWell(ended), ['problem replication-connection', 'problem privilege']);
    await sql(server(), diagnosesOf(ended).get('privilege')?.remedy ?? '');
    const mended = await runToEnd(['doctor', '--format', 'jsonl', '-d', url, '--publication', 'p']);
    assert.deepEqual([mended.code, notWell(mended)], [0, []]);
  });

  test('for people', async () => {
    const ended = await runToEnd(['doctor', '--publication', 'none'], { DATABASE_URL: server().connectionString() });
    assert.equal(ended.code, 1);
    assert.match(ended.stdout, /^ok {7}wal_level is logical$/m);
    assert.match(ended.stdout, /^problem {2}publication "none" does not exist.*\n {9}CREATE PUBLICATION "none"/m);
    assert.match(ended.stdout, /\n1 problem, 0 warnings\n$/);
  });
});

test('wal_level, and slots that are all taken', async (t) => {
  const server = await withServer(t, {
    settings: { wal_level: 'replica', max_replication_slots: '1', max_wal_senders: '1' },
  });
  await sql(server, `SELECT pg_create_physical_replication_slot('taken')`);
  const ended = await runToEnd(['doctor', '--format', 'jsonl'], { DATABASE_URL: server.connectionString() });
  assert.equal(ended.code, 1);
  assert.deepEqual(notWell(ended), [
    'problem wal-level',
    'warning wal-senders',
    'problem replication-slots',
    'warning publication-missing',
  ]);
});

test('slots that are lost, or keep WAL for nobody', async (t) => {
  const server = await withServer(t, {
    settings: { max_slot_wal_keep_size: '2MB', max_wal_size: '1GB' },
  });
  const doctor = () => runToEnd(['doctor', '--format', 'jsonl'], { DATABASE_URL: server.connectionString() });
  await sql(server, `SELECT pg_create_logical_replication_slot('left', 'pgoutput')`);
  const fill = `SELECT pg_switch_wal(); SELECT pg_logical_emit_message(true, 'x', repeat('x', 1000000));`;
  await sql(server, fill.repeat(4));
  assert.match(diagnosesOf(await doctor()).get('slot-danger')?.message ?? '', /slot left keeps .* next checkpoint/);
  await sql(server, 'CHECKPOINT');
  await sql(server, 'CHECKPOINT');
  const ended = await doctor();
  assert.equal(ended.code, 0);
  const lost = diagnosesOf(ended).get('slot-lost');
  assert.match(lost?.message ?? '', /^slot left is lost \(wal_removed\)/);
  await sql(server, lost?.remedy ?? '');
  assert.equal(diagnosesOf(await doctor()).get('slot-health')?.message, 'there are no slots');
});

test('no server, or none for us: a problem', async (t) => {
  const nobody = await runToEnd(['doctor', '--format', 'jsonl', '-d', 'postgresql://u@127.0.0.1:1/x']);
  assert.deepEqual([nobody.code, notWell(nobody)], [1, ['problem connection']]);
  const server = await withServer(t, { password: 'right' });
  const url = server.connectionString().replace(':right@', ':wrong@');
  const denied = await runToEnd(['doctor', '--format', 'jsonl', '-d', url]);
  assert.deepEqual([denied.code, notWell(denied)], [1, ['problem connection']]);
  assert.match(diagnosesOf(denied).get('connection')?.remedy ?? '', /pg_hba\.conf/);
  assert.doesNotMatch(denied.stdout, /wrong@/);
});

test('a pooler that refuses what it does not know, as PgBouncer does: a problem', async () => {
  const message = 'unsupported startup parameter: IntervalStyle';
  await using pooler = await FakeWalSender.listen({
    faults: [{ kind: 'refuse', times: 9, sqlState: '08P01', message }],
  });
  const ended = await runToEnd(['doctor', '--format', 'jsonl', '-d', pooler.connectionString()]);
  assert.deepEqual([ended.code, notWell(ended)], [1, ['problem connection']]);
  const { message: said, remedy } = diagnosesOf(ended).get('connection') ?? {};
  assert.match(said ?? '', /IntervalStyle: this is a connection pooler/);
  assert.equal(remedy, 'look at connection.host');
});
