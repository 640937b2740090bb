import assert from 'node:assert/strict';
import { userInfo } from 'node:os';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { resolveConnectionConfig } from '../../src/connection/connection-config.js';
import type { ConnectionInput, ConnectionOptions } from '../../src/connection/connection-options.js';
import { Secret } from '../../src/connection/secret.js';
import { tlsOptionsFor } from '../../src/connection/tls-options.js';
import { ConfigurationError } from '../../src/errors.js';
import fc from '../support/properties.js';

function resolve(input?: ConnectionInput, env: NodeJS.ProcessEnv = {}) {
  return resolveConnectionConfig(input, env);
}

function passwordOf(input?: ConnectionInput, env: NodeJS.ProcessEnv = {}): string | undefined {
  const { password } = resolve(input, env);
  assert.ok(password === undefined || password instanceof Secret);
  return password?.reveal();
}

function assertRefused(input: ConnectionInput, option: string, env: NodeJS.ProcessEnv = {}): ConfigurationError {
  try {
    resolve(input, env);
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    assert.equal(error.option, option);
    return error;
  }
  throw assert.fail(`${inspect(input)} was accepted`);
}

test('nothing given: the defaults', () => {
  const config = resolve();
  const user = userInfo().username;
  assert.deepEqual(config.hosts, [{ host: 'localhost', port: 5432 }]);
  assert.equal(config.user, user);
  assert.equal(config.database, user);
  assert.equal(config.password, undefined);
  assert.equal(config.tls.mode, 'prefer');
  assert.equal(config.tls.negotiation, 'postgres');
  assert.equal(config.tls.minVersion, 'TLSv1.2');
  assert.equal(config.channelBinding, 'prefer');
  assert.equal(config.connectTimeoutMs, 10_000);
  assert.deepEqual(config.keepAlive, { enabled: true, idleMs: 60_000 });
  assert.equal(config.applicationName, 'pg-walstream');
  assert.equal(config.targetSessionAttrs, 'any');
});

test('a URI with everything', () => {
  const config = resolve(
    'postgresql://al%69ce:s%40cret@db.example:6543/my%2Fdb?sslmode=require&connect_timeout=3&application_name=a%20b' +
      '&keepalives=0&keepalives_idle=5&options=-c%20geqo%3Doff&channel_binding=require&require_auth=scram-sha-256' +
      '&target_session_attrs=read-write&replication=database&ssl_min_protocol_version=TLSv1.3&sslsni=0',
  );
  assert.deepEqual(config.hosts, [{ host: 'db.example', port: 6543 }]);
  assert.equal(config.user, 'alice');
  assert.equal(config.database, 'my/db');
  assert.equal(config.tls.mode, 'require');
  assert.equal(config.tls.minVersion, 'TLSv1.3');
  assert.equal(config.tls.sni, false);
  assert.equal(config.connectTimeoutMs, 3000);
  assert.deepEqual(config.keepAlive, { enabled: false, idleMs: 5000 });
  assert.equal(config.applicationName, 'a b');
  assert.equal(config.options, '-c geqo=off');
  assert.equal(config.channelBinding, 'require');
  assert.deepEqual([...config.requireAuth], ['scram-sha-256']);
  assert.equal(config.targetSessionAttrs, 'read-write');
});

test('hosts of a URI: several, IPv6, Unix sockets, in the query, none', () => {
  const hosts = (uri: string) => resolve(uri).hosts.map(({ host, port }) => `${host} ${port}`);
  assert.deepEqual(hosts('postgres://u@h1:1,h2:2,h3/db'), ['h1 1', 'h2 2', 'h3 5432']);
  assert.deepEqual(hosts('postgres://[::1]:7,[fe80::1]/db'), ['::1 7', 'fe80::1 5432']);
  assert.deepEqual(hosts('postgres://%2Fvar%2Frun%2Fpostgresql:5433/db'), ['/var/run/postgresql 5433']);
  assert.deepEqual(hosts('postgres:///db?host=/tmp,h2&port=1,2'), ['/tmp 1', 'h2 2']);
  assert.deepEqual(hosts('postgres://h1,h2/db?port=9'), ['h1 9', 'h2 9']);
  assert.deepEqual(hosts('postgres://'), ['localhost 5432']);
  assert.deepEqual(hosts('postgres://:77'), ['localhost 77']);
  assert.equal(resolve('postgres:///db?user=a@b').user, 'a@b');
});

