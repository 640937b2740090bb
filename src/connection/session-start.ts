import { AuthenticationError, ConnectionError, ProtocolError } from '../errors.js';
import { Authentication } from './authentication.js';
import { type ConnectProgress, orAbort } from './connect-deadline.js';
import type { ConnectionConfig } from './connection-options.js';
import { FrontendMessage } from './frontend-message.js';
import type { MessageReader } from './message-reader.js';
import type { OpenedTransport } from './open-transport.js';
import { readPasswordFile } from './password-file.js';
import type { ServerAddress } from './server-address.js';
import { serverErrorFrom } from './server-error.js';
import { TlsTransport } from './tls-transport.js';
import { walSenderErrorFrom } from './wal-sender-errors.js';

/** `logical` and `physical` start a walsender, `sql` an ordinary backend. */
export type ConnectionMode = 'logical' | 'physical' | 'sql';

/** What a cancel request must show. */
export interface BackendKey {
  readonly processId: number;
  readonly secretKey: number;
}

/**
 * Settings that decide how values look as text. They are fixed here, so that no setting of the server, role or database
 * changes what a value decodes to. client_encoding UTF8 is added by pg-protocol.
 */
const SESSION_SETTINGS: Readonly<Record<string, string>> = {
  DateStyle: 'ISO',
  TimeZone: 'UTC',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '3',
  lc_monetary: 'C',
  client_min_messages: 'notice',
};

/** Parameters of the StartupMessage. */
export function startupParameters(config: ConnectionConfig, mode: ConnectionMode): Record<string, string> {
  return {
    user: config.user,
    // A physical walsender belongs to no database.
    ...(mode !== 'physical' && { database: config.database }),
    ...(mode === 'logical' && { replication: 'database' }),
    ...(mode === 'physical' && { replication: 'true' }),
    application_name: config.applicationName,
    ...(config.options !== undefined && { options: config.options }),
    ...SESSION_SETTINGS,
  };
}

/**
 * Sends the StartupMessage, authenticates, and reads on until the server is ready for queries.
 *
 * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP
 */
export async function startSession(
  transport: OpenedTransport,
  reader: MessageReader,
  options: {
    readonly config: ConnectionConfig;
    readonly address: ServerAddress;
    readonly mode: ConnectionMode;
    readonly signal: AbortSignal;
    readonly progress: ConnectProgress;
  },
): Promise<BackendKey> {
  const { config, address, mode, signal, progress } = options;
  let password: Promise<string> | undefined;
  const authentication = new Authentication({
    user: config.user,
    requireAuth: config.requireAuth,
    channelBinding: config.channelBinding,
    tlsSocket: transport instanceof TlsTransport ? transport.tlsSocket : undefined,
    password: () => {
      password ??= findPassword(config, address, mode, authentication);
      return password;
    },
  });
  progress.phase = 'authentication';
  transport.write(FrontendMessage.startup(startupParameters(config, mode)));
  let authenticated = false;
  let key: BackendKey = { processId: 0, secretKey: 0 };
  for (;;) {
    const message = await orAbort(reader.next(), signal);
    if (message.name === 'errorResponse') {
      const refusal = mode === 'sql' ? undefined : walSenderErrorFrom(message.fields, config.user);
      throw refusal ?? serverErrorFrom(message.fields, { method: authentication.method });
    }
    if (message.name === 'authentication' && !authenticated) {
      const answer = await orAbort(authentication.answer(message.request), signal);
      if (answer !== undefined) transport.write(answer);
      if (message.request.method === 'ok') {
        authenticated = true;
        progress.phase = 'startup';
      }
    } else if (message.name === 'backendKeyData' && authenticated) {
      key = { processId: message.processId, secretKey: message.secretKey };
    } else if (message.name === 'readyForQuery' && authenticated) {
      reader.started();
      return key;
    } else {
      throw new ProtocolError(`the server sent ${message.name} out of order during start-up`, { offset: 0 });
    }
  }
}

async function findPassword(
  config: ConnectionConfig,
  address: ServerAddress,
  mode: ConnectionMode,
  authentication: Authentication,
): Promise<string> {
  const { method } = authentication;
  if (typeof config.password === 'function') return callProvider(config.password, address.host, method);
  if (config.password !== undefined) return config.password.reveal();
  // Physical replication is looked up under the name that pg_hba.conf gives it.
  const database = mode === 'physical' ? 'replication' : config.database;
  const entry = await readPasswordFile(config.passFile, { address, database, user: config.user });
  if (entry.password !== undefined) return entry.password;
  const ignored = entry.ignored === undefined ? '' : `; ${entry.ignored}`;
  throw new AuthenticationError(`the server asks for a password and none was given${ignored}`, { method });
}

async function callProvider(provider: () => string | Promise<string>, host: string, method: string): Promise<string> {
  let password: unknown;
  try {
    password = await provider();
  } catch (cause) {
    throw new ConnectionError('the password function failed', { host, phase: 'authentication', cause });
  }
  if (typeof password === 'string' && password !== '' && !password.includes('\0')) return password;
  throw new AuthenticationError('the password function gave no password', { method });
}
