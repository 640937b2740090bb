import { ConnectionError, type ConnectionPhase, TimeoutError, WalStreamError } from '../errors.js';
import { ConnectionClosed } from './message-reader.js';

/** How far an attempt has come, for its errors. */
export interface ConnectProgress {
  readonly host: string;
  phase: ConnectionPhase;
}

/**
 * Runs one attempt to connect under a bound on its time and under the user's signal. Whatever goes wrong comes out as
 * an error of this library that names host and phase, or as the signal's reason.
 */
export async function withDeadline<T>(
  progress: ConnectProgress,
  limits: { readonly timeoutMs: number; readonly signal: AbortSignal | undefined },
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { timeoutMs, signal } = limits;
  signal?.throwIfAborted();
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal?.reason);
  const onTimeout = () => {
    const { host, phase } = progress;
    const message = `no connection to ${host} within ${timeoutMs} ms (${WAITING_FOR[phase]})`;
    controller.abort(new TimeoutError(message, { host, phase, timeoutMs }));
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  const timer = timeoutMs === 0 ? undefined : setTimeout(onTimeout, timeoutMs);
  try {
    return await run(controller.signal);
  } catch (error) {
    throw controller.signal.aborted ? controller.signal.reason : connectionErrorFrom(error, progress);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

/** What the promise gives, unless the signal comes first: for work that cannot be cancelled. */
export function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Errors of node's sockets and TLS as {@link ConnectionError}; errors of this library as they are. */
export function connectionErrorFrom(error: unknown, progress: ConnectProgress): WalStreamError {
  if (error instanceof WalStreamError) return error;
  const { host, phase } = progress;
  const cause = error instanceof ConnectionClosed ? error.cause : error;
  if (cause === undefined) {
    return new ConnectionError(`${host} closed the connection (${WAITING_FOR[phase]})`, { host, phase });
  }
  const message = `${FAILURE[phase]} ${host}: ${describe(cause)}`;
  return new ConnectionError(message, { host, phase, cause, retryable: phase !== 'tls' || isSocketFault(cause) });
}

/** Certificates and TLS versions do not mend themselves; a reset connection may. */
function isSocketFault(error: unknown): boolean {
  const code = errorCode(error);
  return code === undefined || code === 'ECONNRESET' || code === 'EPIPE' || code === 'ETIMEDOUT';
}

function describe(error: unknown): string {
  // A name with several addresses: node reports them together, under an empty message.
  if (error instanceof AggregateError && error.message === '') return error.errors.map(describe).join('; ');
  return error instanceof Error ? error.message : String(error);
}

function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

const WAITING_FOR: Readonly<Record<ConnectionPhase, string>> = {
  connect: 'while connecting',
  tls: 'during the TLS handshake',
  authentication: 'during authentication',
  startup: 'while the session was starting',
  query: 'during a query',
  streaming: 'while streaming',
};

const FAILURE: Readonly<Record<ConnectionPhase, string>> = {
  connect: 'cannot connect to',
  tls: 'no TLS connection to',
  authentication: 'connection lost during authentication to',
  startup: 'connection lost while the session was starting on',
  query: 'connection lost during a query to',
  streaming: 'connection lost while streaming from',
};