test('passwords in URIs, percent-encoded or raw where that is not ambiguous', () => {
  assert.equal(passwordOf('postgres://u:p%2F%3F%23%25@h/db'), 'p/?#%');
  assert.equal(passwordOf('postgres://u:p@ss:word@h/db'), 'p@ss:word');
  assert.equal(passwordOf('postgres://u:with space+plus@h/db'), 'with space+plus');
  assert.equal(passwordOf('postgres://u:@h/db'), undefined);
  assert.equal(passwordOf(new URL('postgres://u:a%2Fb@h/db')), 'a/b');
});

test('an unencoded "/" or "?" in a password is explained without showing it', () => {
  for (const uri of ['postgres://u:qix/zun2@h/db', 'postgres://u:qix?zun2@h/db', 'postgres://u:qix?zun=2@h/db']) {
    const error = assertRefused(uri, 'connection');
    assert.doesNotMatch(error.message, /qix|zun/, uri);
  }
});

test('keyword=value strings', () => {
  const config = resolve(
    String.raw`host=h1,h2 port = 1,2  user='a b' password='it\'s \\' dbname=d\ b connect_timeout=''`,
  );
  assert.deepEqual(config.hosts, [
    { host: 'h1', port: 1 },
    { host: 'h2', port: 2 },
  ]);
  assert.equal(config.user, 'a b');
  assert.equal(config.database, 'd b');
  assert.equal(config.connectTimeoutMs, 10_000);
  assert.equal(passwordOf(String.raw`host=h password='it\'s \\'`), String.raw`it's \ `.trimEnd());
  assertRefused('host=h password', 'connection');
  assertRefused("host=h password='unfinished", 'connection');
  assertRefused('localhost', 'connection');
  assertRefused('mysql://h/db', 'connection');
});

test('an object', () => {
  const config = resolve({
    host: ['h1', '/tmp'],
    port: [1, 2],
    user: 'u',
    password: 'p',
    database: 'd',
    sslMode: 'disable',
    connectTimeoutMs: 1500,
    keepAliveIdleMs: 250,
    keepAlive: true,
    applicationName: 'app',
  });
  assert.deepEqual(config.hosts, [
    { host: 'h1', port: 1 },
    { host: '/tmp', port: 2 },
  ]);
  assert.equal(config.connectTimeoutMs, 1500);
  assert.deepEqual(config.keepAlive, { enabled: true, idleMs: 250 });
  for (const [given, kept] of [
    [0, 0],
    [0.4, 1],
    [1.4, 1],
    [16_100, 16_100],
  ] as const) {
    assert.equal(resolve({ connectTimeoutMs: given }).connectTimeoutMs, kept, 'only 0 is no bound');
  }
  const provider = () => 'token';
  assert.equal(resolve({ password: provider }, { PGPASSWORD: 'other' }).password, provider);
});

