import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { resolveConnectionConfig } from '../../src/connection/connection-config.js';
import type { ConnectionOptions } from '../../src/connection/connection-options.js';
import { PgConnection } from '../../src/connection/pg-connection.js';

/** What the fake server does with one connection. */
export type Script = (client: ClientBytes) => Promise<void> | void;

/** The server's side of a connection: reads what the client sends, exactly as much as the script expects. */
export class ClientBytes {
  readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  async read(count: number): Promise<Buffer> {
    for (;;) {
      const bytes: Buffer | null = this.socket.read(count);
      if (bytes !== null) return bytes;
      if (this.socket.readableEnded || this.socket.destroyed) throw new Error('the client has gone');
      await once(this.socket, 'readable');
      // What is there is told again and again, also when more is wanted: let it come.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** SSLRequest, StartupMessage or CancelRequest: Int32 length, body. */
  async readStartup(): Promise<Buffer> {
    const length = (await this.read(4)).readInt32BE(0);
    return this.read(length - 4);
  }

  async readMessage(): Promise<{ tag: string; body: Buffer }> {
    const header = await this.read(5);
    const length = header.readInt32BE(1) - 4;
    return { tag: String.fromCharCode(header[0] ?? 0), body: length === 0 ? Buffer.alloc(0) : await this.read(length) };
  }

  send(...parts: Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts));
  }
}

/** Listens on loopback, runs the script for each connection, and goes away with the test. Returns the port. */
export async function fakeServer(t: TestContext, script: Script): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
    // A client that hangs up in the middle of a script is what many of these tests are about.
    Promise.resolve(script(new ClientBytes(socket))).catch(() => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return address.port;
}

export function connectTo(port: number, options: ConnectionOptions & { signal?: AbortSignal } = {}) {
  const { signal, ...connection } = options;
  const config = resolveConnectionConfig(
    { host: '127.0.0.1', port, user: 'u', sslMode: 'disable', connectTimeoutMs: 5_000, ...connection },
    {},
  );
  return PgConnection.connect(config, { mode: 'sql', ...(signal && { signal }) });
}
