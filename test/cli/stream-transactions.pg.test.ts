import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lsn } from '../../src/index.js';
import { Source } from '../stream/source.js';
import { needsMajor, PG_MAJOR, sharedServer } from '../support/server.js';
import { Run, runToEnd } from './command-line.js';

const MIB = 1024 * 1024;
/** Beyond what transactions() keeps in memory. */
const ROWS = 45_000;
const NOTE_BYTES = 1_000;

const server = sharedServer({ settings: { max_prepared_transactions: '4' } });

function argsOf({ name }: Source, ...more: string[]): string[] {
  const publication = ['--publication', name];
  return ['stream', '-d', server().connectionString(), '-S', name, ...publication, '--transactions', ...more];
}

function linesOf(stdout: string): string[] {
  assert.ok(stdout === '' || stdout.endsWith('\n'), 'every line is whole');
  return stdout.split('\n').slice(0, -1);
}

async function stopLsn(source: Source): Promise<string> {
  return Lsn.format(await source.lsn());
}

/** Transactions of changes of every kind, and a message between them. */
async function write({ client, name }: Source): Promise<void> {
  await client.query(
    `BEGIN; INSERT INTO ${name} VALUES (1, 'é "q"'), (2, NULL); SELECT pg_logical_emit_message(true, 'inside', 'x');
     SAVEPOINT s; INSERT INTO ${name} VALUES (9); ROLLBACK TO s; UPDATE ${name} SET id = 3 WHERE id = 1; COMMIT`,
  );
  await client.query(`SELECT pg_logical_emit_message(false, 'alone', '')`);
  await client.query(`BEGIN; DELETE FROM ${name} WHERE id = 2; TRUNCATE ${name}; COMMIT`);
  await client.query(`INSERT INTO ${name} VALUES (4, 'last')`);
}

