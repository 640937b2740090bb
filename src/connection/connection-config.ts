import { userInfo } from 'node:os';
import { ConfigurationError } from '../errors.js';
import {
  CHANNEL_BINDINGS,
  type ConnectionConfig,
  type ConnectionInput,
  SSL_MODES,
  SSL_NEGOTIATIONS,
  type SslMode,
  TARGET_SESSION_ATTRS,
  TLS_VERSIONS,
  type TlsConfig,
} from './connection-options.js';
import { type ConnectionSettings, collectSettings, type SettingName } from './connection-settings.js';
import { parseRequireAuth } from './require-auth.js';
import { Secret } from './secret.js';
import type { ServerAddress } from './server-address.js';

export type { ConnectionConfig, ConnectionInput, ConnectionOptions } from './connection-options.js';

export const DEFAULT_HOST = 'localhost';
export const DEFAULT_PORT = 5432;
export const DEFAULT_APPLICATION_NAME = 'pg-walstream';
/** For each host: connecting, TLS and authentication together. */
export const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;
export const DEFAULT_KEEP_ALIVE_IDLE_MS = 60_000;
/** Longest time that node's timers can hold. */
const MAX_TIMEOUT_S = 2_147_483;

/**
 * Everything needed to connect, from a connection string (libpq's URI or `keyword=value` form), an object, or
 * `DATABASE_URL`; the `PG*` variables fill what these leave out. Throws {@link ConfigurationError} that names the
 * setting at fault where it was written, and never shows a value.
 *
 * @see https://www.postgresql.org/docs/current/libpq-connect.html
 */
export function resolveConnectionConfig(
  input: ConnectionInput,
  env: NodeJS.ProcessEnv = process.env,
): ConnectionConfig {
  const collected = collectSettings(input, env);
  const read = new SettingReader(collected);
  const user = read.text('user') ?? operatingSystemUser();
  return {
    hosts: resolveHosts(read),
    user,
    password: resolvePassword(collected, read),
    passFile: read.text('passfile'),
    database: read.text('dbname') ?? user,
    tls: resolveTls(read),
    channelBinding: read.oneOf('channel_binding', CHANNEL_BINDINGS) ?? 'prefer',
    requireAuth: parseRequireAuth(read.text('require_auth') ?? '', read.optionOf('require_auth')),
    connectTimeoutMs: read.seconds('connect_timeout') ?? DEFAULT_CONNECT_TIMEOUT_MS,
    keepAlive: {
      enabled: read.flag('keepalives') ?? true,
      idleMs: read.seconds('keepalives_idle') ?? DEFAULT_KEEP_ALIVE_IDLE_MS,
    },
    applicationName: read.text('application_name') ?? DEFAULT_APPLICATION_NAME,
    options: read.text('options'),
    targetSessionAttrs: read.oneOf('target_session_attrs', TARGET_SESSION_ATTRS) ?? 'any',
  };
}

function resolvePassword(collected: ConnectionSettings, read: SettingReader): ConnectionConfig['password'] {
  if (collected.passwordProvider !== undefined) return collected.passwordProvider;
  const password = read.text('password');
  return password === undefined ? undefined : new Secret(password);
}

/** As in libpq: as many ports as hosts, or one for all; an empty name or port is the default. */
function resolveHosts(read: SettingReader): readonly [ServerAddress, ...ServerAddress[]] {
  const names = (read.text('host') ?? '').split(',').map((name) => name.trim() || DEFAULT_HOST);
  const ports = (read.text('port') ?? '').split(',').map((port) => port.trim());
  const option = read.optionOf('port');
  if (ports.length !== 1 && ports.length !== names.length) {
    throw new ConfigurationError(`${option}: ${ports.length} ports for ${names.length} hosts`, { option });
  }
  const address = (name: string, index: number): ServerAddress => {
    const text = ports.length === 1 ? ports[0] : ports[index];
    const port = text === undefined || text === '' ? DEFAULT_PORT : /^\d{1,5}$/.test(text) ? Number(text) : 0;
    if (port < 1 || port > 65535) {
      throw new ConfigurationError(`${option}: a port is an integer from 1 to 65535`, { option });
    }
    return { host: name, port };
  };
  const [first = DEFAULT_HOST, ...others] = names;
  return [address(first, 0), ...others.map((name, index) => address(name, index + 1))];
}

