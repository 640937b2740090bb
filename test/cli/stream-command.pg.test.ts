import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { Lsn } from '../../src/lsn.js';
import { TcpProxy } from '../stream/tcp-proxy.js';
import { connect, needsMajor, sharedServer } from '../support/server.js';
import { Run, runToEnd } from './command-line.js';

const server = sharedServer({
  password: 'pass word',
  settings: { logical_decoding_work_mem: '64kB', max_prepared_transactions: '5' },
});
let sources = 0;

/** A table, a publication and a slot of one name. */
class Source {
  readonly name = `source_${++sources}`;
  readonly client: pg.Client;

  private constructor(client: pg.Client) {
    this.client = client;
  }

  static async open(t: TestContext): Promise<Source> {
    const source = new Source(await connect(server()));
    t.after(() => source.client.end());
    const { name } = source;
    await source.client.query(`CREATE TABLE ${name} (id int PRIMARY KEY, note text)`);
    await source.client.query(`CREATE PUBLICATION ${name} FOR TABLE ${name}`);
    await source.client.query(`SELECT pg_create_logical_replication_slot('${name}', 'pgoutput')`);
    return source;
  }

  args(...more: string[]): string[] {
    const { name } = this;
    return ['stream', '-d', server().connectionString(), '-S', name, '--publication', name, ...more];
  }

  async insert(from: number, to = from): Promise<void> {
    await this.client.query(`INSERT INTO ${this.name} SELECT g, 'row ' || g FROM generate_series(${from}, ${to}) g`);
  }

  /** Ends the stream's connection. */
  async disconnect(): Promise<void> {
    await this.client.query(
      `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '${this.name}'`,
    );
  }

  async lsn(): Promise<string> {
    const { rows } = await this.client.query('SELECT pg_current_wal_flush_lsn()::text AS lsn');
    return rows[0].lsn;
  }

  /** A slot that is being created has confirmed nothing yet. */
  async slot(): Promise<{ active: boolean; confirmed: bigint } | undefined> {
    const { rows } = await this.client.query(
      `SELECT active, coalesce(confirmed_flush_lsn, '0/0')::text AS confirmed FROM pg_replication_slots WHERE slot_name = '${this.name}'`,
    );
    return rows[0] && { active: rows[0].active, confirmed: Lsn.parse(rows[0].confirmed) };
  }

  async becomesActive(active = true): Promise<void> {
    for (let turn = 0; (await this.slot())?.active !== active; turn++) {
      assert.ok(turn < 1_500, `within 30 s the slot becomes ${active ? 'active' : 'free'}`);
      await sleep(20);
    }
  }
}

