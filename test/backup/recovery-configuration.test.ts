import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recoveryLines } from '../../src/backup/recovery-configuration.js';
import { resolveConnectionConfig } from '../../src/connection/connection-config.js';
import type { ConnectionInput } from '../../src/connection/connection-options.js';
import { collectSettings } from '../../src/connection/connection-settings.js';

function lines(connection: ConnectionInput, serverVersion: number, env: NodeJS.ProcessEnv = {}): string {
  const { settings } = collectSettings(connection, env);
  return recoveryLines(resolveConnectionConfig(connection, env), settings, 'standby', serverVersion);
}

const ALL =
  'host=a,b port=1,2 user=u password=pw dbname=d sslmode=verify-full sslnegotiation=direct sslrootcert=system ' +
  'sslcert=/c sslkey=/k sslpassword=x sslcrl=/l sslsni=0 ssl_min_protocol_version=TLSv1.3 ' +
  'ssl_max_protocol_version=TLSv1.3 channel_binding=require require_auth=scram-sha-256 connect_timeout=1.5 ' +
  "keepalives=1 keepalives_idle=30 application_name='my standby' options='-c wal_sender_timeout=5s' " +
  'target_session_attrs=read-write';

test('a standby connects with all that was given', () => {
  assert.equal(
    lines(ALL, 170_000),
    "primary_conninfo = 'user=u password=pw channel_binding=require dbname=d sslnegotiation=direct sslcert=/c sslkey=/k " +
      'sslpassword=x sslrootcert=system sslcrl=/l sslsni=0 ssl_min_protocol_version=TLSv1.3 ' +
      'ssl_max_protocol_version=TLSv1.3 require_auth=scram-sha-256 connect_timeout=2 keepalives=1 keepalives_idle=30 ' +
      "application_name=''my standby'' options=''-c wal_sender_timeout=5s'' target_session_attrs=read-write " +
      "host=a,b port=1,2 sslmode=verify-full'\nprimary_slot_name = 'standby'\n",
  );
});

test('and with nothing that its libpq does not know, or that was not given', () => {
  const names = (text: string) => [...text.matchAll(/[' ](\w+)=/g)].map(([, name]) => name);
  const removed = (version: number) => {
    const left = new Set(names(lines(ALL, version)));
    return names(lines(ALL, 170_000)).filter((name) => !left.has(name));
  };
  assert.deepEqual(removed(160_000), ['dbname', 'sslnegotiation']);
  assert.deepEqual(removed(150_000), ['dbname', 'sslnegotiation', 'sslrootcert', 'require_auth']);
  assert.match(lines('sslrootcert=/r user=u', 150_000), /sslrootcert=\/r/);
  assert.deepEqual(names(lines('host=a user=u', 180_000)), ['user', 'channel_binding', 'host', 'port', 'sslmode']);
  const given = lines({ user: 'u', connectTimeoutMs: 3_000, keepAlive: false }, 180_000, { PGAPPNAME: 'by-env' });
  assert.match(given, / connect_timeout=3 keepalives=0 application_name=by-env host=localhost /);
});
