import type { ConnectionConfig } from '../connection/connection-options.js';
import type { ConnectionSettings, SettingName } from '../connection/connection-settings.js';
import { Secret } from '../connection/secret.js';

export const RECOVERY_CONFIGURATION = 'postgresql.auto.conf';
export const STANDBY_SIGNAL = 'standby.signal';

/** What else of a connection a standby is told, and the first server that can make something of it. */
const KNOWN_SINCE = [
  ['dbname', 170_000],
  ['sslnegotiation', 170_000],
  ['sslcert', 0],
  ['sslkey', 0],
  ['sslpassword', 0],
  ['sslrootcert', 0],
  ['sslcrl', 0],
  ['sslsni', 0],
  ['ssl_min_protocol_version', 0],
  ['ssl_max_protocol_version', 0],
  ['require_auth', 160_000],
  ['connect_timeout', 0],
  ['keepalives', 0],
  ['keepalives_idle', 0],
  ['application_name', 0],
  ['options', 0],
  ['target_session_attrs', 0],
] as const satisfies readonly (readonly [SettingName, number])[];
/** `sslrootcert=system`: before, that was a file. */
const SYSTEM_ROOTS_SINCE = 160_000;

/**
 * Lines of postgresql.auto.conf that make a standby connect as this backup did, by its slot if one is named, with every
 * setting that was given and that a libpq of the server's version knows. A password that is fetched when it is needed
 * is not in them.
 *
 * @see https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-PRIMARY-CONNINFO
 */
export function recoveryLines(
  config: ConnectionConfig,
  given: ConnectionSettings['settings'],
  slotName: string | undefined,
  serverVersion: number,
): string {
  const { hosts, user, password, passFile, tls, channelBinding } = config;
  const settings: readonly (readonly [string, string | undefined])[] = [
    ['user', user],
    ['password', password instanceof Secret ? password.reveal() : undefined],
    ['passfile', passFile],
    ['channel_binding', channelBinding],
    ...KNOWN_SINCE.map(([name, since]) => {
      const value = given.get(name)?.value;
      const isKnown = value !== undefined && serverVersion >= firstVersion(name, value, since);
      return [name, isKnown ? libpqValue(name, value) : undefined] as const;
    }),
    ['host', hosts.map(({ host }) => host).join(',')],
    ['port', hosts.map(({ port }) => port).join(',')],
    ['sslmode', tls.mode],
  ];
  const text = settings.flatMap(([name, value]) => (value ? [`${name}=${quoteValue(value)}`] : [])).join(' ');
  const conninfo = text.replaceAll('\\', '\\\\').replaceAll("'", "''");
  const slot = slotName === undefined ? '' : `primary_slot_name = '${slotName}'\n`;
  return `primary_conninfo = '${conninfo}'\n${slot}`;
}

function firstVersion(name: SettingName, value: string, since: number): number {
  return name === 'sslrootcert' && value === 'system' ? SYSTEM_ROOTS_SINCE : since;
}

/** libpq's seconds are whole. */
function libpqValue(name: SettingName, value: string): string {
  return name === 'connect_timeout' || name === 'keepalives_idle' ? String(Math.ceil(Number(value))) : value;
}

/** As libpq reads values of a connection string. */
function quoteValue(value: string): string {
  if (/^[\w./,:-]+$/.test(value)) return value;
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