test('DATABASE_URL stands in for an absent input only, and PG* variables fill what is left out', () => {
  const env = {
    DATABASE_URL: 'postgres://url-user@url-host/url-db?sslmode=disable',
    PGHOST: 'env-host',
    PGPORT: '6000',
    PGUSER: 'env-user',
    PGPASSWORD: 'env-password',
    PGDATABASE: 'env-db',
    PGSSLMODE: 'require',
    PGAPPNAME: 'env-app',
    PGCONNECT_TIMEOUT: '7',
    PGPASSFILE: '/pass',
    PGCHANNELBINDING: 'disable',
    PGREQUIREAUTH: '!password,!md5',
    PGTARGETSESSIONATTRS: 'primary',
    PGSSLROOTCERT: '/root.crt',
    PGSSLCERT: '/client.crt',
    PGSSLKEY: '/client.key',
    PGSSLNEGOTIATION: 'postgres',
  };
  const fromUrl = resolve(undefined, env);
  assert.deepEqual(fromUrl.hosts, [{ host: 'url-host', port: 6000 }]);
  assert.equal(fromUrl.user, 'url-user');
  assert.equal(fromUrl.database, 'url-db');
  assert.equal(fromUrl.tls.mode, 'disable');
  assert.equal(passwordOf(undefined, env), 'env-password');

  const fromEnv = resolve({}, env);
  assert.deepEqual(fromEnv.hosts, [{ host: 'env-host', port: 6000 }]);
  assert.equal(fromEnv.user, 'env-user');
  assert.equal(fromEnv.database, 'env-db');
  assert.equal(fromEnv.tls.mode, 'require');
  assert.equal(fromEnv.tls.rootCert, '/root.crt');
  assert.equal(fromEnv.tls.cert, '/client.crt');
  assert.equal(fromEnv.tls.key, '/client.key');
  assert.equal(fromEnv.applicationName, 'env-app');
  assert.equal(fromEnv.connectTimeoutMs, 7000);
  assert.equal(fromEnv.passFile, '/pass');
  assert.equal(fromEnv.channelBinding, 'disable');
  assert.equal(fromEnv.targetSessionAttrs, 'primary');
  assert.deepEqual([...fromEnv.requireAuth], ['gss', 'sspi', 'scram-sha-256', 'oauth', 'none']);

  assert.deepEqual(resolve('postgres://other', env).hosts, [{ host: 'other', port: 6000 }]);
  assert.equal(resolve({}, { PGHOST: '', PGAPPNAME: '' }).applicationName, 'pg-walstream');
});

test('every wrong setting names the place where it was written', () => {
  assertRefused('postgres://h?sslmode=maybe', 'connection.sslmode');
  assertRefused({ sslMode: 'maybe' as 'disable' }, 'connection.sslMode');
  assertRefused({}, 'PGSSLMODE', { PGSSLMODE: 'maybe' });
  assertRefused('postgres://h:0/', 'connection.port');
  assertRefused('postgres://h:65536/', 'connection.port');
  assertRefused('postgres://h:12x/', 'connection.port');
  assertRefused('postgres://h1,h2,h3?port=1,2', 'connection.port');
  assertRefused({ port: 1.5 }, 'connection.port');
  assertRefused({ port: '5432' as unknown as number }, 'connection.port');
  assertRefused({}, 'PGPORT', { PGPORT: 'x' });
  assertRefused('postgres://h?connect_timeout=soon', 'connection.connect_timeout');
  assertRefused({ connectTimeoutMs: -1 }, 'connection.connectTimeoutMs');
  assertRefused({ connectTimeoutMs: Number.NaN }, 'connection.connectTimeoutMs');
  assertRefused('postgres://h?keepalives=yes', 'connection.keepalives');
  assertRefused({ keepAlive: 1 as unknown as boolean }, 'connection.keepAlive');
  assertRefused('postgres://h?channel_binding=no', 'connection.channel_binding');
  assertRefused('postgres://h?require_auth=md4', 'connection.require_auth');
  assertRefused('postgres://h?require_auth=md5,!password', 'connection.require_auth');
  assertRefused({ requireAuth: 'x' }, 'connection.requireAuth');
  assertRefused('postgres://h?target_session_attrs=leader', 'connection.target_session_attrs');
  assertRefused('postgres://h?frobnicate=1', 'connection.frobnicate');
  assertRefused('postgres://h?service=x', 'connection.service');
  assertRefused('postgres://h?gssencmode=require', 'connection.gssencmode');
  assertRefused({ hots: 'h' } as ConnectionOptions, 'connection.hots');
  assertRefused('postgres://h/%zz', 'connection.dbname');
  assertRefused('postgres://h?user=%zz', 'connection.user');
  assertRefused({ user: 'a\0b' }, 'connection.user');
  assertRefused('postgres://h/a%00replication%00true', 'connection.dbname');
  for (const wrong of [42, null, [], new Date()]) assertRefused(wrong as unknown as string, 'connection');
  assertRefused('', 'connection');
});

