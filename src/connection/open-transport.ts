import { ConnectionError, ProtocolError } from '../errors.js';
import { type ConnectProgress, orAbort } from './connect-deadline.js';
import type { ConnectionConfig } from './connection-options.js';
import { FrontendMessage } from './frontend-message.js';
import { ConnectionClosed } from './message-reader.js';
import type { ServerAddress } from './server-address.js';
import { SocketTransport } from './socket-transport.js';
import { ALPN_POSTGRESQL, tlsOptionsFor } from './tls-options.js';
import { TlsTransport } from './tls-transport.js';
import type { ReadSink } from './transport.js';

/** How one attempt encrypts; `tls-or-plain` goes on without when the server has no TLS. */
export type Encryption = 'plain' | 'tls' | 'tls-or-plain';

/** A transport that this folder made, with what start-up and cancellation need to know of it. */
export type OpenedTransport = SocketTransport | TlsTransport;

/**
 * Connects to an address and negotiates TLS as asked. `connectTo` is where to go when that is not where the address's
 * name leads: certificates are checked against the name all the same.
 *
 * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
 */
export async function openTransport(
  address: ServerAddress,
  options: {
    readonly config: ConnectionConfig;
    readonly encryption: Encryption;
    readonly sink: ReadSink;
    readonly signal: AbortSignal;
    readonly progress: ConnectProgress;
    readonly connectTo?: ServerAddress;
  },
): Promise<OpenedTransport> {
  const { config, encryption, sink, signal, progress, connectTo = address } = options;
  const { keepAlive } = config;
  progress.phase = 'connect';
  if (encryption === 'plain') return SocketTransport.open(connectTo, { keepAlive, sink, signal });

  const tls = await tlsOptionsFor(config.tls, address.host);
  const response = new SslResponse();
  const transport = await SocketTransport.open(connectTo, { keepAlive, sink: response, signal });
  try {
    progress.phase = 'tls';
    const direct = config.tls.negotiation === 'direct';
    if (!direct) {
      transport.write(FrontendMessage.sslRequest());
      if ((await orAbort(response.answer, signal)) === 'refused') {
        if (encryption === 'tls-or-plain') {
          transport.setSink(sink);
          return transport;
        }
        throw new ConnectionError(`${progress.host} has no TLS, but sslmode=${config.tls.mode} needs it`, {
          host: progress.host,
          phase: 'tls',
          retryable: false,
        });
      }
    }
    const encrypted = await TlsTransport.open(transport.release(), { host: transport.host, tls, sink, signal });
    if (direct && encrypted.tlsSocket.alpnProtocol !== ALPN_POSTGRESQL) {
      encrypted.destroy();
      throw new ConnectionError(
        `${progress.host} does not speak PostgreSQL over direct TLS; sslnegotiation=direct needs PostgreSQL 17 or later`,
        { host: progress.host, phase: 'tls', retryable: false },
      );
    }
    return encrypted;
  } catch (error) {
    transport.destroy();
    throw error;
  }
}

/**
 * The one byte that answers an SSLRequest: `S` or `N`. Bytes after it would be read as if they had come encrypted
 * (CVE-2021-23222), so there must be none before TLS is there.
 */
class SslResponse implements ReadSink {
  readonly answer: Promise<'accepted' | 'refused'>;
  readonly #memory = new Uint8Array(1024);
  #settle: (answer: 'accepted' | 'refused') => void = () => {};
  #reject: (error: unknown) => void = () => {};

  constructor() {
    this.answer = new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#reject = reject;
    });
    // With direct negotiation nobody waits for the answer.
    this.answer.catch(() => {});
  }

  buffer(): Uint8Array {
    return this.#memory;
  }

  onBytes(count: number, memory: Uint8Array): void {
    const [byte = 0] = memory;
    if (byte !== 0x53 && byte !== 0x4e) {
      const shown = byte >= 0x20 && byte < 0x7f ? `'${String.fromCharCode(byte)}'` : `0x${byte.toString(16)}`;
      const message = `the answer to SSLRequest begins with ${shown}: this is not a PostgreSQL server`;
      this.#reject(new ProtocolError(message, { offset: 0 }));
    } else if (count !== 1) {
      const message = 'unencrypted bytes followed the answer to SSLRequest: somebody may be tampering';
      this.#reject(new ProtocolError(message, { offset: 1 }));
    } else {
      this.#settle(byte === 0x53 ? 'accepted' : 'refused');
    }
  }

  onClose(error: Error | undefined): void {
    this.#reject(new ConnectionClosed(error));
  }
}
