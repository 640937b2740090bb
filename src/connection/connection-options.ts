import type { AuthMethod } from './require-auth.js';
import type { Secret } from './secret.js';
import type { ServerAddress } from './server-address.js';
import type { KeepAlive } from './socket-transport.js';

export const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
/**
 * libpq's `sslmode`. `allow` and `prefer` protect against no attacker; `require` against listeners; the rest against
 * impostors too.
 *
 * @useDeclaredType
 */
export type SslMode = (typeof SSL_MODES)[number];

export const SSL_NEGOTIATIONS = ['postgres', 'direct'] as const;
/**
 * libpq's `sslnegotiation`: `direct` starts with TLS, without asking (PostgreSQL 17 and later).
 *
 * @useDeclaredType
 */
export type SslNegotiation = (typeof SSL_NEGOTIATIONS)[number];

export const CHANNEL_BINDINGS = ['disable', 'prefer', 'require'] as const;
/**
 * libpq's `channel_binding`: whether SCRAM must be bound to the TLS connection.
 *
 * @useDeclaredType
 */
export type ChannelBinding = (typeof CHANNEL_BINDINGS)[number];

export const TARGET_SESSION_ATTRS = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'] as const;
/**
 * libpq's `target_session_attrs`: which of several hosts will do.
 *
 * @useDeclaredType
 */
export type TargetSessionAttrs = (typeof TARGET_SESSION_ATTRS)[number];

export const TLS_VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;
/**
 * Versions of TLS, the bounds of what is agreed on.
 *
 * @useDeclaredType
 */
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
  /** Default: `PGPASSWORD`, then the password file. */
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
  /** File of the client's certificate; with `sslKey` or not at all. */
  sslCert?: string;
  /** File of the key to `sslCert`. */
  sslKey?: string;
  /** Passphrase of `sslKey`. */
  sslPassword?: string;
  /** File of a certificate revocation list. */
  sslCrl?: string;
  /** Whether to tell the server its host name in clear text (SNI). Default true. */
  sslSni?: boolean;
  /** Default `TLSv1.2`. */
  sslMinProtocolVersion?: TlsVersion;
  /** Default: the newest that Node.js has. */
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
  /** As `sslMode` in {@link ConnectionOptions}. */
  readonly mode: SslMode;
  /** Whether TLS begins at once, or the server is asked first. */
  readonly negotiation: SslNegotiation;
  /** Path of the root certificates, or `system`. */
  readonly rootCert: string | undefined;
  /** Path of the client's certificate. */
  readonly cert: string | undefined;
  /** Path of the client's key. */
  readonly key: string | undefined;
  /** Of the key. */
  readonly passphrase: Secret | undefined;
  /** Path of a certificate revocation list. */
  readonly crl: string | undefined;
  /** Whether the server is told its host name in clear text. */
  readonly sni: boolean;
  /** The oldest version that is accepted. */
  readonly minVersion: TlsVersion;
  /** The newest; `undefined`: any that Node.js has. */
  readonly maxVersion: TlsVersion | undefined;
  /** The option of each file, for the error when it cannot be read: `connection.sslCert`, `PGSSLCERT`. */
  readonly writtenIn: Readonly<Record<'rootCert' | 'cert' | 'key' | 'crl', string>>;
}

/** A connection with every setting resolved; see {@link resolveConnectionConfig}. */
export interface ConnectionConfig {
  /** Tried in this order. */
  readonly hosts: readonly [ServerAddress, ...ServerAddress[]];
  /** The role to connect as. */
  readonly user: string;
  /** `undefined`: looked for in the password file when a server asks. */
  readonly password: Secret | (() => string | Promise<string>) | undefined;
  /** `undefined`: `~/.pgpass`. */
  readonly passFile: string | undefined;
  /** The user's name where none was given; a physical connection has none. */
  readonly database: string;
  /** As given; it applies to TCP only. */
  readonly tls: TlsConfig;
  /** Whether SCRAM is bound to the TLS connection. */
  readonly channelBinding: ChannelBinding;
  /** The methods that a server may use; another is an AuthenticationError. */
  readonly requireAuth: ReadonlySet<AuthMethod>;
  /** 0: no bound. */
  readonly connectTimeoutMs: number;
  /** Of TCP connections. */
  readonly keepAlive: KeepAlive;
  /** What pg_stat_activity and pg_stat_replication show. */
  readonly applicationName: string;
  /** Command-line options for the server. */
  readonly options: string | undefined;
  /** Which of the hosts will do. */
  readonly targetSessionAttrs: TargetSessionAttrs;
}