describe(`stream --transactions, PostgreSQL ${PG_MAJOR}`, () => {
  test('jsonl: a line for each, as the library says it; acknowledged', async (t) => {
    const source = await Source.open(t, server());
    await write(source);
    const end = await stopLsn(source);
    const slot = `${source.name}_copy`;
    await source.query(`SELECT pg_copy_logical_replication_slot('${source.name}', '${slot}')`);
    const expected: unknown[] = [];
    for await (const item of source.stream({ slot, messages: true, stopLsn: Lsn.parse(end) }).transactions()) {
      expected.push(JSON.parse(JSON.stringify(item)));
    }
    const { code, stdout, stderr } = await runToEnd(argsOf(source, '--format', 'jsonl', '--stop-lsn', end));
    assert.deepEqual([code, stderr], [0, '']);
    const items = linesOf(stdout).map((line) => JSON.parse(line));
    assert.deepEqual([...items], expected);
    assert.deepEqual(
      items.map(({ kind }) => kind),
      ['transaction', 'message', 'transaction', 'transaction'],
    );
    const changes = items[0].changes as { kind: string; ordinal?: number }[];
    assert.deepEqual(
      changes.map(({ kind, ordinal }) => [kind, ordinal]),
      [
        ['insert', 0],
        ['insert', 1],
        ['message', undefined],
        ['update', 2],
      ],
    );
    assert.ok((await source.confirmed()) >= Lsn.parse(items[3].commitEndLsn));
  });

  test('pretty: its changes between two lines', async (t) => {
    const source = await Source.open(t, server());
    await source.query(`SELECT pg_replication_origin_create('far away')`);
    await source.query(`SELECT pg_replication_origin_session_setup('far away')`);
    await write(source);
    const { code, stdout } = await runToEnd(argsOf(source, '--stop-lsn', await stopLsn(source)));
    assert.equal(code, 0);
    const { name } = source;
    const lines = linesOf(stdout).map((line) => line.replace(/xid \d+/, 'xid').replace(/xid {2}2.*Z$/, 'xid'));
    const origin = '  origin "far away" 0/0';
    // PostgreSQL 14 sends transactions of which nothing is published.
    const shown = PG_MAJOR === 14 ? lines.slice(lines.findIndex((line) => line.startsWith('  insert')) - 2) : lines;
    assert.deepEqual(
      shown.map((line) => line.replace(/up to .*/, 'up to')),
      [
        'transaction xid',
        origin,
        `  insert public.${name}#0 id=1 note="é \\"q\\""`,
        `  insert public.${name}#1 id=2 note=null`,
        '  message inside "x"',
        `  update public.${name}#2 id=1 → id=3 note="é \\"q\\""`,
        'commit xid  up to',
        'message alone ""',
        'transaction xid',
        origin,
        `  delete public.${name}#0 id=2`,
        `  truncate public.${name}#1`,
        'commit xid  up to',
        'transaction xid',
        origin,
        `  insert public.${name}#0 id=4 note="last"`,
        'commit xid  up to',
      ],
    );
  });

  test('--table and --max-events: transactions that have the table, and so many of them, whole', async (t) => {
    const source = await Source.open(t, server());
    const { name } = source;
    await source.query(`CREATE TABLE ${name}_b (id int PRIMARY KEY); ALTER PUBLICATION ${name} ADD TABLE ${name}_b`);
    await source.client.query(
      `BEGIN; INSERT INTO ${name} VALUES (1); INSERT INTO ${name}_b VALUES (1); INSERT INTO ${name}_b VALUES (2); COMMIT`,
    );
    await source.insert(2);
    await source.query(`SELECT pg_logical_emit_message(false, 'alone', '')`);
    await source.query(`BEGIN; TRUNCATE ${name}, ${name}_b; COMMIT`);
    await source.query(`INSERT INTO ${name}_b VALUES (3)`);
    const flags = ['--format', 'jsonl', '--table', `public.${name}_b`, '--max-events', '2'];
    const { code, stdout } = await runToEnd(argsOf(source, ...flags));
    assert.equal(code, 0);
    const items = linesOf(stdout).map((line) => JSON.parse(line));
    assert.deepEqual(
      items.map(({ changes }) => changes.map((change: Record<string, unknown>) => [change.kind, change.ordinal])),
      [
        [
          ['insert', 1],
          ['insert', 2],
        ],
        [['truncate', 0]],
      ],
    );
    assert.equal(await source.confirmed(), Lsn.parse(items[1].commitEndLsn));
  });

  for (const streaming of [[], ['--streaming', 'on']]) {
    test(`a large one goes from disk to a slow reader without being held ${streaming.join(' ')}`, async (t) => {
      const source = await Source.open(t, server());
      await source.insert(1, ROWS, NOTE_BYTES);
      await source.insert(ROWS + 1);
      const end = await stopLsn(source);
      const before = await source.confirmed();
      await using run = new Run(
        argsOf(source, '--format', 'jsonl', '--stop-lsn', end, ...streaming),
        {},
        {
          readStdout: false,
        },
      );
      // Nobody reads: some of the line is in the pipe, the rest waits where it is.
      await sleep(3_000);
      const rss = await residentBytes(run.pid);
      assert.ok(rss === undefined || rss < 350 * MIB, `${rss} bytes`);
      assert.equal(await source.confirmed(), before);
      run.readStdout();
      const { code, stdout, stderr } = await run.ended;
      assert.deepEqual([code, stderr], [0, '']);
      const items = linesOf(stdout).map((line) => JSON.parse(line));
      assert.deepEqual(
        items.map(({ changes }) => changes.length),
        [ROWS, 1],
      );
      for (const [at, change] of items[0].changes.entries()) {
        assert.ok(change.ordinal === at && change.new.id === at + 1 && change.new.note.length === NOTE_BYTES);
      }
      assert.ok((await source.confirmed()) >= Lsn.parse(items[1].commitEndLsn));
    });
  }

  test('a signal waits for the line that is being written', async (t) => {
    const source = await Source.open(t, server());
    await source.insert(1, ROWS, NOTE_BYTES);
    await source.insert(ROWS + 1);
    await using run = new Run(argsOf(source, '--format', 'jsonl'), {}, { readStdout: false });
    await sleep(3_000);
    run.child.kill('SIGINT');
    await sleep(200);
    run.readStdout();
    const { code, stdout, stderr } = await run.ended;
    assert.deepEqual([code, stderr], [0, '']);
    const [line, ...others] = linesOf(stdout);
    assert.equal(others.length, 0);
    const transaction = JSON.parse(line ?? '');
    assert.equal(transaction.changes.length, ROWS);
    assert.equal(await source.confirmed(), Lsn.parse(transaction.commitEndLsn));
  });

  test('a reader that goes away in the middle of a line: it comes again', async (t) => {
    const source = await Source.open(t, server());
    const before = await source.confirmed();
    await source.insert(1, ROWS, NOTE_BYTES);
    await using run = new Run(argsOf(source, '--format', 'jsonl'), {}, { readStdout: false });
    await new Promise<void>((resolve) => run.child.stdout.once('data', () => resolve()));
    run.child.stdout.destroy();
    const { code } = await run.ended;
    assert.equal(code, 0);
    assert.ok((await source.confirmed()) <= before);
    await source.free();
    const { stdout } = await runToEnd(argsOf(source, '--format', 'jsonl', '--stop-lsn', await stopLsn(source)));
    assert.equal(JSON.parse(linesOf(stdout)[0] ?? '').changes.length, ROWS);
  });

  test('prepared ones, and what became of them', { skip: needsMajor(15, 'two_phase') }, async (t) => {
    const source = await Source.open(t, server());
    const { name, client } = source;
    const run = new Run(argsOf(source, '--two-phase', '--format', 'jsonl', '--max-events', '4'));
    t.after(() => run[Symbol.asyncDispose]());
    while ((await source.activePid()) === null) await sleep(20);
    await client.query(`BEGIN; INSERT INTO ${name} VALUES (1); PREPARE TRANSACTION 'one "q"'`);
    await client.query(`BEGIN; INSERT INTO ${name} VALUES (2); PREPARE TRANSACTION 'two'`);
    await client.query(`COMMIT PREPARED 'one "q"'`);
    await client.query(`ROLLBACK PREPARED 'two'`);
    const { code, stdout } = await run.ended;
    assert.equal(code, 0);
    const items = linesOf(stdout).map((line) => JSON.parse(line));
    assert.deepEqual(
      items.map(({ kind, gid, changes }) => [kind, gid, changes?.length]),
      [
        ['prepared', 'one "q"', 1],
        ['prepared', 'two', 1],
        ['commitPrepared', 'one "q"', undefined],
        ['rollbackPrepared', 'two', undefined],
      ],
    );
  });
});

/** Linux only, elsewhere it is not known. */
async function residentBytes(pid: number): Promise<number | undefined> {
  if (process.platform !== 'linux') return undefined;
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}
