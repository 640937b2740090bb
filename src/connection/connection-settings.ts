import { plainObject } from '../errors/option-checks.js';
import { ConfigurationError } from '../errors.js';
import type { ConnectionInput, ConnectionOptions } from './connection-options.js';
import { parseConnectionString, settingOption } from './connection-string.js';

/** libpq's names of the settings that have a meaning here, with the variable and the object key of each. */
const SETTINGS = {
  host: { env: 'PGHOST', key: 'host' },
  port: { env: 'PGPORT', key: 'port' },
  user: { env: 'PGUSER', key: 'user' },
  password: { env: 'PGPASSWORD', key: 'password' },
  passfile: { env: 'PGPASSFILE', key: 'passFile' },
  dbname: { env: 'PGDATABASE', key: 'database' },
  sslmode: { env: 'PGSSLMODE', key: 'sslMode' },
  sslnegotiation: { env: 'PGSSLNEGOTIATION', key: 'sslNegotiation' },
  sslrootcert: { env: 'PGSSLROOTCERT', key: 'sslRootCert' },
  sslcert: { env: 'PGSSLCERT', key: 'sslCert' },
  sslkey: { env: 'PGSSLKEY', key: 'sslKey' },
  sslpassword: { env: undefined, key: 'sslPassword' },
  sslcrl: { env: 'PGSSLCRL', key: 'sslCrl' },
  sslsni: { env: 'PGSSLSNI', key: 'sslSni' },
  ssl_min_protocol_version: { env: 'PGSSLMINPROTOCOLVERSION', key: 'sslMinProtocolVersion' },
  ssl_max_protocol_version: { env: 'PGSSLMAXPROTOCOLVERSION', key: 'sslMaxProtocolVersion' },
  channel_binding: { env: 'PGCHANNELBINDING', key: 'channelBinding' },
  require_auth: { env: 'PGREQUIREAUTH', key: 'requireAuth' },
  connect_timeout: { env: 'PGCONNECT_TIMEOUT', key: 'connectTimeoutMs' },
  keepalives: { env: undefined, key: 'keepAlive' },
  keepalives_idle: { env: undefined, key: 'keepAliveIdleMs' },
  application_name: { env: 'PGAPPNAME', key: 'applicationName' },
  options: { env: 'PGOPTIONS', key: 'options' },
  target_session_attrs: { env: 'PGTARGETSESSIONATTRS', key: 'targetSessionAttrs' },
} as const satisfies Record<string, { env: string | undefined; key: keyof ConnectionOptions }>;

export type SettingName = keyof typeof SETTINGS;

/**
 * A setting's text and where it was written, for messages: `connection.sslmode`, `connection.sslMode`,
 * `DATABASE_URL.sslmode` or `PGSSLMODE`.
 */
export interface Setting {
  readonly value: string;
  readonly option: string;
}

export interface ConnectionSettings {
  readonly settings: ReadonlyMap<SettingName, Setting>;
  readonly passwordProvider: (() => string | Promise<string>) | undefined;
  /** Where a setting was written or, when it was not, where it would be. */
  readonly optionOf: (name: SettingName) => string;
}

/**
 * Parameters of libpq that a connection string may carry without effect here: the encoding and the kind of replication
 * are this client's, GSSAPI encryption and TLS compression are never used.
 */
const TOLERATED: ReadonlySet<string> = new Set([
  'replication',
  'client_encoding',
  'fallback_application_name',
  'gssencmode',
  'sslcompression',
]);

/** libpq's seconds are milliseconds in the object. */
const SECONDS: ReadonlySet<SettingName> = new Set(['connect_timeout', 'keepalives_idle']);

/**
 * Every setting from the input, with the `PG*` variables for what it leaves out. An absent input is `DATABASE_URL`.
 * Throws {@link ConfigurationError} for a name that is not known or a value of the wrong kind.
 */
