import type { Socket } from 'node:net';
import { type TLSSocket, type ConnectionOptions as TlsConnectOptions, connect as tlsConnect } from 'node:tls';
import { NodeTransport } from './node-transport.js';
import type { ReadSink } from './transport.js';

/**
 * An encrypted connection. A TLS socket made over another one ignores `onread`, so bytes are copied into the sink's
 * memory; the sink sees the same order of calls as with a plain socket.
 */
export class TlsTransport extends NodeTransport {
  override readonly encrypted = true;
  /** For channel binding, which hashes the server's certificate. */
  readonly tlsSocket: TLSSocket;

  private constructor(host: string, socket: TLSSocket, sink: ReadSink) {
    super(host, socket, sink);
    this.tlsSocket = socket;
    let memory = this.nextMemory();
    socket.on('data', (chunk: Buffer) => {
      let offset = 0;
      while (offset < chunk.length) {
        const count = Math.min(memory.length, chunk.length - offset);
        chunk.copy(memory, 0, offset, offset + count);
        offset += count;
        this.received(count, memory);
        memory = this.nextMemory();
      }
    });
  }

  /** Makes TLS over a connected socket, which it destroys when that fails. Rejects with node's error. */
  static open(
    socket: Socket,
    options: { host: string; tls: TlsConnectOptions; sink: ReadSink; signal: AbortSignal },
  ): Promise<TlsTransport> {
    const { host, tls, sink, signal } = options;
    return new Promise((resolve, reject) => {
      const tlsSocket = tlsConnect({ ...tls, socket });
      const settle = (outcome: () => void) => {
        signal.removeEventListener('abort', onAbort);
        tlsSocket.off('secureConnect', onSecure);
        tlsSocket.off('close', onClose);
        outcome();
      };
      const fail = (error: unknown) =>
        settle(() => {
          tlsSocket.destroy();
          socket.destroy();
          reject(error);
        });
      const onSecure = () => settle(() => resolve(new TlsTransport(host, tlsSocket, sink)));
      const onClose = () => fail(new Error('the server closed the connection during the TLS handshake'));
      const onAbort = () => fail(signal.reason);
      tlsSocket.once('secureConnect', onSecure);
      // Stays for good: an error that follows the first must not be thrown as uncaught.
      tlsSocket.on('error', fail);
      socket.on('error', fail);
      tlsSocket.once('close', onClose);
      signal.addEventListener('abort', onAbort);
      if (signal.aborted) onAbort();
    });
  }
}
