import type { ConnectionConfig } from '../connection/connection-options.js';
import { Secret } from '../connection/secret.js';

/**
 * Line of postgresql.auto.conf that makes a standby connect as this backup did. A password that is fetched when it is
 * needed is not in it.
 *
 * @see https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-PRIMARY-CONNINFO
 */
export function recoveryLine(config: ConnectionConfig): string {
  const { hosts, user, password, passFile, tls, channelBinding } = config;
  const settings: readonly (readonly [string, string | undefined])[] = [
    ['user', user],
    ['password', password instanceof Secret ? password.reveal() : undefined],
    ['passfile', passFile],
    ['channel_binding', channelBinding],
    ['host', hosts.map(({ host }) => host).join(',')],
    ['port', hosts.map(({ port }) => port).join(',')],
    ['sslmode', tls.mode],
    ['sslcert', tls.cert],
    ['sslkey', tls.key],
    ['sslrootcert', tls.rootCert],
    ['sslcrl', tls.crl],
  ];
  const given = settings.filter(([, value]) => value !== undefined);
  const text = given.map(([name, value = '']) => `${name}=${quoteValue(value)}`).join(' ');
  return `primary_conninfo = '${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

/** As libpq reads values of a connection string. */
function quoteValue(value: string): string {
  if (/^[\w./,:-]+$/.test(value)) return value;
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
