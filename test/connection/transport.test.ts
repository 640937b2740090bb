import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createNetServer, type Server, type Socket } from 'node:net';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import type { NodeTransport } from '../../src/connection/node-transport.js';
import { SocketTransport } from '../../src/connection/socket-transport.js';
import { TlsTransport } from '../../src/connection/tls-transport.js';
import type { ReadSink } from '../../src/connection/transport.js';
import { CertificateAuthority } from './certificates.js';

/** Gives memory of odd sizes and gathers what lands in it. */
class GatheringSink implements ReadSink {
  readonly given: Uint8Array[] = [];
  readonly received: Buffer[] = [];
  closed: { error: Error | undefined } | undefined;
  #waiter: (() => void) | undefined;
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  get length(): number {
    return this.received.reduce((sum, { length }) => sum + length, 0);
  }

  buffer(): Uint8Array {
    const memory = new Uint8Array(this.#size);
    this.given.push(memory);
    return memory;
  }

  onBytes(count: number, memory: Uint8Array): void {
    assert.ok(count > 0 && count <= memory.length);
    assert.equal(this.closed, undefined);
    this.received.push(Buffer.from(memory.subarray(0, count)));
    this.#waiter?.();
  }

  onClose(error: Error | undefined): void {
    assert.equal(this.closed, undefined, 'closed once');
    this.closed = { error };
    this.#waiter?.();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#waiter = resolve;
      });
    }
  }
}

type Opener = (t: TestContext, sink: ReadSink) => Promise<{ transport: NodeTransport; peer: Socket }>;

async function listen(t: TestContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}

const signal = new AbortController().signal;
const keepAlive = { enabled: true, idleMs: 1000 };

const openPlain: Opener = async (t, sink) => {
  const server = createNetServer();
  const port = await listen(t, server);
  const connected = once(server, 'connection');
  const transport = await SocketTransport.open({ host: '127.0.0.1', port }, { keepAlive, sink, signal });
  const [peer] = (await connected) as [Socket];
  return keep(t, transport, peer);
};

const openTls: Opener = async (t, sink) => {
  const authority = await CertificateAuthority.create('authority');
  const { cert, key } = await authority.sign('localhost');
  const server = createTlsServer({ cert, key });
  const port = await listen(t, server);
  const connected = once(server, 'secureConnection');
  const unused = new GatheringSink(16);
  const plain = await SocketTransport.open({ host: '127.0.0.1', port }, { keepAlive, sink: unused, signal });
  const tls = { rejectUnauthorized: false };
  const transport = await TlsTransport.open(plain.release(), { host: 'h', tls, sink, signal });
  const [peer] = (await connected) as [Socket];
  t.after(() => assert.equal(unused.length, 0));
  return keep(t, transport, peer);
};

function keep(t: TestContext, transport: NodeTransport, peer: Socket) {
  peer.on('error', () => {});
  t.after(() => {
    transport.destroy();
    peer.destroy();
  });
  return { transport, peer };
}

const pattern = (length: number) => Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff));

for (const [name, open] of [
  ['plain', openPlain],
  ['TLS', openTls],
] as const) {
  suite(`${name} transport`, () => {
    test('bytes arrive in order in the memory given, one buffer for each read', async (t) => {
      const sink = new GatheringSink(1000);
      const { peer } = await open(t, sink);
      const bytes = pattern(1_000_000);
      peer.write(bytes);
      await sink.until(() => sink.length === bytes.length);
      assert.ok(Buffer.concat(sink.received).equals(bytes));
      assert.ok(sink.given.length - sink.received.length <= 2);
    });

    test('a pause holds everything back at once, and nothing is lost', async (t) => {
      const sink = new GatheringSink(64);
      const { transport, peer } = await open(t, sink);
      transport.pause();
      await sleep(20);
      const before = sink.length;
      const bytes = pattern(200_000);
      peer.write(bytes);
      await sleep(50);
      assert.equal(sink.length, before);
      transport.resume();
      await sink.until(() => sink.length === bytes.length);
      assert.ok(Buffer.concat(sink.received).equals(bytes));
    });

    test('the memory given last stays the target when the sink changes', async (t) => {
      const first = new GatheringSink(64);
      const second = new GatheringSink(64);
      const { transport, peer } = await open(t, first);
      transport.setSink(second);
      peer.write('hello');
      await second.until(() => second.length === 5);
      assert.equal(Buffer.concat(second.received).toString(), 'hello');
      assert.equal(Buffer.from(first.given.at(-1) ?? []).toString('latin1', 0, 5), 'hello');
      assert.equal(first.length, 0);
    });

    test('bytes given back come first to the next sink', async (t) => {
      const { transport, peer } = await open(t, new GatheringSink(64));
      transport.unread(Buffer.from('hello'));
      const sink = new GatheringSink(3);
      transport.setSink(sink);
      peer.write(' world');
      await sink.until(() => sink.length === 11);
      assert.equal(Buffer.concat(sink.received).toString(), 'hello world');
    });

    test('writes arrive in order and are reported in order', async (t) => {
      const { transport, peer } = await open(t, new GatheringSink(64));
      const written: number[] = [];
      const chunks = Array.from({ length: 50 }, (_, i) => pattern(i * 1000 + 1));
      const total = chunks.reduce((sum, { length }) => sum + length, 0);
      const got: Buffer[] = [];
      const done = new Promise<void>((resolve) => {
        peer.on('data', (chunk: Buffer) => {
          got.push(chunk);
          if (got.reduce((sum, { length }) => sum + length, 0) === total) resolve();
        });
      });
      for (const [index, chunk] of chunks.entries()) transport.write(chunk, () => written.push(index));
      await done;
      assert.ok(Buffer.concat(got).equals(Buffer.concat(chunks)));
      await sleep(10);
      assert.deepEqual(written, [...chunks.keys()]);
    });

    test('an end by the server, by us, and by force', async (t) => {
      const orderly = new GatheringSink(64);
      const { peer } = await open(t, orderly);
      peer.end('bye');
      await orderly.until(() => orderly.closed !== undefined);
      assert.equal(orderly.closed?.error, undefined);
      assert.equal(Buffer.concat(orderly.received).toString(), 'bye');

      const ours = new GatheringSink(64);
      const second = await open(t, ours);
      second.peer.resume();
      second.transport.pause();
      second.peer.write(pattern(100_000));
      await Promise.all([second.transport.end(), second.transport.end()]);
      assert.equal(ours.closed?.error, undefined);
      assert.ok(ours.closed !== undefined);

      const destroyed = new GatheringSink(64);
      const third = await open(t, destroyed);
      third.transport.destroy();
      await destroyed.until(() => destroyed.closed !== undefined);
      const late = new GatheringSink(64);
      third.transport.setSink(late);
      assert.deepEqual(late.closed, { error: undefined });
    });

    test('end() does not wait for ever for a server that keeps its side open', async (t) => {
      const { transport, peer } = await open(t, new GatheringSink(64));
      peer.allowHalfOpen = true;
      peer.pause();
      const started = performance.now();
      await transport.end();
      assert.ok(performance.now() - started < 30_000);
    });
  });
}

test('a reset is an error', async (t) => {
  const sink = new GatheringSink(64);
  const { peer } = await openPlain(t, sink);
  peer.resetAndDestroy();
  await sink.until(() => sink.closed !== undefined);
  assert.match(String(sink.closed?.error), /ECONNRESET/);
});
