import type { Socket } from 'node:net';
import type { ReadSink, Transport } from './transport.js';

/** How long {@link Transport.end} waits for the server's end of the connection before it destroys the socket. */
export const END_TIMEOUT_MS = 2_000;

/**
 * What plain and encrypted transports share: the sink and the memory it gave, errors, the end. How bytes reach the
 * memory is the subclass's.
 */
export abstract class NodeTransport implements Transport {
  readonly host: string;
  abstract readonly encrypted: boolean;
  readonly #socket: Socket;
  #sink: ReadSink;
  #memory: Uint8Array | undefined;
  #unread: Uint8Array | undefined;
  #error: Error | undefined;
  #closed = false;
  #discarding = false;

  protected constructor(host: string, socket: Socket, sink: ReadSink) {
    this.host = host;
    this.#socket = socket;
    this.#sink = sink;
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
  }

  /** The very address that answered: a cancel request must reach the same server although a name may have several. */
  get remoteAddress(): string | undefined {
    return this.#socket.remoteAddress;
  }

  setSink(sink: ReadSink): void {
    this.#sink = sink;
    const earlier = this.#unread;
    this.#unread = undefined;
    if (earlier !== undefined) giveBytes(sink, earlier);
    if (this.#closed) sink.onClose(this.#error);
  }

  /** Bytes that were read but belong to the next sink, which gets them first. */
  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#unread = bytes;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  write(bytes: Uint8Array, written?: () => void): void {
    this.#socket.write(bytes, (error) => {
      if (!error) written?.();
    });
  }

  end(): Promise<void> {
    const socket = this.#socket;
    if (socket.closed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => socket.destroy(), END_TIMEOUT_MS);
      socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      this.#discarding = true;
      socket.end();
      // A paused socket would never see the server's end.
      socket.resume();
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Gives the socket up, paused, so that TLS can be made over it; this transport does nothing afterwards. */
  protected releaseSocket(): Socket {
    this.#socket.pause();
    this.#socket.off('error', this.#onError);
    this.#socket.off('close', this.#onClose);
    this.#discarding = true;
    return this.#socket;
  }

  /** Memory for the next read: the sink's, or the last again while nobody wants the bytes. */
  protected nextMemory(): Uint8Array {
    if (this.#memory === undefined || !this.#discarding) this.#memory = this.#sink.buffer();
    return this.#memory;
  }

  protected received(count: number, memory: Uint8Array): void {
    if (!this.#discarding) this.#sink.onBytes(count, memory);
  }

  readonly #onError = (error: Error): void => {
    this.#error ??= error;
  };

  readonly #onClose = (): void => {
    this.#closed = true;
    this.#sink.onClose(this.#error);
  };
}

function giveBytes(sink: ReadSink, bytes: Uint8Array): void {
  let offset = 0;
  while (offset < bytes.length) {
    const memory = sink.buffer();
    const count = Math.min(memory.length, bytes.length - offset);
    memory.set(bytes.subarray(offset, offset + count));
    sink.onBytes(count, memory);
    offset += count;
  }
}
