import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { encryptionPlan, matchesSessionAttrs, worthOtherEncryption } from '../../src/connection/connect.js';
import { resolveConnectionConfig } from '../../src/connection/connection-config.js';
import { PgConnection } from '../../src/connection/pg-connection.js';
import { startupParameters } from '../../src/connection/session-start.js';
import {
  AuthenticationError,
  ConfigurationError,
  ConnectionError,
  ProtocolError,
  ServerError,
  TimeoutError,
} from '../../src/errors.js';
import {
  AUTHENTICATION_OK,
  backendMessage,
  errorResponse,
  int32,
  parameterStatus,
  READY_FOR_QUERY,
  sessionStart,
} from './backend-bytes.js';
import { connectTo, fakeServer, type Script } from './fake-server.js';

/** Answers the StartupMessage with these bytes, then does nothing. */
function answering(...parts: Uint8Array[]): Script {
  return async (client) => {
    await client.readStartup();
    client.send(...parts);
  };
}

test('a session starts, however the bytes are cut', async (t) => {
  const port = await fakeServer(t, async (client) => {
    await client.readStartup();
    for (const byte of sessionStart()) {
      client.socket.write(Uint8Array.of(byte));
      await new Promise(setImmediate);
    }
  });
  const connection = await connectTo(port);
  assert.equal(connection.serverVersion, 180004);
  assert.equal(connection.processId, 42);
  assert.equal(connection.encrypted, false);
  assert.equal(connection.host, `127.0.0.1:${port}`);
});

test('arguments of connect() and query() that are wrong', async (t) => {
  const port = await fakeServer(t, answering(sessionStart()));
  const config = resolveConnectionConfig({ host: '127.0.0.1', port, user: 'u', sslMode: 'disable' }, {});
  const connect = (...given: readonly unknown[]) => PgConnection.connect(...(given as [never, never]));
  const sql = { mode: 'sql' };
  for (const [option, ...given] of [
    ['config'],
    ['config', 'postgresql://h/d', sql],
    ['config', { host: 'h' }, sql],
    ['config', null, sql],
    ['options', config],
    ['options', config, null],
    ['mode', config, {}],
    ['mode', config, { mode: 'bogus' }],
    ['modus', config, { mode: 'sql', modus: 1 }],
    ['signal', config, { mode: 'sql', signal: 'now' }],
    ['onNotice', config, { mode: 'sql', onNotice: true }],
  ] as const) {
    await assert.rejects(connect(...given), wrongOption(option), option);
  }

  const connection = await connectTo(port);
  const query = (...given: readonly unknown[]) => connection.query(...(given as [never]));
  for (const given of [[], [5], [null], ['SELECT \0']]) await assert.rejects(query(...given), wrongOption('sql'));
  for (const options of [null, [], 5]) await assert.rejects(query('SELECT 1', options), wrongOption('options'));
  for (const timeoutMs of [2 ** 40, 2 ** 31, -1, Number.NaN, '5', null]) {
    await assert.rejects(query('SELECT 1', { timeoutMs }), wrongOption('timeoutMs'), String(timeoutMs));
  }
  await assert.rejects(query('SELECT 1', { signal: {} }), wrongOption('signal'));
});

function wrongOption(option: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ConfigurationError, String(error));
    assert.equal(error.option, option, error.message);
    return true;
  };
}

test('the StartupMessage carries the fixed session settings and the kind of replication', () => {
  const config = resolveConnectionConfig({ host: 'h', user: 'u', database: 'd', options: '-c a=b' }, {});
  const settings = {
    application_name: 'pg-walstream',
    options: '-c a=b',
    DateStyle: 'ISO',
    TimeZone: 'UTC',
    IntervalStyle: 'postgres',
    bytea_output: 'hex',
    extra_float_digits: '3',
    lc_monetary: 'C',
    client_min_messages: 'notice',
  };
  assert.deepEqual(startupParameters(config, 'sql'), { user: 'u', database: 'd', ...settings });
  assert.deepEqual(startupParameters(config, 'logical'), {
    user: 'u',
    database: 'd',
    replication: 'database',
    ...settings,
  });
  assert.deepEqual(startupParameters(config, 'physical'), { user: 'u', replication: 'true', ...settings });
});

