/**
 * A feed of changes for browsers: server-sent events over node:http, one stream of the database for all who listen.
 *
 *   npm run example server-sent-events      then: curl -N http://127.0.0.1:8080/
 *   PORT=3000 DATABASE_URL=postgresql://... npm run example server-sent-events
 *
 * In a page: `new EventSource('http://127.0.0.1:8080/').onmessage = ({ data }) => console.log(JSON.parse(data))`.
 * One that lost its connection says by itself what it had last, and goes on after that; where too much has happened
 * since, it gets an event `gap`, and has to load its data anew. The slot is dropped with
 *
 *   psql -c "SELECT pg_drop_replication_slot('server_sent_events_slot')"
 */
import { whenInterrupted } from './building-blocks/interruption.js';
import './building-blocks/connection-loss.js';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Lsn, WalStream } from 'pg-walstream';
import { wholeNumber } from './building-blocks/whole-number.js';
import { embeddedDatabase } from './sample-shop/embedded-database.js';

/** Changes that are kept for those who come back. */
const MAX_RECENT = 10_000;
/** A client that has so much unread is cut off; it may come back. */
const MAX_UNREAD_BYTES = 1024 * 1024;

class Feed {
  readonly #clients = new Set<ServerResponse>();
  readonly #recent: { readonly id: string; readonly text: string }[] = [];

  publish(id: string, data: unknown): void {
    const text = `id: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
    this.#recent.push({ id, text });
    if (this.#recent.length > MAX_RECENT) this.#recent.shift();
    for (const client of this.#clients) {
      client.write(text);
      if (client.writableLength > MAX_UNREAD_BYTES) client.destroy();
    }
  }

  /** From now on or, for one that comes back, from what it had last. */
  join(client: ServerResponse, lastEventId: string | undefined): void {
    client.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    client.flushHeaders();
    if (lastEventId !== undefined) {
      const at = this.#recent.findIndex(({ id }) => id === lastEventId);
      if (at === -1) client.write('event: gap\ndata:\n\n');
      else client.write(this.#recent.slice(at + 1).reduce((all, { text }) => all + text, ''));
    }
    this.#clients.add(client);
    client.once('close', () => this.#clients.delete(client));
  }

  end(): void {
    for (const client of this.#clients) client.end();
  }
}

try {
  const port = wholeNumber('PORT', 8080, { least: 0, most: 65_535 });
  const feed = new Feed();
  const stream = new WalStream({
    connection: process.env.DATABASE_URL || (await embeddedDatabase()),
    slot: { name: 'server_sent_events_slot', create: 'if-missing' },
    publications: 'my_publication',
    retry: { maxAttempts: 10 },
  });
  whenInterrupted(() => void stream.stop().catch(() => {}));
  const server = createServer((request, response) => {
    const lastEventId = request.headers['last-event-id'];
    feed.join(response, typeof lastEventId === 'string' ? lastEventId : undefined);
  });
  try {
    // This machine only: the changes are everybody's who comes to the port.
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}/; Ctrl+C ends it`);
    for await (const event of stream) {
      if (event.kind !== 'insert' && event.kind !== 'update' && event.kind !== 'delete') continue;
      // The position and the number in the transaction name a change for good.
      feed.publish(`${Lsn.format(event.commitLsn ?? 0n)}-${event.ordinal}`, event);
    }
  } finally {
    feed.end();
    server.close();
    await stream.stop();
  }
  console.log(`stopped; confirmed up to ${Lsn.format(stream.stats().flushedLsn)}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
