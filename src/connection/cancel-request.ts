import { ConnectionError } from '../errors.js';
import { orAbort, withDeadline } from './connect-deadline.js';
import type { ConnectionConfig } from './connection-options.js';
import { FrontendMessage } from './frontend-message.js';
import { openTransport } from './open-transport.js';
import { formatAddress, type ServerAddress } from './server-address.js';
import type { BackendKey } from './session-start.js';
import type { ReadSink } from './transport.js';

/** Bound on connecting, sending the request and seeing the server close. */
export const CANCEL_TIMEOUT_MS = 5_000;

/**
 * Asks the server, over a connection of its own, to cancel what a backend is doing. Resolves when the server has taken
 * the request; whether there was anything to cancel it does not say.
 *
 * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS
 */
export async function sendCancelRequest(
  config: ConnectionConfig,
  target: {
    readonly address: ServerAddress;
    /** Address that the name led to when the connection was made: another may be another server. */
    readonly remoteAddress: string | undefined;
    readonly encrypted: boolean;
    readonly key: BackendKey;
  },
): Promise<void> {
  const { address, remoteAddress, encrypted, key } = target;
  const host = formatAddress(address);
  if (key.processId === 0) {
    throw new ConnectionError(`${host} gave no key to cancel with`, { host, phase: 'query', retryable: false });
  }
  const progress = { host, phase: 'connect' } as const;
  await withDeadline(progress, { timeoutMs: CANCEL_TIMEOUT_MS, signal: undefined }, async (signal) => {
    const sink = new CloseSink();
    const transport = await openTransport(address, {
      config,
      encryption: encrypted ? 'tls' : 'plain',
      sink,
      signal,
      progress: { ...progress },
      connectTo: remoteAddress === undefined ? address : { host: remoteAddress, port: address.port },
    });
    try {
      transport.write(FrontendMessage.cancelRequest(key.processId, key.secretKey));
      await orAbort(sink.closed, signal);
    } finally {
      transport.destroy();
    }
  });
}

/** The server answers a cancel request by closing, whatever has come of it. */
class CloseSink implements ReadSink {
  readonly closed: Promise<void>;
  readonly #memory = new Uint8Array(256);
  #resolve: () => void = () => {};

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  buffer(): Uint8Array {
    return this.#memory;
  }

  onBytes(): void {}

  onClose(): void {
    this.#resolve();
  }
}
