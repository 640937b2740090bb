import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  silent: boolean;
}

/** A TCP connection to a server that can be cut, go silent or damage what it carries. */
export class TcpProxy {
  readonly port: number;
  readonly #pairs: ReadonlySet<Pair>;
  #silent = false;
  #accepting = true;
  /** Bytes from the server after which every connection is cut; in the middle of a message, most likely. */
  cutAfterBytes = Number.POSITIVE_INFINITY;
  bytesForwarded = 0;
  /** Changes bytes from the server in place. */
  damage: ((bytes: Buffer) => void) | undefined;

  static async open(t: Pick<TestContext, 'after'>, to: number | (() => number)): Promise<TcpProxy> {
    const pairs = new Set<Pair>();
    let proxy: TcpProxy | undefined;
    const listener = createServer((client) => {
      if (proxy === undefined || !proxy.#accepting) {
        client.destroy();
        return;
      }
      const server = connect(typeof to === 'number' ? to : to(), '127.0.0.1');
      const pair = { client, server, silent: proxy.#silent };
      pairs.add(pair);
      proxy.#join(pair, client, server);
      proxy.#join(pair, server, client);
    });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const address = listener.address();
    if (address === null || typeof address === 'string') throw new Error('no TCP address');
    proxy = new TcpProxy(address.port, pairs);
    t.after(() => {
      proxy.cut();
      listener.close();
    });
    return proxy;
  }

  private constructor(port: number, pairs: ReadonlySet<Pair>) {
    this.port = port;
    this.#pairs = pairs;
  }

  connectionString(database = 'postgres'): string {
    return `postgresql://postgres@127.0.0.1:${this.port}/${database}?sslmode=disable`;
  }

  /** Forwards nothing from now on, in either direction, and closes nothing. */
  silence(): void {
    this.#silent = true;
    this.silenceOpen();
  }

  /** The same for the connections that there are: neither end is told that nobody is at the other any more. */
  silenceOpen(): void {
    for (const pair of this.#pairs) {
      pair.silent = true;
      pair.client.pause();
      pair.server.pause();
    }
  }

  /** Resets every connection, and refuses new ones. */
  cut(): void {
    this.#accepting = false;
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy();
      server.destroy();
    }
  }

  /** Takes connections again after a cut, and forwards again after a silence, but for what was silenced: that is cut. */
  reopen(): void {
    if (this.#silent) this.cut();
    this.#silent = false;
    this.cutAfterBytes = Number.POSITIVE_INFINITY;
    this.#accepting = true;
  }

  #join(pair: Pair, from: Socket, to: Socket): void {
    from.on('error', () => {});
    from.on('data', (bytes) => {
      if (pair.silent) return;
      if (from === pair.client) {
        to.write(bytes);
        return;
      }
      this.damage?.(bytes);
      const left = this.cutAfterBytes - this.bytesForwarded;
      const part = left < bytes.length ? bytes.subarray(0, left) : bytes;
      this.bytesForwarded += part.length;
      if (part !== bytes) {
        this.#accepting = false;
        // What was forwarded arrives before the end.
        to.end(part);
        from.destroy();
      } else if (!to.write(part)) {
        from.pause();
        to.once('drain', () => {
          if (!pair.silent) from.resume();
        });
      }
    });
    from.on('close', () => {
      if (!pair.silent) to.end();
    });
  }
}
