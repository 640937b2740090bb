import { callback, plainObject, refuseUnknown, signalFrom, wrong } from '../errors/option-checks.js';
import { AuthenticationError, ConfigurationError, ConnectionError, ProtocolError, WalStreamError } from '../errors.js';
import { type ConnectProgress, withDeadline } from './connect-deadline.js';
import type { ConnectionConfig, SslMode, TargetSessionAttrs } from './connection-options.js';
import { MessageReader } from './message-reader.js';
import { type Encryption, type OpenedTransport, openTransport } from './open-transport.js';
import { formatAddress, isUnixSocket, type ServerAddress } from './server-address.js';
import { type ServerNotice, serverNoticeFrom } from './server-error.js';
import { checkServerVersion } from './server-version.js';
import { type BackendKey, type ConnectionMode, startSession } from './session-start.js';

/** Parameters that a server may report: it has about fifteen. */
const MAX_PARAMETERS = 1_000;

const CONFIG_EXPECTED = 'what resolveConnectionConfig() gives';
const CONNECTION_MODES: readonly ConnectionMode[] = ['logical', 'physical', 'sql'];
const KNOWN_CONNECT_OPTIONS = new Set(['mode', 'signal', 'onNotice']);

/** A session that is ready for queries. */
export interface Session {
  readonly address: ServerAddress;
  readonly transport: OpenedTransport;
  readonly reader: MessageReader;
  /** Changes when the server reports a change. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly serverVersion: number;
  readonly key: BackendKey;
}

/** How a session is made. */
export interface ConnectOptions {
  /** What kind of backend it gets. */
  readonly mode: ConnectionMode;
  /** Ends the attempt; it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Called with each notice of the session, start-up included. */
  readonly onNotice?: ((notice: ServerNotice) => void) | undefined;
}

/**
 * A session with the first host that works, in the order given. As in libpq, a host that cannot be reached or is not
 * what `targetSessionAttrs` asks for is passed over, and one that refuses our authentication ends the search.
 */
export async function connectSession(config: ConnectionConfig, options: ConnectOptions): Promise<Session> {
  checkArguments(config, options);
  const failures: WalStreamError[] = [];
  for (const attrs of sessionAttrsPasses(config.targetSessionAttrs)) {
    for (const address of config.hosts) {
      try {
        return await connectToHost(config, address, attrs, options);
      } catch (error) {
        if (!(error instanceof WalStreamError) || endsSearch(error)) throw error;
        failures.push(error);
      }
    }
  }
  throw combineFailures(config.hosts, failures);
}

function checkArguments(config: ConnectionConfig, options: ConnectOptions): void {
  if (!Array.isArray(plainObject(config, 'config', CONFIG_EXPECTED).hosts))
    throw wrong('config', `must be ${CONFIG_EXPECTED}`);
  refuseUnknown(plainObject(options, 'options', 'an object with a mode'), KNOWN_CONNECT_OPTIONS, '');
  if (!CONNECTION_MODES.includes(options.mode)) throw wrong('mode', `must be one of ${CONNECTION_MODES.join(', ')}`);
  signalFrom(options.signal);
  callback(options.onNotice, 'onNotice');
}

/** Encryptions to try on one host, in order; libpq knows no TLS over Unix sockets. */
export function encryptionPlan(mode: SslMode, unixSocket: boolean): readonly Encryption[] {
  if (unixSocket) return ['plain'];
  switch (mode) {
    case 'disable':
      return ['plain'];
    case 'allow':
      return ['plain', 'tls'];
    case 'prefer':
      return ['tls-or-plain', 'plain'];
    case 'require':
    case 'verify-ca':
    case 'verify-full':
      return ['tls'];
    default:
      return mode satisfies never;
  }
}

/**
 * Whether a failure is of the kind that another encryption may mend: TLS itself, or a server whose pg_hba.conf has no
 * line for this kind of connection (28000). A wrong password (28P01) stays wrong.
 */
export function worthOtherEncryption(error: unknown): boolean {
  if (error instanceof ConnectionError) return error.phase === 'tls';
  return error instanceof AuthenticationError && error.sqlState === '28000';
}

/** Whether a server with these parameters is what was asked for; it reports them unasked since version 14. */
export function matchesSessionAttrs(attrs: TargetSessionAttrs, parameters: ReadonlyMap<string, string>): boolean {
  const standby = parameters.get('in_hot_standby') === 'on';
  const readOnly = standby || parameters.get('default_transaction_read_only') === 'on';
  switch (attrs) {
    case 'any':
    case 'prefer-standby':
      return true;
    case 'primary':
      return !standby;
    case 'standby':
      return standby;
    case 'read-write':
      return !readOnly;
    case 'read-only':
      return readOnly;
    default:
      return attrs satisfies never;
  }
}

function sessionAttrsPasses(attrs: TargetSessionAttrs): readonly TargetSessionAttrs[] {
  return attrs === 'prefer-standby' ? ['standby', 'any'] : [attrs];
}

async function connectToHost(
  config: ConnectionConfig,
  address: ServerAddress,
  attrs: TargetSessionAttrs,
  options: ConnectOptions,
): Promise<Session> {
  const progress: ConnectProgress = { host: formatAddress(address), phase: 'connect' };
  const plan = encryptionPlan(config.tls.mode, isUnixSocket(address));
  return withDeadline(progress, { timeoutMs: config.connectTimeoutMs, signal: options.signal }, async (signal) => {
    let firstError: unknown;
    for (const encryption of plan) {
      try {
        return await attempt(config, address, { ...options, encryption, attrs, signal, progress });
      } catch (error) {
        firstError ??= error;
        if (signal.aborted || !worthOtherEncryption(error)) throw error;
      }
    }
    // What the preferred way met says more than what its substitute did.
    throw firstError;
  });
}

async function attempt(
  config: ConnectionConfig,
  address: ServerAddress,
  options: Omit<ConnectOptions, 'signal'> & {
    readonly encryption: Encryption;
    readonly attrs: TargetSessionAttrs;
    readonly signal: AbortSignal;
    readonly progress: ConnectProgress;
  },
): Promise<Session> {
  const { encryption, attrs, signal, progress, mode, onNotice } = options;
  const parameters = new Map<string, string>();
  const reader = new MessageReader({
    onNotice: (fields) => onNotice?.(serverNoticeFrom(fields)),
    onParameter: (name, value) => {
      if (parameters.size >= MAX_PARAMETERS) {
        throw new ProtocolError('the server reports too many parameters', { offset: 0, tag: 'S' });
      }
      parameters.set(name, value);
    },
  });
  const transport = await openTransport(address, { config, encryption, sink: reader, signal, progress });
  try {
    const key = await startSession(transport, reader, { config, address, mode, signal, progress });
    const serverVersion = checkServerVersion(parameters.get('server_version'));
    if (!matchesSessionAttrs(attrs, parameters)) {
      const { host, phase } = progress;
      throw new ConnectionError(`${host} is not ${attrs}, as target_session_attrs asks for`, { host, phase });
    }
    return { address, transport, reader, parameters, serverVersion, key };
  } catch (error) {
    transport.destroy();
    throw error;
  }
}

function endsSearch(error: WalStreamError): boolean {
  return error instanceof AuthenticationError || error instanceof ConfigurationError;
}

function combineFailures(hosts: readonly ServerAddress[], failures: readonly WalStreamError[]): WalStreamError {
  const [first] = failures;
  if (first !== undefined && failures.length === 1) return first;
  const said = failures.map((failure) => failure.message).join('; ');
  return new ConnectionError(`none of the hosts can be used: ${said}`, {
    host: hosts.map(formatAddress).join(','),
    phase: 'connect',
    retryable: failures.some((failure) => failure.retryable),
    cause: new AggregateError(failures),
  });
}
