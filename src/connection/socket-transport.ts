import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { NodeTransport } from './node-transport.js';
import { formatAddress, isUnixSocket, type ServerAddress, unixSocketPath } from './server-address.js';
import type { ReadSink } from './transport.js';

/** TCP keepalive of a connection. */
export interface KeepAlive {
  /** SO_KEEPALIVE. */
  readonly enabled: boolean;
  /** Silence after which the kernel probes. */
  readonly idleMs: number;
}

/**
 * A plain TCP or Unix socket whose bytes land in the sink's memory without a copy: node's `onread` asks for memory
 * right after each callback, and the kernel fills it later.
 */
export class SocketTransport extends NodeTransport {
  override readonly encrypted = false;

  /** Connects. The sink must be there from the start, since node asks for memory at once. Rejects with node's error. */
  static open(
    address: ServerAddress,
    options: { keepAlive: KeepAlive; sink: ReadSink; signal: AbortSignal },
  ): Promise<SocketTransport> {
    const { keepAlive, sink, signal } = options;
    return new Promise((resolve, reject) => {
      let transport: SocketTransport | undefined;
      const socket = connect({
        ...socketTarget(address),
        noDelay: true,
        keepAlive: keepAlive.enabled,
        keepAliveInitialDelay: keepAlive.idleMs,
        onread: {
          // Asked for the first time before the constructor of the transport has run.
          buffer: () => transport?.nextMemory() ?? sink.buffer(),
          callback: (count: number, memory: Uint8Array) => {
            transport?.received(count, memory);
            return true;
          },
        },
      });
      transport = new SocketTransport(formatAddress(address), socket, sink);
      const settle = (outcome: () => void) => {
        signal.removeEventListener('abort', onAbort);
        socket.off('connect', onConnect);
        socket.off('error', onError);
        outcome();
      };
      const onConnect = () => settle(() => resolve(connected));
      const onError = (error: Error) => settle(() => reject(error));
      const onAbort = () => {
        socket.destroy();
        settle(() => reject(signal.reason));
      };
      const connected = transport;
      socket.once('connect', onConnect);
      socket.once('error', onError);
      signal.addEventListener('abort', onAbort);
      if (signal.aborted) onAbort();
    });
  }

  private constructor(host: string, socket: Socket, sink: ReadSink) {
    super(host, socket, sink);
  }

  /** Gives the socket up, paused, so that TLS can be made over it; the transport does nothing afterwards. */
  release(): Socket {
    return this.releaseSocket();
  }
}

function socketTarget(address: ServerAddress): NetConnectOpts {
  return isUnixSocket(address) ? { path: unixSocketPath(address) } : { host: address.host, port: address.port };
}
