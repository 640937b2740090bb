import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { resolveConnectionConfig } from '../../src/connection/connection-config.js';
import type { ConnectionOptions } from '../../src/connection/connection-options.js';
import { PgConnection } from '../../src/connection/pg-connection.js';
import type { ConnectionMode } from '../../src/connection/session-start.js';
import { AuthenticationError, ConfigurationError, ConnectionError } from '../../src/errors.js';
import { PG_MAJOR, sql } from '../support/server.js';
import { CertificateAuthority } from './certificates.js';

/** Roles are named after what pg_hba.conf asks of them. */
const HBA = [
  'local all all trust',
  'host all postgres 127.0.0.1/32 trust',
  'hostssl all role_cert 127.0.0.1/32 cert',
  'host all role_trust 127.0.0.1/32 trust',
  'host replication role_password 127.0.0.1/32 password',
  'host all role_password 127.0.0.1/32 password',
  'host all role_md5 127.0.0.1/32 md5',
  'host all role_scram 127.0.0.1/32 scram-sha-256',
  'host all role_odd 127.0.0.1/32 scram-sha-256',
  'hostnossl all role_nossl 127.0.0.1/32 trust',
  'hostssl all role_ssl 127.0.0.1/32 trust',
];
// Needs NFKC and the mapping of spaces: what SASLprep is about.
const ODD_PASSWORD = 'ﬁx\u00a0²é';