test('servers that are none, and servers that misbehave', async (t) => {
  const cases: { what: string; script: Script; error: new (...args: never[]) => Error; message: RegExp }[] = [
    {
      what: 'an HTTP server',
      script: answering(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')),
      error: ProtocolError,
      message: /0x48: this is not a PostgreSQL server/,
    },
    { what: 'one that closes at once', script: (c) => void c.socket.end(), error: ConnectionError, message: /closed/ },
    {
      what: 'one that resets the connection',
      script: (c) => void c.socket.resetAndDestroy(),
      error: ConnectionError,
      message: /ECONNRESET|closed/,
    },
    {
      what: 'an endless message',
      script: answering(Buffer.from([0x52, 0x7f, 0xff, 0xff, 0xff])),
      error: ProtocolError,
      message: /announced a message of/,
    },
    {
      what: 'ReadyForQuery before authentication',
      script: answering(backendMessage('N', [0]), READY_FOR_QUERY),
      error: ProtocolError,
      message: /out of order/,
    },
    {
      what: 'authentication twice',
      script: answering(AUTHENTICATION_OK, AUTHENTICATION_OK),
      error: ProtocolError,
      message: /out of order/,
    },
    {
      what: 'a data row',
      script: answering(AUTHENTICATION_OK, backendMessage('D', [0, 0])),
      error: ProtocolError,
      message: /out of order/,
    },
    {
      what: 'NegotiateProtocolVersion, which nobody asked for',
      script: answering(AUTHENTICATION_OK, backendMessage('v', int32(3), int32(0))),
      error: ProtocolError,
      message: /unknown message type/,
    },
    {
      what: 'GSSAPI',
      script: answering(backendMessage('R', int32(7))),
      error: AuthenticationError,
      message: /GSSAPI/,
    },
    {
      what: 'no server version',
      script: answering(AUTHENTICATION_OK, READY_FOR_QUERY),
      error: ProtocolError,
      message: /version/,
    },
    {
      what: 'version 13',
      script: answering(sessionStart('13.14 (Debian 13.14-1)')),
      error: ConfigurationError,
      message: /13\.14.*14 or later/,
    },
    {
      what: 'a server that is starting up',
      script: answering(errorResponse('57P03', 'the database system is starting up')),
      error: ServerError,
      message: /starting up/,
    },
    {
      what: 'a missing database',
      script: answering(errorResponse('3D000', 'database "d" does not exist')),
      error: ServerError,
      message: /does not exist/,
    },
    {
      what: 'no line in pg_hba.conf',
      script: answering(errorResponse('28000', 'no pg_hba.conf entry')),
      error: AuthenticationError,
      message: /pg_hba/,
    },
    {
      what: 'a pooler',
      script: answering(errorResponse('08P01', 'unsupported startup parameter: replication')),
      error: ConfigurationError,
      message: /pooler/,
    },
  ];
  for (const { what, script, error, message } of cases) {
    const port = await fakeServer(t, script);
    await assert.rejects(
      connectTo(port),
      (caught: Error) => {
        assert.ok(caught instanceof error, `${what}: ${caught.name}: ${caught.message}`);
        assert.match(caught.message, message, what);
        return true;
      },
      what,
    );
  }
});

test('endless parameters end at a bound', async (t) => {
  const port = await fakeServer(t, async (client) => {
    await client.readStartup();
    client.send(AUTHENTICATION_OK);
    for (let i = 0; !client.socket.destroyed; i++) {
      client.send(parameterStatus(`p${i % 10}`, 'x'.repeat(5_000)));
      await new Promise(setImmediate);
    }
  });
  await assert.rejects(connectTo(port), { name: 'ProtocolError', message: /not ready/ });
  const many = await fakeServer(t, async (client) => {
    await client.readStartup();
    client.send(AUTHENTICATION_OK, ...Array.from({ length: 1_100 }, (_, i) => parameterStatus(`p${i}`, 'x')));
  });
  await assert.rejects(connectTo(many), { name: 'ProtocolError', message: /too many parameters/ });
});

test('a server that accepts and says nothing: TimeoutError with the phase', async (t) => {
  const port = await fakeServer(t, () => {});
  await assert.rejects(connectTo(port, { connectTimeoutMs: 100 }), (error) => {
    assert.ok(error instanceof TimeoutError);
    assert.equal(error.phase, 'authentication');
    assert.equal(error.timeoutMs, 100);
    return error.retryable;
  });
  await assert.rejects(connectTo(port, { connectTimeoutMs: 100, sslMode: 'require' }), (error) => {
    assert.ok(error instanceof TimeoutError);
    return error.phase === 'tls';
  });
});

test('an abort rejects with its reason, in every phase', async (t) => {
  const silent = await fakeServer(t, () => {});
  const asking = await fakeServer(t, answering(backendMessage('R', int32(3))));
  const reason = new Error('enough');
  const abortSoon = () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 50);
    return controller.signal;
  };
  const isReason = (error: unknown) => error === reason;
  await assert.rejects(connectTo(silent, { signal: AbortSignal.abort(reason) }), isReason);
  await assert.rejects(connectTo(silent, { signal: abortSoon() }), isReason);
  await assert.rejects(connectTo(silent, { signal: abortSoon(), sslMode: 'require' }), isReason);
  const never = () => new Promise<string>(() => {});
  await assert.rejects(connectTo(asking, { signal: abortSoon(), password: never }), isReason);
});

test('nobody listens: ConnectionError that can be retried', async () => {
  const port = await freePort();
  await assert.rejects(connectTo(port), (error) => {
    assert.ok(error instanceof ConnectionError);
    assert.equal(error.phase, 'connect');
    assert.match(error.message, /ECONNREFUSED/);
    return error.retryable;
  });
  await assert.rejects(connectTo(port, { host: '/nonexistent' }), /ENOENT/);
});