export function collectSettings(input: ConnectionInput, env: NodeJS.ProcessEnv): ConnectionSettings {
  const given = input === undefined ? env.DATABASE_URL || undefined : input;
  const origin = input === undefined ? 'DATABASE_URL' : 'connection';
  const settings = new Map<SettingName, Setting>();
  let passwordProvider: ConnectionSettings['passwordProvider'];
  if (typeof given === 'string' || given instanceof URL) {
    addFromString(settings, given instanceof URL ? given.href : given, origin);
  } else if (given !== undefined) {
    passwordProvider = addFromObject(settings, given);
  }
  for (const [name, { env: variable }] of entriesOf(SETTINGS)) {
    const value = variable === undefined ? undefined : env[variable];
    // As in libpq, an empty variable is as good as none.
    if (variable === undefined || value === undefined || value === '' || settings.has(name)) continue;
    if (name === 'password' && passwordProvider !== undefined) continue;
    settings.set(name, { value, option: variable });
  }
  const optionOf = (name: SettingName) => settings.get(name)?.option ?? optionLike(given, origin, name);
  return { settings, passwordProvider, optionOf };
}

/** Where a setting would be, had it been written as the others are. */
function optionLike(given: ConnectionInput, origin: string, name: SettingName): string {
  const { env, key } = SETTINGS[name];
  if (typeof given === 'string' || given instanceof URL) return settingOption(origin, name);
  return (given === undefined && env) || `connection.${key}`;
}

function addFromString(settings: Map<SettingName, Setting>, text: string, origin: string): void {
  for (const [name, value] of parseConnectionString(text, origin)) {
    const option = settingOption(origin, name);
    if (isSettingName(name)) {
      settings.set(name, { value, option });
    } else if (name === 'ssl' && value === 'true') {
      // libpq takes JDBC's spelling too.
      settings.set('sslmode', { value: 'require', option });
    } else if (!TOLERATED.has(name)) {
      throw new ConfigurationError(`${option}: this connection parameter is not supported`, { option });
    } else if (name === 'gssencmode' && value === 'require') {
      throw new ConfigurationError(`${option}: GSSAPI encryption is not supported`, { option });
    }
  }
}

function addFromObject(
  settings: Map<SettingName, Setting>,
  options: ConnectionOptions,
): ConnectionSettings['passwordProvider'] {
  plainObject(options, 'connection', 'a connection string or an object');
  let passwordProvider: ConnectionSettings['passwordProvider'];
  for (const [key, value] of Object.entries(options) as [string, unknown][]) {
    const option = `connection.${key}`;
    const name = NAME_BY_KEY.get(key);
    if (name === undefined) throw new ConfigurationError(`${option}: unknown option`, { option });
    if (value === undefined || value === null) continue;
    if (name === 'password' && typeof value === 'function') {
      passwordProvider = value as () => string | Promise<string>;
    } else {
      settings.set(name, { value: settingText(name, value, option), option });
    }
  }
  return passwordProvider;
}

function settingText(name: SettingName, value: unknown, option: string): string {
  const list = Array.isArray(value) && (name === 'host' || name === 'port') ? value : undefined;
  if (list !== undefined) return list.map((item) => settingText(name, item, option)).join(',');
  switch (name) {
    case 'port':
    case 'connect_timeout':
    case 'keepalives_idle':
      if (typeof value !== 'number' || !Number.isFinite(value)) throw wrongKind(option, 'a number');
      return String(SECONDS.has(name) ? value / 1000 : value);
    case 'keepalives':
    case 'sslsni':
      if (typeof value !== 'boolean') throw wrongKind(option, 'true or false');
      return value ? '1' : '0';
    default:
      if (typeof value !== 'string') throw wrongKind(option, 'text');
      return value;
  }
}

const NAME_BY_KEY: ReadonlyMap<string, SettingName> = new Map(
  entriesOf(SETTINGS).map(([name, { key }]) => [key, name]),
);

function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(SETTINGS, name);
}

function entriesOf<K extends string, V>(record: Readonly<Record<K, V>>): [K, V][] {
  return Object.entries(record) as [K, V][];
}

function wrongKind(option: string, expected: string): ConfigurationError {
  return new ConfigurationError(`${option}: expected ${expected}`, { option });
}