test('what is wrong in DATABASE_URL names DATABASE_URL', () => {
  for (const [url, option] of [
    ['mysql://h/db', 'DATABASE_URL'],
    ['host=h password', 'DATABASE_URL'],
    ['postgres://u:a/b@h/db', 'DATABASE_URL'],
    ['postgres://h/%zz', 'DATABASE_URL.dbname'],
    ['postgres://h?user=%zz', 'DATABASE_URL.user'],
    ['postgres://h:99999/', 'DATABASE_URL.port'],
    ['postgres://h?sslmode=maybe', 'DATABASE_URL.sslmode'],
    ['postgres://h?frobnicate=1', 'DATABASE_URL.frobnicate'],
    ['postgres://h?sslcert=c', 'DATABASE_URL.sslkey'],
    ['postgres://h?require_auth=md4', 'DATABASE_URL.require_auth'],
  ] as const) {
    const error = assertRefused(undefined, option, { DATABASE_URL: url });
    assert.ok(error.message.startsWith(`${option}: `), error.message);
    // Given as an option, it is the option's.
    assertRefused(url, option.replace('DATABASE_URL', 'connection'), { DATABASE_URL: 'mysql://h' });
  }
  assertRefused(undefined, 'PGSSLMODE', { DATABASE_URL: 'postgres://h', PGSSLMODE: 'maybe' });
});

test('half of a client certificate: the other half is named as it would be written', () => {
  assertRefused({ sslCert: 'c' }, 'connection.sslKey');
  assertRefused({ sslKey: 'k' }, 'connection.sslCert');
  assertRefused(undefined, 'PGSSLKEY', { PGSSLCERT: 'c' });
});

test('files of TLS that cannot be read are named where they were written', async () => {
  const settings = { sslmode: 'verify-full', sslcert: '/no/c', sslkey: '/no/k', sslrootcert: '/no/r', sslcrl: '/no/l' };
  const query = new URLSearchParams(settings).toString();
  const [sslCert, sslKey, sslRootCert, sslCrl] = ['/no/c', '/no/k', '/no/r', '/no/l'];
  const env = { PGSSLCERT: sslCert, PGSSLKEY: sslKey, PGSSLROOTCERT: sslRootCert, PGSSLCRL: sslCrl };
  for (const [{ tls }, options] of [
    [
      resolve(`postgres://h?${query}`),
      ['connection.sslcert', 'connection.sslkey', 'connection.sslrootcert', 'connection.sslcrl'],
    ],
    [
      resolve({ sslCert, sslKey, sslRootCert, sslCrl }),
      ['connection.sslCert', 'connection.sslKey', 'connection.sslRootCert', 'connection.sslCrl'],
    ],
    [resolve(undefined, env), ['PGSSLCERT', 'PGSSLKEY', 'PGSSLROOTCERT', 'PGSSLCRL']],
    [
      resolve(undefined, { DATABASE_URL: `postgres://h?${query}` }),
      ['DATABASE_URL.sslcert', 'DATABASE_URL.sslkey', 'DATABASE_URL.sslrootcert', 'DATABASE_URL.sslcrl'],
    ],
  ] as const) {
    for (const [at, file] of (['cert', 'key', 'rootCert', 'crl'] as const).entries()) {
      const only = { ...tls, cert: undefined, key: undefined, rootCert: undefined, crl: undefined, [file]: tls[file] };
      await assert.rejects(tlsOptionsFor(only, 'h'), (error: unknown) => {
        assert.ok(error instanceof ConfigurationError);
        assert.equal(error.option, options[at]);
        assert.ok(error.message.startsWith(`${options[at]}: cannot read /no/`), error.message);
        return true;
      });
    }
  }
});

