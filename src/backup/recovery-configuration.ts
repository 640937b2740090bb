import type { ConnectionConfig } from '../connection/connection-options.js';
import { Secret } from '../connection/secret.js';

export const RECOVERY_CONFIGURATION = 'postgresql.auto.conf';
export const STANDBY_SIGNAL = 'standby.signal';

/**
 * Lines of postgresql.auto.conf that make a standby connect as this backup did, by its slot if one is named. A password
 * that is fetched when it is needed is not in them.
 *
 * @see https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-PRIMARY-CONNINFO
 */
export function recoveryLines(config: ConnectionConfig, slotName: string | undefined): string {
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
  const conninfo = text.replaceAll('\\', '\\\\').replaceAll("'", "''");
  const slot = slotName === undefined ? '' : `primary_slot_name = '${slotName}'\n`;
  return `primary_conninfo = '${conninfo}'\n${slot}`;
}

/** As libpq reads values of a connection string. */
function quoteValue(value: string): string {
  if (/^[\w./,:-]+$/.test(value)) return value;
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
