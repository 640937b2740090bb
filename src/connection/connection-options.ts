import type { AuthMethod } from './require-auth.js';
import type { Secret } from './secret.js';
import type { ServerAddress } from './server-address.js';
import type { KeepAlive } from './socket-transport.js';

/** `allow` and `prefer` protect against no attacker; `require` against listeners; the rest against impostors too. */
export const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof SSL_MODES)[number];

export const SSL_NEGOTIATIONS = ['postgres', 'direct'] as const;
export type SslNegotiation = (typeof SSL_NEGOTIATIONS)[number];

export const CHANNEL_BINDINGS = ['disable', 'prefer', 'require'] as const;
export type ChannelBinding = (typeof CHANNEL_BINDINGS)[number];

export const TARGET_SESSION_ATTRS = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'] as const;
export type TargetSessionAttrs = (typeof TARGET_SESSION_ATTRS)[number];

export const TLS_VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;
export type TlsVersion = (typeof TLS_VERSIONS)[number];

/** A password, or what fetches it: called each time a server asks, so that short-lived tokens stay fresh. */
export type PasswordOption = string | (() => string | Promise<string>);

/**
 * A connection as an object. What is left out comes from the `PG*` variables, then from the default. Meanings are those
 * of libpq's parameters of the same name.
 *
 * @see https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
 */
export interface ConnectionOptions {
  /** Host name, address or folder of a Unix socket; several are tried in turn. Default `localhost`. */
  host?: string | readonly string[];
  /** One for all hosts, or one for each. Default 5432. */
  port?: number | readonly number[];
  /** Default: the name of the operating system's user. */
  user?: string;
  password?: PasswordOption;
  /** Where to look when no password is given. Default `~/.pgpass`. */
  passFile?: string;
  /** Default: the user's name. */
  database?: string;
  /** Default `prefer`. */
  sslMode?: SslMode;
  /** `direct` starts with TLS, without asking (PostgreSQL 17 and later). Default `postgres`. */
  sslNegotiation?: SslNegotiation;
  /** File of root certificates, or `system` for those that the system and Node.js trust. */
  sslRootCert?: string;
  /** Files of the client's certificate and key, and the key's passphrase. */
  sslCert?: string;
  sslKey?: string;
  sslPassword?: string;
  /** File of a certificate revocation list. */
  sslCrl?: string;
  /** Whether to tell the server its host name in clear text (SNI). Default true. */
  sslSni?: boolean;
  /** Default `TLSv1.2`. */
  sslMinProtocolVersion?: TlsVersion;
  sslMaxProtocolVersion?: TlsVersion;
  /** Default `prefer`: used when the server offers it. */
  channelBinding?: ChannelBinding;
  /** Comma-separated methods that are allowed or, each with `!`, refused. */
  requireAuth?: string;
  /** Bound on connecting, TLS and authentication together, for each host. Default 10,000; 0 waits for ever. */
  connectTimeoutMs?: number;
  /** Default true. */
  keepAlive?: boolean;
  /** Silence before the kernel probes. Default 60,000. */
  keepAliveIdleMs?: number;
  /** Default `pg-walstream`. */
  applicationName?: string;
  /** Command-line options for the server, such as `-c lock_timeout=5s`. */
  options?: string;
  /** Which of several hosts will do. Default `any`. */
  targetSessionAttrs?: TargetSessionAttrs;
}

/** What a user may give: a connection string, an object, or nothing for `DATABASE_URL` and the `PG*` variables. */
export type ConnectionInput = string | URL | ConnectionOptions | undefined;

/** TLS settings as given; files are read when a connection is made. */
export interface TlsConfig {
  readonly mode: SslMode;
  readonly negotiation: SslNegotiation;
  readonly rootCert: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly passphrase: Secret | undefined;
  readonly crl: string | undefined;
  readonly sni: boolean;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion | undefined;
}

/** A connection with every setting resolved; see {@link resolveConnectionConfig}. */
export interface ConnectionConfig {
  readonly hosts: readonly [ServerAddress, ...ServerAddress[]];
  readonly user: string;
  readonly password: Secret | (() => string | Promise<string>) | undefined;
  readonly passFile: string | undefined;
  readonly database: string;
  readonly tls: TlsConfig;
  readonly channelBinding: ChannelBinding;
  readonly requireAuth: ReadonlySet<AuthMethod>;
  /** 0: no bound. */
  readonly connectTimeoutMs: number;
  readonly keepAlive: KeepAlive;
  readonly applicationName: string;
  readonly options: string | undefined;
  readonly targetSessionAttrs: TargetSessionAttrs;
}