function parse(stdout: string): Record<string, unknown>[] {
  assert.ok(stdout === '' || stdout.endsWith('\n'), 'every line is whole');
  return stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

const kinds = (events: readonly Record<string, unknown>[]) => events.map((event) => event.kind).join(' ');

describe('jsonl', () => {
  test('prints every event, acknowledges it, and ends at the stop position', async (t) => {
    const source = await Source.open(t);
    const { name, client } = source;
    await client.query(`BEGIN; INSERT INTO ${name} VALUES (1, 'é "q"'), (2, NULL);
      SELECT pg_logical_emit_message(true, 'inside', 'one'); COMMIT`);
    await client.query(`UPDATE ${name} SET id = 3, note = E'a\\nb' WHERE id = 1`);
    await client.query(`DELETE FROM ${name} WHERE id = 2`);
    await client.query(`SELECT pg_logical_emit_message(false, 'alone', E'\\\\x00ff'::bytea)`);
    await client.query(`TRUNCATE ${name}`);
    const stop = await source.lsn();

    const run = await runToEnd(source.args('--format', 'jsonl', '--stop-lsn', stop));
    assert.equal(run.stderr, '');
    assert.equal(run.code, 0);
    const events = parse(run.stdout);
    const shown = events.map(({ lsn, commitLsn, commitEndLsn, commitTime, xid, columns, id, ...rest }) => rest);
    const at = { schema: 'public', table: name };
    const messages = shown.filter((event) => event.kind === 'message');
    assert.deepEqual(shown[1], { kind: 'relation', ...at, replicaIdentity: 'default' });
    assert.deepEqual(
      shown.filter((event) => event.kind !== 'message' && event.kind !== 'relation'),
      [
        { kind: 'begin' },
        { kind: 'insert', ...at, ordinal: 0, new: { id: 1, note: 'é "q"' } },
        { kind: 'insert', ...at, ordinal: 1, new: { id: 2, note: null } },
        { kind: 'commit' },
        { kind: 'begin' },
        { kind: 'update', ...at, ordinal: 0, new: { id: 3, note: 'a\nb' }, key: { id: 1 } },
        { kind: 'commit' },
        { kind: 'begin' },
        { kind: 'delete', ...at, ordinal: 0, key: { id: 2 } },
        { kind: 'commit' },
        { kind: 'begin' },
        { kind: 'truncate', ordinal: 0, relations: [at], cascade: false, restartIdentity: false },
        { kind: 'commit' },
      ],
    );
    assert.deepEqual(messages, [
      { kind: 'message', transactional: true, prefix: 'inside', content: '\\x6f6e65' },
      { kind: 'message', transactional: false, prefix: 'alone', content: '\\x00ff' },
    ]);
    for (const event of events) {
      if (event.kind !== 'relation') assert.match(String(event.lsn), /^[0-9A-F]+\/[0-9A-F]+$/);
    }
    const last = events.findLast((event) => event.kind === 'commit');
    const confirmed = (await source.slot())?.confirmed ?? 0n;
    assert.ok(confirmed >= Lsn.parse(String(last?.commitEndLsn)), 'what was printed is acknowledged');

    await source.insert(7);
    const again = await runToEnd(source.args('--format', 'jsonl', '--stop-lsn', await source.lsn()));
    assert.equal(kinds(parse(again.stdout)), 'begin relation insert commit');
  });

  test('--max-events: half a transaction comes again, a whole one does not', async (t) => {
    const source = await Source.open(t);
    await source.insert(1, 3);
    await source.insert(4);
    const run = async (count: string) => {
      const { code, stdout, stderr } = await runToEnd(source.args('--format', 'jsonl', '--max-events', count));
      assert.equal(stderr, '');
      assert.equal(code, 0);
      await source.becomesActive(false);
      return kinds(parse(stdout));
    };
    assert.equal(await run('4'), 'begin relation insert insert');
    assert.equal(await run('6'), 'begin relation insert insert insert commit');
    assert.equal(await run('1'), 'begin');
    assert.equal(await run('4'), 'begin relation insert commit');
  });

  test('--start-lsn skips what was committed before it', async (t) => {
    const source = await Source.open(t);
    await source.insert(1);
    const start = await source.lsn();
    await source.insert(2);
    const { stdout } = await runToEnd(
      source.args('--format', 'jsonl', '--start-lsn', start, '--stop-lsn', await source.lsn()),
    );
    const inserts = parse(stdout).filter((event) => event.kind === 'insert');
    assert.deepEqual(
      inserts.map((event) => event.new),
      [{ id: 2, note: 'row 2' }],
    );
  });

  test('--streaming prints a transaction in progress, --two-phase one that is prepared', {
    skip: needsMajor(15, 'two_phase'),
  }, async (t) => {
    const source = await Source.open(t);
    await source.client.query('BEGIN');
    await source.insert(1, 1_000);
    await source.client.query("PREPARE TRANSACTION 'printed'");
    const flags = ['--format', 'jsonl', '--streaming', 'on', '--two-phase', '--proto-version', '3'];
    const printed = async () => {
      const { code, stdout } = await runToEnd(source.args(...flags, '--stop-lsn', await source.lsn()));
      assert.equal(code, 0);
      const events = stdout.split('\n').filter((line) => line !== '');
      return events.map((line) => JSON.parse(line)).filter(({ kind }) => kind !== 'relation');
    };
    const events = await printed();
    assert.equal(events[0].kind, 'streamStart');
    assert.ok(events[1].subxid === events[0].xid && events[1].ordinal === undefined);
    const { kind, gid, prepareEndLsn } = events.at(-1);
    assert.deepEqual([kind, gid], ['streamPrepare', 'printed']);
    assert.ok(Lsn.parse(prepareEndLsn) > 0n);
    // It was acknowledged: only what became of it comes now.
    await source.client.query("COMMIT PREPARED 'printed'");
    assert.deepEqual(
      (await printed()).map((event) => [event.kind, event.gid]),
      [['commitPrepared', 'printed']],
    );
  });

  test('--table shows its changes and their transactions only', async (t) => {
    const source = await Source.open(t);
    const { name, client } = source;
    const other = `${name}.Other"s`;
    const quoted = client.escapeIdentifier(other);
    await client.query(`CREATE TABLE ${quoted} (id int PRIMARY KEY)`);
    await client.query(`ALTER PUBLICATION ${name} ADD TABLE ${quoted}`);
    await source.insert(1);
    await client.query(`BEGIN; INSERT INTO ${name} VALUES (2); INSERT INTO ${quoted} VALUES (1); COMMIT`);
    await client.query(`SELECT pg_logical_emit_message(false, 'alone', 'x')`);
    await client.query(`TRUNCATE ${name}, ${quoted}`);
    await source.insert(3);
    const stop = await source.lsn();
    const { code, stdout } = await runToEnd(
      source.args('--format', 'jsonl', '--table', `public.${quoted}`, '--stop-lsn', stop),
    );
    assert.equal(code, 0);
    const events = parse(stdout);
    assert.equal(kinds(events), 'begin insert commit begin truncate commit');
    assert.equal(events[1]?.table, other);
    assert.ok(((await source.slot())?.confirmed ?? 0n) >= Lsn.parse(stop), 'what is not shown is acknowledged too');
  });
});

test('--table names one that is not published: a warning, and the stream goes on', async (t) => {
  const source = await Source.open(t);
  await source.insert(1);
  const tables = ['--table', `public.${source.name}`, '--table', 'public.nosuch'];
  const { code, stdout, stderr } = await runToEnd(source.args(...tables, '--max-events', '3'));
  assert.equal(code, 0);
  assert.match(stdout, /insert/);
  assert.equal(stderr, 'pg-walstream: warning: --table public.nosuch: no publication of the stream has it now\n');
});

describe('output', () => {
  test('pretty is for people; in a pipe without colours', async (t) => {
    const source = await Source.open(t);
    await source.client.query(`INSERT INTO ${source.name} VALUES (1, E'\\033[31mred')`);
    const { stdout } = await runToEnd(source.args('--stop-lsn', await source.lsn()));
    assert.match(
      stdout,
      new RegExp(
        `^begin xid \\d+ .*\\n.*\\n {2}insert public\\.${source.name}#0 id=1 note="\\\\u001b\\[31mred"\\ncommit`,
      ),
    );
    assert.ok(!stdout.includes('\u001b'));
  });

  test('--rate and --stats write to stderr', async (t) => {
    const source = await Source.open(t);
    await using run = new Run(source.args('--format', 'jsonl', '--rate', '--stats'));
    await source.becomesActive();
    await source.insert(1, 10);
    await run.shows(/ changes\/s .*\/s {2}lag .* main thread \d+ % {2}workers \d+ %\n/);
    run.child.kill('SIGINT');
    const { code, stdout, stderr } = await run.ended;
    assert.equal(code, 0);
    assert.equal(parse(stdout).length, 13);
    assert.match(
      stderr,
      /^10 changes in 1 transactions and messages, .*\n.* changes\/s.*\nconfirmed up to [0-9A-F]+\/[0-9A-F]+\n$/m,
    );
  });

  const noScript = spawnSync('script', ['-qec', 'true', '/dev/null']).status !== 0;
  test('on a terminal events and notes take the place of the rates', {
    skip: noScript && 'there is no script(1)',
  }, async (t) => {
    const source = await Source.open(t);
    await using run = new Run(source.args('--rate', '--max-events', '6'), { TERM: 'xterm' }, { onTerminal: true });
    await run.shows(/changes\/s/);
    await source.insert(1);
    await run.shows(/commit/);
    await run.shows(/commit.*changes\/s/s);
    await source.disconnect();
    await run.shows(/connected again/);
    await source.insert(2);
    const { stdout } = await run.ended;
    // A line of rates is followed by another in its place, or by its removal.
    const after = Array.from(stdout.matchAll(/workers \d+ %(.{4})/gs), ([, next]) => next);
    assert.ok(after.length >= 2, stdout);
    for (const next of after) assert.equal(next, '\r\u001b[2', stdout);
  });

  test('a reader that goes away ends it cleanly, as in | head', async (t) => {
    const source = await Source.open(t);
    await source.insert(1, 50_000);
    await using run = new Run(source.args('--format', 'jsonl'), {}, { readStdout: false });
    await new Promise((resolve) => run.child.stdout.once('readable', resolve));
    run.child.stdout.destroy();
    const { code, stderr } = await run.ended;
    assert.equal(stderr, '');
    assert.equal(code, 0);
    await source.becomesActive(false);
  });

  test('a reader that does not read holds it back: nothing gathers, nothing unread is acknowledged', async (t) => {
    const source = await Source.open(t);
    for (let from = 1; from <= 200_000; from += 2_000) await source.insert(from, from + 1_999);
    const stop = await source.lsn();
    await using run = new Run(source.args('--format', 'jsonl', '--stop-lsn', stop), {}, { readStdout: false });
    await source.becomesActive();
    await sleep(2_000);
    assert.equal(run.child.exitCode, null);
    assert.ok(((await source.slot())?.confirmed ?? 0n) < Lsn.parse(stop));
    if (process.platform === 'linux') {
      const rssKb = Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${run.pid}/status`, 'utf8'))?.[1]);
      assert.ok(rssKb < 300_000, `RSS is ${rssKb} kB`);
    }
    let lines = 0;
    run.child.stdout.on('data', (chunk: Buffer) => {
      for (const byte of chunk) if (byte === 10) lines++;
    });
    const { code, stderr } = await run.ended;
    assert.equal(stderr, '');
    assert.equal(code, 0);
    assert.equal(lines, 200_000 + 100 * 2 + 1);
    await source.becomesActive(false);
    assert.ok(((await source.slot())?.confirmed ?? 0n) >= Lsn.parse(stop));
  });
});

describe('slots', () => {
  test('--create-slot makes a slot that stays', async (t) => {
    const source = await Source.open(t);
    await source.client.query(`SELECT pg_drop_replication_slot('${source.name}')`);
    await using run = new Run(source.args('--format', 'jsonl', '--create-slot', '--max-events', '4'));
    await source.becomesActive();
    await source.insert(1);
    const { code, stdout } = await run.ended;
    assert.equal(code, 0);
    assert.equal(kinds(parse(stdout)), 'begin relation insert commit');
    await source.becomesActive(false);
    assert.ok((await source.slot()) !== undefined);
  });

  test('--temporary makes one that goes', async (t) => {
    const source = await Source.open(t);
    await source.client.query(`SELECT pg_drop_replication_slot('${source.name}')`);
    await using run = new Run(source.args('--format', 'jsonl', '--temporary'));
    await source.becomesActive();
    await source.insert(1);
    await run.shows(/"commit"/);
    run.child.kill('SIGTERM');
    assert.equal((await run.ended).code, 0);
    for (let turn = 0; (await source.slot()) !== undefined; turn++) {
      assert.ok(turn < 500, 'the slot is gone');
      await sleep(20);
    }
  });
});

describe('signals', () => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    test(`${signal} ends a stream after what it prints, exit code 0`, async (t) => {
      const source = await Source.open(t);
      await using run = new Run(source.args('--format', 'jsonl'), {
        DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/x',
      });
      await source.becomesActive();
      await source.insert(1, 1_000);
      await run.shows(/"insert"/);
      run.child.kill(signal);
      const { code, stdout, stderr } = await run.ended;
      assert.equal(stderr, '');
      assert.equal(code, 0);
      const events = parse(stdout);
      assert.equal(events.at(-1)?.kind, 'commit');
      assert.equal(events.filter((event) => event.kind === 'insert').length, 1_000);
      await source.becomesActive(false);
      assert.ok(((await source.slot())?.confirmed ?? 0n) >= Lsn.parse(String(events.at(-1)?.commitEndLsn)));
    });
  }

  test('a second one does not wait for a reader that does not read', async (t) => {
    const source = await Source.open(t);
    await source.insert(1, 100_000);
    await using run = new Run(source.args('--format', 'jsonl'), {}, { readStdout: false });
    await once(run.child.stdout, 'readable');
    await sleep(500);
    run.child.kill('SIGINT');
    await sleep(500);
    assert.equal(run.child.exitCode, null);
    // Two that a busy process sees right after one another count as one, so a person would press again.
    const pressing = setInterval(() => run.child.kill('SIGINT'), 500);
    t.after(() => clearInterval(pressing));
    const exited = new Promise((resolve) => run.child.once('exit', resolve));
    assert.equal(await exited, 0);
    assert.equal(run.stderr, '');
  });

  test('Ctrl+C while the server is away', async (t) => {
    const source = await Source.open(t);
    const proxy = await TcpProxy.open(t, server().port);
    const args = source.args('--format', 'jsonl');
    args[args.indexOf('-d') + 1] = server().connectionString().replace(String(server().port), String(proxy.port));
    await using run = new Run(args);
    await source.becomesActive();
    await source.insert(1);
    await run.shows(/"commit"/);
    proxy.cut();
    await sleep(1_500);
    assert.equal(run.child.exitCode, null);
    const toldAt = performance.now();
    run.child.kill('SIGINT');
    const { code, stderr } = await run.ended;
    assert.match(stderr, /attempt 2 to go on in/);
    assert.equal(code, 0);
    assert.ok(performance.now() - toldAt < 30_000);
  });

  test('Ctrl+C in the middle of a million rows', async (t) => {
    const source = await Source.open(t);
    await source.insert(1, 1_000_000);
    await using run = new Run(source.args('--format', 'jsonl'));
    await source.becomesActive();
    await run.shows(/"insert"/);
    const toldAt = performance.now();
    run.child.kill('SIGINT');
    const { code, stderr } = await run.ended;
    assert.equal(stderr, '');
    assert.equal(code, 0);
    t.diagnostic(`${Math.round(performance.now() - toldAt)} ms`);
    assert.ok(performance.now() - toldAt < 30_000);
  });

  test('Ctrl+C while it still waits for its slot', async (t) => {
    const source = await Source.open(t);
    await source.client.query(`SELECT pg_drop_replication_slot('${source.name}')`);
    await source.client.query(`BEGIN; INSERT INTO ${source.name} VALUES (1)`);
    await using run = new Run(source.args('--create-slot'));
    for (let turn = 0; (await source.slot()) === undefined; turn++) {
      assert.ok(turn < 500, 'the slot is being created');
      await sleep(20);
    }
    run.child.kill('SIGINT');
    const { code, stderr } = await run.ended;
    assert.equal(stderr, '');
    assert.equal(code, 0);
    await source.client.query('ROLLBACK');
  });
});

describe('failures: one line on stderr, exit code 1', () => {
  async function fails(args: readonly string[], line: RegExp, env?: NodeJS.ProcessEnv): Promise<void> {
    const { code, stdout, stderr } = await runToEnd(args, env);
    assert.match(stderr, line);
    assert.match(stderr, /^pg-walstream: [^\n]+\n$/);
    assert.doesNotMatch(stderr, /wr0ng|pass word|pass%20word|\.js:/);
    assert.equal(stdout, '');
    assert.equal(code, 1);
  }

  test('a missing slot', async (t) => {
    const source = await Source.open(t);
    await fails([...source.args(), '-S', 'nowhere'], /slot nowhere does not exist; --create-slot creates it/);
  });

  test('a slot that is in use', async (t) => {
    const source = await Source.open(t);
    await using run = new Run(source.args());
    await source.becomesActive();
    await fails(source.args(), /slot source_\d+ .*(in use|active)/);
    run.child.kill('SIGINT');
    assert.equal((await run.ended).code, 0);
  });

  test('a missing publication, with the statement that creates it', async (t) => {
    const source = await Source.open(t);
    await fails(
      [...source.args(), '--publication', 'my pub'],
      /publication "my pub" does not exist.*CREATE PUBLICATION "my pub"/,
    );
  });

  test('a wrong password', async (t) => {
    const source = await Source.open(t);
    const url = server().connectionString().replace('pass%20word', 'wr0ng');
    await fails([...source.args(), '-d', url], /password authentication failed/);
  });

  test('a server that is not there, named by DATABASE_URL', async () => {
    await fails(['stream', '-S', 's', '--publication', 'p'], /cannot connect to 127\.0\.0\.1:1/, {
      DATABASE_URL: 'postgresql://u:wr0ng@127.0.0.1:1/db',
    });
  });

  test('a recording that is there already', async (t) => {
    const source = await Source.open(t);
    // Any file will do: it is not overwritten.
    await fails(source.args('--record', process.execPath), /^pg-walstream: --record: .* exists already/);
  });

  test('a database that is not there', async (t) => {
    const source = await Source.open(t);
    await fails([...source.args(), '-d', server().connectionString('nowhere')], /database "nowhere" does not exist/);
  });
});

test('a connection that is lost: it says so, goes on, and ends with a signal', async (t) => {
  const source = await Source.open(t);
  await using run = new Run([...source.args(), '--format', 'jsonl']);
  await source.becomesActive();
  await source.insert(1);
  await run.shows(/"commit"/);
  await source.disconnect();
  await run.shows(/connected again/);
  await source.insert(2);
  await run.shows(/"id":2/);
  run.child.kill('SIGINT');
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 0);
  assert.match(
    stderr,
    /^pg-walstream: terminating connection due to administrator command; attempt 1 to go on in \d\.\d s\npg-walstream: (?:.*\n)*.*connected again, going on at [0-9A-F]+\/[0-9A-F]+\n$/,
  );
  const inserts = stdout.split('\n').filter((line) => line.includes('"insert"'));
  assert.equal(inserts.length, 2);
});
