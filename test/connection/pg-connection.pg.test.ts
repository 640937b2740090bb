import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { resolveConnectionConfig } from '../../src/connection/connection-config.js';
import { FrontendMessage } from '../../src/connection/frontend-message.js';
import { PgConnection } from '../../src/connection/pg-connection.js';
import { MAX_RESULT_ROWS } from '../../src/connection/query-result.js';
import type { ServerNotice } from '../../src/connection/server-error.js';
import type { ConnectionMode } from '../../src/connection/session-start.js';
import {
  AuthenticationError,
  ConfigurationError,
  ConnectionError,
  ProtocolError,
  ServerError,
  TimeoutError,
} from '../../src/errors.js';
import { PG_MAJOR, sharedServer, sql, withServer } from '../support/server.js';

function connect(
  server: EmbeddedServer,
  mode: ConnectionMode = 'sql',
  options: { user?: string; onNotice?: (notice: ServerNotice) => void } = {},
): Promise<PgConnection> {
  const url = new URL(server.connectionString());
  if (options.user !== undefined) url.username = options.user;
  const { onNotice } = options;
  return PgConnection.connect(resolveConnectionConfig(url, {}), { mode, ...(onNotice && { onNotice }) });
}

suite('a session with a real server', () => {
  const server = sharedServer();

  test('results are text, one for each statement; settings are fixed', async () => {
    await using connection = await connect(server());
    assert.equal(Math.floor(connection.serverVersion / 10_000), PG_MAJOR);
    assert.equal(connection.parameters.get('client_encoding'), 'UTF8');
    const results = await connection.query(`
      select 1 as a, null as b, '' as c;
      select pg_backend_pid();
      ;
      create temporary table t (i int);
      insert into t values (1), (2);
      select timestamptz '2020-01-01 00:00+00', interval '1 day', 1.1::float8, '\\x00ff'::bytea, 1::money
    `);
    assert.deepEqual(results[0], { columns: ['a', 'b', 'c'], rows: [['1', null, '']], command: 'SELECT 1' });
    assert.equal(results[1]?.rows[0]?.[0], String(connection.processId));
    assert.deepEqual(
      results.map(({ command }) => command),
      ['SELECT 1', 'SELECT 1', 'CREATE TABLE', 'INSERT 0 2', 'SELECT 1'],
    );
    assert.deepEqual(results[4]?.rows, [['2020-01-01 00:00:00+00', '1 day', '1.1', '\\x00ff', '$1.00']]);
    assert.deepEqual(await connection.query(''), [{ columns: [], rows: [], command: '' }]);
  });

  test('settings of the role do not change what values look like', async () => {
    await sql(
      server(),
      `create role styled login;
       alter role styled set datestyle = 'German'; alter role styled set timezone = 'Asia/Tokyo';
       alter role styled set intervalstyle = 'iso_8601'; alter role styled set bytea_output = 'escape';
       alter role styled set extra_float_digits = 0; alter role styled set client_min_messages = 'error';`,
    );
    await using connection = await connect(server(), 'sql', { user: 'styled' });
    const [result] = await connection.query(
      `select timestamptz '2020-01-01 00:00+00', interval '1 day', 0.1::float8 + 0.2, '\\x00ff'::bytea,
              current_setting('client_min_messages')`,
    );
    assert.deepEqual(result?.rows, [['2020-01-01 00:00:00+00', '1 day', '0.30000000000000004', '\\x00ff', 'notice']]);
  });

  test('queries wait for one another, and an error concerns its own only', async () => {
    await using connection = await connect(server());
    const outcomes = await Promise.allSettled([
      connection.query('select 1'),
      connection.query('select 1/0'),
      connection.query('select 2; select nonsense; select 3'),
      connection.query('select 4'),
    ]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
    );
    await assert.rejects(connection.query('select \0'), ConfigurationError);
  });

  test('errors by SQLSTATE, without row values', async () => {
    await sql(server(), 'create role nobody_special login; create table keys (k text primary key)');
    await using connection = await connect(server(), 'sql', { user: 'nobody_special' });
    await assert.rejects(connection.query('select * from pg_authid'), (error) => {
      assert.ok(error instanceof AuthenticationError);
      assert.equal(error.method, 'privilege');
      return error.sqlState === '42501';
    });
    await using owner = await connect(server());
    await owner.query("insert into keys values ('hunter2')");
    await assert.rejects(owner.query("insert into keys values ('hunter2')"), (error) => {
      assert.ok(error instanceof ServerError);
      assert.equal(error.sqlState, '23505');
      assert.equal(error.severity, 'ERROR');
      return error.detail === undefined && !error.message.includes('hunter2');
    });
    await assert.rejects(owner.query('select * from nonsense'), (error) => {
      return error instanceof ServerError && error.sqlState === '42P01' && !error.retryable;
    });
  });

  test('notices go to their handler', async () => {
    const notices: ServerNotice[] = [];
    await using connection = await connect(server(), 'sql', { onNotice: (notice) => notices.push(notice) });
    await connection.query("do $$ begin raise warning using message = 'careful', hint = 'slowly'; end $$");
    assert.equal(notices.length, 1);
    assert.deepEqual([notices[0]?.severity, notices[0]?.message, notices[0]?.hint], ['WARNING', 'careful', 'slowly']);
  });

  test('a role that may not replicate: the error shows the statement that mends it', async () => {
    await sql(server(), 'create role plain_reader login');
    await assert.rejects(connect(server(), 'logical', { user: 'plain_reader' }), (error: unknown) => {
      assert.ok(error instanceof AuthenticationError, String(error));
      assert.match(error.message, /What mends it: ALTER ROLE "plain_reader" REPLICATION;/);
      return true;
    });
    await sql(server(), 'ALTER ROLE "plain_reader" REPLICATION');
    await (await connect(server(), 'logical', { user: 'plain_reader' })).close();
  });

  test('IDENTIFY_SYSTEM', async () => {
    const [expected] = await sql(server(), 'select system_identifier::text as id from pg_control_system()');
    for (const mode of ['logical', 'physical'] as const) {
      await using connection = await connect(server(), mode);
      const identity = await connection.identifySystem();
      assert.equal(identity.systemId, expected?.id);
      assert.equal(identity.timeline, 1);
      assert.ok(identity.xLogPos > 0n);
      assert.equal(identity.database, mode === 'logical' ? 'postgres' : null);
    }
    await using ordinary = await connect(server());
    await assert.rejects(ordinary.identifySystem(), ServerError);
  });

  test('a time limit or an abort cancels the query and leaves the connection usable', async () => {
    await using connection = await connect(server());
    await assert.rejects(connection.query('select pg_sleep(30)', { timeoutMs: 50 }), (error) => {
      assert.ok(error instanceof TimeoutError);
      return error.phase === 'query' && error.timeoutMs === 50;
    });
    const controller = new AbortController();
    const reason = new Error('enough');
    setTimeout(() => controller.abort(reason), 50);
    const { signal } = controller;
    await assert.rejects(connection.query('select pg_sleep(30)', { signal }), (error) => error === reason);
    await assert.rejects(connection.query('select 1', { signal }), (error) => error === reason);
    assert.deepEqual((await connection.query('select 1'))[0]?.rows, [['1']]);
  });

  test('a result beyond the bound is an error, and the connection stays usable', async () => {
    await using connection = await connect(server());
    const tooMany = `select i from generate_series(1, ${MAX_RESULT_ROWS + 1}) i`;
    await assert.rejects(connection.query(tooMany), ProtocolError);
    await assert.rejects(connection.query("select repeat('x', 1000000) from generate_series(1, 100)"), ProtocolError);
    assert.deepEqual((await connection.query('select 1'))[0]?.rows, [['1']]);
  });

  test('a COPY is refused', async () => {
    const connection = await connect(server());
    await sql(server(), 'create table copied (i int)');
    await assert.rejects(connection.query('copy copied from stdin'), ServerError);
    await assert.rejects(connection.query('copy copied to stdout'), ProtocolError);
    await assert.rejects(connection.query('select 1'), ProtocolError);
    await connection.close();
  });

  test('detach hands over an idle byte stream that goes on', async () => {
    const connection = await connect(server());
    const running = connection.query('select 1');
    assert.throws(() => connection.detach(), ConnectionError);
    await running;
    const transport = connection.detach();
    assert.throws(() => connection.detach(), ConnectionError);
    await assert.rejects(connection.query('select 1'), ConnectionError);
    await connection.close();

    const memory = new Uint8Array(4096);
    const received: number[] = [];
    const closed = new Promise<void>((resolve) => {
      transport.setSink({
        buffer: () => memory,
        onBytes: (count, filled) => {
          received.push(...filled.subarray(0, count));
          // The last of the answer: ReadyForQuery, idle.
          if (Buffer.from(received).toString('latin1').endsWith('Z\0\0\0\x05I')) void transport.end();
        },
        onClose: () => resolve(),
      });
    });
    transport.write(FrontendMessage.query('select 42'));
    await closed;
    assert.match(Buffer.from(received).toString('latin1'), /^T.*42.*SELECT 1/s);
  });

  test('closing twice is closing once; what still waits is rejected', async () => {
    const connection = await connect(server());
    const waiting = assert.rejects(connection.query('select pg_sleep(30)'), ConnectionError);
    await sleep(50);
    await Promise.all([connection.close(), connection.close(), waiting]);
    await assert.rejects(connection.query('select 1'), ConnectionError);
  });

  test('a backend that is terminated says why, running or idle', async () => {
    for (const running of [true, false]) {
      const connection = await connect(server());
      const query = running ? connection.query('select pg_sleep(30)') : undefined;
      const rejected = query && assert.rejects(query, { sqlState: '57P01' });
      await sleep(50);
      await sql(server(), 'select pg_terminate_backend($1)', [connection.processId]);
      await sleep(50);
      await rejected;
      await assert.rejects(connection.query('select 1'), (error) => {
        return (error instanceof ServerError && error.sqlState === '57P01') || error instanceof ConnectionError;
      });
      await connection.close();
    }
  });
});

test('a server that is to have no walsenders says so, and what mends it with the statement that mends it', async (t) => {
  const server = await withServer(t, { settings: { wal_level: 'minimal', max_wal_senders: '0' } });
  await assert.rejects(connect(server, 'logical'), (error: unknown) => {
    assert.ok(error instanceof ConfigurationError, String(error));
    assert.match(error.message, /max_wal_senders is 0\. What mends it: ALTER SYSTEM SET wal_level = 'logical'/);
    return true;
  });
});

test('a killed server rejects what is pending, and it can be retried', async (t) => {
  const server = await withServer(t);
  const connection = await connect(server);
  const pending = assert.rejects(connection.query('select pg_sleep(30)'), (error) => {
    assert.ok(error instanceof ConnectionError);
    assert.equal(error.phase, 'query');
    return error.retryable;
  });
  await sleep(50);
  await server.kill();
  await pending;
  await assert.rejects(connect(server), (error) => error instanceof ConnectionError && error.retryable);
  await connection.close();
});