suite('authentication and TLS with a real server', () => {
  let server: EmbeddedServer;
  let folder: string;
  const file = (name: string) => join(folder, name);

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pg-walstream-tls-'));
    const [authority, other] = await Promise.all([
      CertificateAuthority.create('test authority'),
      CertificateAuthority.create('another authority'),
    ]);
    const [host, client, locked, stranger] = await Promise.all([
      authority.sign('localhost'),
      authority.sign('role_cert'),
      authority.sign('role_cert', 'open sesame'),
      other.sign('role_cert'),
    ]);
    const files = {
      'root.crt': authority.cert,
      'other.crt': other.cert,
      'client.crt': client.cert,
      'client.key': client.key,
      'locked.crt': locked.cert,
      'locked.key': locked.key,
      'stranger.crt': stranger.cert,
      'stranger.key': stranger.key,
      'broken.key': 'this is no key',
    };
    await Promise.all(Object.entries(files).map(([name, content]) => writeFile(file(name), content)));
    server = await EmbeddedServer.start({
      major: PG_MAJOR,
      hba: HBA,
      settings: { ssl: 'on', ssl_ca_file: 'root.crt' },
      files: { 'server.crt': host.cert, 'server.key': host.key, 'root.crt': authority.cert },
    });
    await sql(
      server,
      `create role role_trust login replication; create role role_cert login; create role role_ssl login;
       create role role_nossl login;
       create role role_password login replication password 'secret'; create role role_scram login password 'secret';
       create role role_odd login password '${ODD_PASSWORD}';
       set password_encryption = 'md5'; create role role_md5 login password 'secret';`,
    );
  });

  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  async function connect(options: ConnectionOptions, mode: ConnectionMode = 'sql'): Promise<PgConnection> {
    const { port } = server;
    const config = resolveConnectionConfig({ host: '127.0.0.1', port, database: 'postgres', ...options }, {});
    return PgConnection.connect(config, { mode });
  }

  /** Whether the server says that the session is encrypted. */
  async function connectsEncrypted(options: ConnectionOptions): Promise<boolean> {
    await using connection = await connect(options);
    const [result] = await connection.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()');
    assert.equal(connection.encrypted, result?.rows[0]?.[0] === 't');
    return connection.encrypted;
  }

  for (const method of ['password', 'md5', 'scram'] as const) {
    const user = `role_${method}`;
    const authMethod = method === 'scram' ? 'scram-sha-256' : method;
    test(`${method}: right, wrong, missing and fetched passwords, with and without TLS`, async () => {
      for (const sslMode of ['disable', 'require'] as const) {
        assert.equal(await connectsEncrypted({ user, password: 'secret', sslMode }), sslMode === 'require');
        assert.equal(
          await connectsEncrypted({ user, password: async () => 'secret', sslMode, requireAuth: authMethod }),
          sslMode === 'require',
        );
        await assert.rejects(connect({ user, password: 'wrong', sslMode }), (error) => {
          assert.ok(error instanceof AuthenticationError);
          assert.equal(error.sqlState, '28P01');
          assert.equal(error.method, authMethod);
          assert.doesNotMatch(error.message, /wrong/);
          return !error.retryable;
        });
        await assert.rejects(connect({ user, sslMode, passFile: '/nonexistent' }), (error) => {
          assert.ok(error instanceof AuthenticationError);
          assert.match(error.message, /none was given/);
          return error.method === authMethod;
        });
      }
      const failing = () => Promise.reject(new Error('vault is closed'));
      await assert.rejects(connect({ user, password: failing }), (error) => {
        assert.ok(error instanceof ConnectionError && error.cause instanceof Error);
        return error.cause.message === 'vault is closed';
      });
      await assert.rejects(connect({ user, password: () => '' }), AuthenticationError);
    });
  }

  test('trust asks for no password', async () => {
    assert.equal(await connectsEncrypted({ user: 'role_trust', sslMode: 'disable' }), false);
  });

  test('SCRAM prepares passwords as the server does', async () => {
    await connectsEncrypted({ user: 'role_odd', password: ODD_PASSWORD });
    await connectsEncrypted({ user: 'role_odd', password: 'fix 2é' });
  });

  test('channel binding: SCRAM-SHA-256-PLUS where it can be, refused where it must be and cannot', async () => {
    const scram = { user: 'role_scram', password: 'secret' };
    assert.ok(await connectsEncrypted({ ...scram, sslMode: 'require', channelBinding: 'require' }));
    assert.ok(await connectsEncrypted({ ...scram, sslMode: 'require', channelBinding: 'disable' }));
    const refused: ConnectionOptions[] = [
      { ...scram, sslMode: 'disable', channelBinding: 'require' },
      { user: 'role_trust', sslMode: 'require', channelBinding: 'require' },
      { user: 'role_password', password: 'secret', sslMode: 'require', channelBinding: 'require' },
      { user: 'role_md5', password: 'secret', sslMode: 'require', channelBinding: 'require' },
    ];
    for (const options of refused) {
      await assert.rejects(connect(options), { name: 'AuthenticationError', message: /channel_binding=require/ });
    }
  });

  test('require_auth refuses what is not allowed before the password leaves', async () => {
    const refused: ConnectionOptions[] = [
      { user: 'role_password', password: () => assert.fail('asked'), requireAuth: 'scram-sha-256' },
      { user: 'role_md5', password: () => assert.fail('asked'), requireAuth: '!md5,!password' },
      { user: 'role_scram', password: () => assert.fail('asked'), requireAuth: 'md5' },
      { user: 'role_trust', requireAuth: 'scram-sha-256,md5' },
    ];
    for (const options of refused) {
      await assert.rejects(connect(options), { name: 'AuthenticationError', message: /require_auth/ });
    }
    await connectsEncrypted({ user: 'role_trust', requireAuth: 'none' });
  });

  test('sslmode: what is verified', async () => {
    const user = 'role_trust';
    const root = file('root.crt');
    const other = file('other.crt');
    assert.equal(await connectsEncrypted({ user, sslMode: 'disable' }), false);
    assert.equal(await connectsEncrypted({ user, sslMode: 'allow' }), false);
    assert.equal(await connectsEncrypted({ user, sslMode: 'prefer' }), true);
    assert.equal(await connectsEncrypted({ user, sslMode: 'require' }), true);
    // As in libpq, a root certificate makes require verify the chain.
    assert.equal(await connectsEncrypted({ user, sslMode: 'require', sslRootCert: root }), true);
    assert.equal(await connectsEncrypted({ user, sslMode: 'verify-ca', sslRootCert: root }), true);
    assert.equal(await connectsEncrypted({ user, host: 'localhost', sslMode: 'verify-full', sslRootCert: root }), true);
    const refused: [ConnectionOptions, RegExp][] = [
      [{ sslMode: 'require', sslRootCert: other }, /certificate/],
      [{ sslMode: 'verify-ca', sslRootCert: other }, /certificate/],
      [{ sslMode: 'verify-full', sslRootCert: root }, /altname|IP/i],
      [{ sslMode: 'verify-full', host: 'localhost' }, /certificate/],
      [{ sslRootCert: 'system', host: 'localhost' }, /certificate/],
    ];
    for (const [options, message] of refused) {
      await assert.rejects(connect({ user, ...options }), (error) => {
        assert.ok(error instanceof ConnectionError, String(error));
        assert.match(error.message, message);
        assert.equal(error.phase, 'tls');
        return !error.retryable;
      });
    }
  });

  test('prefer and allow try the other way when pg_hba.conf has no line for the first', async () => {
    assert.equal(await connectsEncrypted({ user: 'role_nossl', sslMode: 'prefer' }), false);
    assert.equal(await connectsEncrypted({ user: 'role_ssl', sslMode: 'allow' }), true);
    await assert.rejects(connect({ user: 'role_nossl', sslMode: 'require' }), { sqlState: '28000' });
    await assert.rejects(connect({ user: 'role_ssl', sslMode: 'disable' }), { sqlState: '28000' });
  });

  test('client certificates', async () => {
    const user = 'role_cert';
    const client = { sslMode: 'require', sslCert: file('client.crt'), sslKey: file('client.key') } as const;
    assert.ok(await connectsEncrypted({ user, ...client }));
    const locked = { sslMode: 'require', sslCert: file('locked.crt'), sslKey: file('locked.key') } as const;
    assert.ok(await connectsEncrypted({ user, ...locked, sslPassword: 'open sesame' }));
    await assert.rejects(connect({ user, ...locked, sslPassword: 'wrong' }), ConfigurationError);
    await assert.rejects(connect({ user, ...locked }), ConfigurationError);
    await assert.rejects(connect({ user, sslMode: 'require' }), AuthenticationError);
    await assert.rejects(connect({ user: 'role_cert', ...client, sslKey: file('broken.key') }), ConfigurationError);
    await assert.rejects(connect({ user, ...client, sslCert: file('missing.crt') }), (error) => {
      return error instanceof ConfigurationError && error.option === 'connection.sslCert';
    });
    const stranger = { sslMode: 'require', sslCert: file('stranger.crt'), sslKey: file('stranger.key') } as const;
    await assert.rejects(connect({ user, ...stranger }), ConnectionError);
  });

  test('direct negotiation, from 17 on; an error that says so before', async () => {
    const options = { user: 'role_scram', password: 'secret', sslNegotiation: 'direct' } as const;
    if (PG_MAJOR >= 17) {
      assert.ok(await connectsEncrypted(options));
      assert.ok(await connectsEncrypted({ ...options, channelBinding: 'require' }));
    } else {
      await assert.rejects(connect({ ...options, connectTimeoutMs: 5_000 }), ConnectionError);
    }
  });

  test('Unix socket, without TLS whatever the mode, and a fallback to the second host', async () => {
    const { socketDirectory, port } = server;
    assert.equal(await connectsEncrypted({ user: 'role_trust', host: socketDirectory, sslMode: 'require' }), false);
    await using connection = await connect({ user: 'role_trust', host: ['/nonexistent', socketDirectory] });
    assert.equal(connection.host, `${socketDirectory}/.s.PGSQL.${port}`);
  });

  test('password file: found, ignored when others can read it, physical replication under its own name', async () => {
    const passFile = file('pass');
    const line = (database: string) => `127.0.0.1:${server.port}:${database}:role_password:secret\n`;
    await writeFile(passFile, `# comment\n*:1:*:*:wrong\n${line('postgres')}`, { mode: 0o600 });
    await connectsEncrypted({ user: 'role_password', passFile });
    await assert.rejects(connect({ user: 'role_password', passFile }, 'physical'), /none was given/);
    await writeFile(passFile, line('replication'));
    await (await connect({ user: 'role_password', passFile }, 'physical')).close();
    await chmod(passFile, 0o644);
    await assert.rejects(connect({ user: 'role_password', passFile }, 'physical'), /ignored: others have access/);
  });

  test('cancel works over TLS and over a Unix socket', async () => {
    for (const options of [{ sslMode: 'require' }, { host: server.socketDirectory }] as const) {
      await using connection = await connect({ user: 'role_trust', ...options });
      const sleeping = assert.rejects(connection.query('select pg_sleep(30)'), { sqlState: '57014' });
      await new Promise((resolve) => setTimeout(resolve, 100));
      await connection.cancel();
      await sleeping;
    }
  });

  test('large results and many queries over TLS', async () => {
    await using connection = await connect({ user: 'role_trust', sslMode: 'require' });
    const [result] = await connection.query("select repeat('é', 1000000), i from generate_series(1, 10) i");
    assert.deepEqual(
      result?.rows.map(([value]) => value?.length),
      Array.from({ length: 10 }, () => 1_000_000),
    );
  });
});