function resolveTls(read: SettingReader): TlsConfig {
  const rootCert = read.text('sslrootcert');
  const negotiation = read.oneOf('sslnegotiation', SSL_NEGOTIATIONS) ?? 'postgres';
  const mode = read.oneOf('sslmode', SSL_MODES) ?? defaultSslMode(rootCert, negotiation);
  const option = read.optionOf('sslmode');
  if (rootCert === 'system' && mode !== 'verify-full') {
    // Anybody can have a certificate of a public authority: without the host's name it proves nothing.
    throw new ConfigurationError(`${option}: must be verify-full with sslrootcert=system`, { option });
  }
  if (mode === 'verify-ca' && rootCert === undefined) {
    throw new ConfigurationError(`${option}: verify-ca needs sslrootcert, the authority to trust`, { option });
  }
  if (negotiation === 'direct' && (mode === 'disable' || mode === 'allow' || mode === 'prefer')) {
    throw new ConfigurationError(`${option}: must be require or stronger with sslnegotiation=direct`, { option });
  }
  const [cert, key] = [read.text('sslcert'), read.text('sslkey')];
  if ((cert === undefined) !== (key === undefined)) {
    const missing = read.optionOf(cert === undefined ? 'sslcert' : 'sslkey');
    throw new ConfigurationError(`${missing}: a client certificate needs both sslcert and sslkey`, { option: missing });
  }
  const passphrase = read.text('sslpassword');
  return {
    mode,
    negotiation,
    rootCert,
    cert,
    key,
    passphrase: passphrase === undefined ? undefined : new Secret(passphrase),
    crl: read.text('sslcrl'),
    sni: read.flag('sslsni') ?? true,
    minVersion: read.oneOf('ssl_min_protocol_version', TLS_VERSIONS) ?? 'TLSv1.2',
    maxVersion: read.oneOf('ssl_max_protocol_version', TLS_VERSIONS),
    writtenIn: {
      rootCert: read.optionOf('sslrootcert'),
      cert: read.optionOf('sslcert'),
      key: read.optionOf('sslkey'),
      crl: read.optionOf('sslcrl'),
    },
  };
}

function defaultSslMode(rootCert: string | undefined, negotiation: string): SslMode {
  if (rootCert === 'system') return 'verify-full';
  return negotiation === 'direct' ? 'require' : 'prefer';
}

function operatingSystemUser(): string {
  try {
    return userInfo().username;
  } catch (cause) {
    throw new ConfigurationError('connection.user: not given, and the operating system knows no name for this user', {
      option: 'connection.user',
      cause,
    });
  }
}

/** Typed reading of settings; every complaint names the place where the setting was written. */
class SettingReader {
  readonly optionOf: (name: SettingName) => string;
  readonly #settings: ConnectionSettings['settings'];

  constructor({ settings, optionOf }: ConnectionSettings) {
    this.#settings = settings;
    this.optionOf = optionOf;
  }

  /** An empty setting is as good as none, as in libpq. */
  text(name: SettingName): string | undefined {
    const value = this.#settings.get(name)?.value;
    // A NUL would end the setting early in the start-up message, and begin another.
    if (value?.includes('\0')) throw this.#wrong(name, 'must not contain NUL');
    return value === '' ? undefined : value;
  }

  oneOf<T extends string>(name: SettingName, allowed: readonly T[]): T | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = allowed.find((candidate) => candidate === text);
    if (value === undefined) throw this.#wrong(name, `must be one of ${allowed.join(', ')}`);
    return value;
  }

  flag(name: SettingName): boolean | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (text !== '0' && text !== '1') throw this.#wrong(name, 'must be 0 or 1');
    return text === '1';
  }

  /** In milliseconds. */
  seconds(name: SettingName): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!/^[\d.e+-]+$/.test(text) || !(value >= 0 && value <= MAX_TIMEOUT_S)) {
      throw this.#wrong(name, 'must be a number, 0 or more');
    }
    // 0 would be no bound at all.
    return value > 0 ? Math.max(Math.round(value * 1000), 1) : 0;
  }

  #wrong(name: SettingName, what: string): ConfigurationError {
    const option = this.optionOf(name);
    return new ConfigurationError(`${option}: ${what}`, { option });
  }
}
