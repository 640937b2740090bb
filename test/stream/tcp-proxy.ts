import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

/** A TCP connection to a server that can be cut or go silent. */
export class TcpProxy {
  readonly port: number;
  readonly #pairs: ReadonlySet<{ readonly client: Socket; readonly server: Socket }>;
  #silent = false;
  #accepting = true;
  /** Bytes from the server after which every connection is cut; in the middle of a message, most likely. */
  cutAfterBytes = Number.POSITIVE_INFINITY;
  bytesForwarded = 0;

  static async open(t: Pick<TestContext, 'after'>, to: number | (() => number)): Promise<TcpProxy> {
    const pairs = new Set<{ client: Socket; server: Socket }>();
    let proxy: TcpProxy | undefined;
    const listener = createServer((client) => {
      if (proxy === undefined || !proxy.#accepting) {
        client.destroy();
        return;
      }
      const pair = { client, server: connect(typeof to === 'number' ? to : to(), '127.0.0.1') };
      pairs.add(pair);
      proxy.#join(pair.client, pair.server, true);
      proxy.#join(pair.server, pair.client, false);
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

  private constructor(port: number, pairs: ReadonlySet<{ client: Socket; server: Socket }>) {
    this.port = port;
    this.#pairs = pairs;
  }

  connectionString(database = 'postgres'): string {
    return `postgresql://postgres@127.0.0.1:${this.port}/${database}?sslmode=disable`;
  }

  /** Forwards nothing from now on, in either direction, and closes nothing. */
  silence(): void {
    this.#silent = true;
    for (const { client, server } of this.#pairs) {
      client.pause();
      server.pause();
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

  #join(from: Socket, to: Socket, upstream: boolean): void {
    from.on('error', () => {});
    from.on('data', (bytes) => {
      if (this.#silent) return;
      if (upstream) {
        to.write(bytes);
        return;
      }
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
          if (!this.#silent) from.resume();
        });
      }
    });
    from.on('close', () => {
      if (!this.#silent) to.end();
    });
  }
}