test('several hosts: the first that works; what each said when none does', async (t) => {
  const dead = await freePort();
  const starting = await fakeServer(t, answering(errorResponse('57P03', 'starting up')));
  const good = await fakeServer(t, answering(sessionStart()));
  const hosts = { host: ['127.0.0.1', '127.0.0.1', '127.0.0.1'] };
  const connection = await connectTo(0, { ...hosts, port: [dead, starting, good] });
  assert.equal(connection.host, `127.0.0.1:${good}`);

  await assert.rejects(connectTo(0, { host: ['127.0.0.1', '127.0.0.1'], port: [dead, starting] }), (error) => {
    assert.ok(error instanceof ConnectionError);
    assert.match(error.message, /ECONNREFUSED.*starting up/);
    assert.ok(error.cause instanceof AggregateError);
    assert.equal(error.cause.errors.length, 2);
    return error.retryable;
  });

  const refusing = await fakeServer(t, answering(errorResponse('28P01', 'password authentication failed')));
  await assert.rejects(connectTo(0, { ...hosts, port: [dead, refusing, good] }), AuthenticationError);
});

test('target_session_attrs passes over what is not asked for', async (t) => {
  const server = (standby: string) =>
    fakeServer(t, answering(AUTHENTICATION_OK, parameterStatus('in_hot_standby', standby), sessionStart().subarray(9)));
  const [standby, primary] = [await server('on'), await server('off')];
  const host = ['127.0.0.1', '127.0.0.1'];
  const port = [standby, primary];
  const chosen = async (targetSessionAttrs: 'primary' | 'prefer-standby' | 'read-only', ports = port) =>
    (await connectTo(0, { host, port: ports, targetSessionAttrs })).host;
  assert.equal(await chosen('primary'), `127.0.0.1:${primary}`);
  assert.equal(await chosen('prefer-standby', [primary, standby]), `127.0.0.1:${standby}`);
  assert.equal(await chosen('prefer-standby', [primary, primary]), `127.0.0.1:${primary}`);
  await assert.rejects(chosen('read-only', [primary, primary]), /is not read-only/);
  const readOnly = new Map([['default_transaction_read_only', 'on']]);
  assert.equal(matchesSessionAttrs('read-write', readOnly), false);
  assert.equal(matchesSessionAttrs('primary', readOnly), true);
});

test('the answer to SSLRequest: refusal, garbage, stuffed bytes, an old server', async (t) => {
  const answer = (bytes: string): Script => {
    return async (client) => {
      await client.readStartup();
      client.send(Buffer.from(bytes, 'latin1'));
    };
  };
  const failing: [string, RegExp][] = [
    ['N', /has no TLS/],
    ['HTTP/1.1 400 Bad Request', /'H'.*not a PostgreSQL server/],
    ['Sextra', /tampering/],
    ['Nextra', /tampering/],
    ['\0', /0x0/],
    ['E', /not a PostgreSQL server/],
  ];
  for (const [bytes, message] of failing) {
    await assert.rejects(connectTo(await fakeServer(t, answer(bytes)), { sslMode: 'require' }), { message });
  }
  const closing = await fakeServer(t, (client) => void client.socket.end());
  await assert.rejects(
    connectTo(closing, { sslMode: 'require' }),
    /closed the connection \(during the TLS handshake\)/,
  );

  const noTls = await fakeServer(t, async (client) => {
    await client.readStartup();
    client.send(Buffer.from('N'));
    await client.readStartup();
    client.send(sessionStart());
  });
  assert.equal((await connectTo(noTls, { sslMode: 'prefer' })).encrypted, false);

  const garbage = await fakeServer(t, async (client) => {
    await client.readStartup();
    client.send(Buffer.from('S'));
    await client.read(1);
    client.send(Buffer.from('no handshake at all'));
  });
  await assert.rejects(connectTo(garbage, { sslMode: 'require' }), (error) => {
    return error instanceof ConnectionError && error.phase === 'tls' && !error.retryable;
  });
});

test('policies of encryption', () => {
  assert.deepEqual(encryptionPlan('verify-full', true), ['plain']);
  assert.deepEqual(encryptionPlan('disable', false), ['plain']);
  assert.deepEqual(encryptionPlan('allow', false), ['plain', 'tls']);
  assert.deepEqual(encryptionPlan('prefer', false), ['tls-or-plain', 'plain']);
  for (const mode of ['require', 'verify-ca', 'verify-full'] as const) {
    assert.deepEqual(encryptionPlan(mode, false), ['tls']);
  }
  assert.ok(worthOtherEncryption(new ConnectionError('', { host: 'h', phase: 'tls' })));
  assert.ok(worthOtherEncryption(new AuthenticationError('', { method: 'none', sqlState: '28000' })));
  assert.ok(!worthOtherEncryption(new AuthenticationError('', { method: 'md5', sqlState: '28P01' })));
  assert.ok(!worthOtherEncryption(new ConnectionError('', { host: 'h', phase: 'connect' })));
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}