test('TLS settings that contradict each other are refused', () => {
  assertRefused('postgres://h?sslmode=require&sslrootcert=system', 'connection.sslmode');
  assertRefused('postgres://h?sslmode=verify-ca', 'connection.sslmode');
  assertRefused('postgres://h?sslmode=prefer&sslnegotiation=direct', 'connection.sslmode');
  assertRefused('postgres://h?sslcert=c', 'connection.sslkey');
  assertRefused('postgres://h?sslkey=k', 'connection.sslcert');
  assert.equal(resolve('postgres://h?sslrootcert=system').tls.mode, 'verify-full');
  assert.equal(resolve('postgres://h?sslnegotiation=direct').tls.mode, 'require');
  assert.equal(resolve('postgres://h?ssl=true').tls.mode, 'require');
});

test('no way of showing a configuration shows its password', () => {
  const config = resolve('postgres://u:hunter2@h/db?sslpassword=hunter2&sslcert=c&sslkey=k');
  for (const shown of [inspect(config, { depth: 9, showHidden: true }), JSON.stringify(config), `${config.password}`]) {
    assert.doesNotMatch(shown, /hunter2/);
  }
});

const fragments = fc.constantFrom(
  ...'postgres:// postgresql:// @ : / ? & = , [ ] % %2F %00 \0 user password host port sslmode require h 5432'.split(
    ' ',
  ),
  "'",
  '\\',
  ' ',
);

test('property: whatever the string, it is a configuration or a ConfigurationError', () => {
  const text = fc.oneof(
    fc.array(fc.oneof(fragments, fc.string({ maxLength: 4 }))).map((parts) => parts.join('')),
    fc.array(fc.oneof(fragments, fc.string({ maxLength: 4 }))).map((parts) => `postgres://${parts.join('')}`),
  );
  fc.assert(
    fc.property(text, (input) => {
      try {
        const config = resolve(input);
        assert.ok(config.hosts.every(({ port }) => port >= 1 && port <= 65535));
      } catch (error) {
        assert.ok(error instanceof ConfigurationError, inspect(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test('property: whatever the object, it is a configuration or a ConfigurationError', () => {
  const keys = fc.constantFrom('host', 'port', 'user', 'password', 'sslMode', 'connectTimeoutMs', 'keepAlive', 'x');
  fc.assert(
    fc.property(fc.dictionary(keys, fc.anything()), (input) => {
      try {
        resolve(input as ConnectionOptions);
      } catch (error) {
        assert.ok(error instanceof ConfigurationError, inspect(error));
      }
    }),
    { numRuns: 1000 },
  );
});

test('property: user, password and database survive percent-encoding and quoting', () => {
  const value = fc.string({ minLength: 1, unit: 'binary' }).filter((text) => /^[^\0\p{Cs}]+$/u.test(text));
  fc.assert(
    fc.property(value, value, value, (user, password, database) => {
      const [u, p, d] = [user, password, database].map(encodeURIComponent);
      const fromUri = resolve(`postgres://${u}:${p}@h/${d}`);
      const quote = (text: string) => `'${text.replaceAll(/['\\]/g, '\\$&')}'`;
      const fromKeywords = resolve(`user=${quote(user)} password=${quote(password)} dbname=${quote(database)} host=h`);
      for (const config of [fromUri, fromKeywords]) {
        assert.equal(config.user, user);
        assert.equal(config.database, database);
        assert.ok(config.password instanceof Secret);
        assert.equal(config.password.reveal(), password);
      }
    }),
  );
});

test('property: no error shows the password', () => {
  const mistakes = fc.constantFrom('?sslmode=x', '?nope=1', ':x/', '?port=99999', '?connect_timeout=z', '/%zz', '?x');
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z0-9/?@:&=%#]{6,20}$/), mistakes, (password, mistake) => {
      try {
        resolve(`postgres://u:${password}@h${mistake}`);
      } catch (error) {
        assert.ok(error instanceof ConfigurationError, inspect(error));
        assert.ok(
          !inspect(error)
            .replaceAll(/\n\s+at .*/g, '')
            .includes(password),
        );
      }
    }),
  );
});
