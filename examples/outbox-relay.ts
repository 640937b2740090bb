/**
 * Relays what transactions say to the outside, to WEBHOOK_URL or, without one, to the screen. There is no outbox table to
 * fill and to sweep: the application writes a message into the WAL, as part of its transaction,
 *
 *   SELECT pg_logical_emit_message(true, 'outbox', '{"order": 42, "status": "paid"}')
 *
 * and it comes here if, and only if, the transaction commits; in the order of the commits, at least once. Receivers tell
 * a repetition by the header `idempotency-key`.
 *
 *   npm run example outbox-relay
 *   WEBHOOK_URL=https://... DATABASE_URL=postgresql://... npm run example outbox-relay
 *
 * The slot is dropped with
 *
 *   psql -c "SELECT pg_drop_replication_slot('outbox_relay_slot')"
 */
import { interruption, whenInterrupted } from './building-blocks/interruption.js';
import './building-blocks/connection-loss.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lsn, type MessageEvent, WalStream } from 'pg-walstream';
import { urlVariable } from './building-blocks/url-variable.js';
import { embeddedDatabase } from './sample-shop/embedded-database.js';

const PREFIX = 'outbox';
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_PAUSE_MS = 30_000;

/** Delivers one message, however long that takes. What is refused for good is reported and left behind. */
async function deliver(message: MessageEvent, webhookUrl: string | undefined): Promise<void> {
  // Where it is in the WAL; it is the same when it comes again.
  const key = Lsn.format(message.lsn);
  if (webhookUrl === undefined) {
    console.log(`${key} ${message.content}`);
    return;
  }
  for (let pauseMs = 100; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
    const outcome = await post(webhookUrl, key, message.content);
    console.log(`${key} ${outcome.text}`);
    if (!outcome.again) return;
    await sleep(pauseMs, undefined, { signal: interruption });
  }
}

async function post(url: string, key: string, content: Buffer) {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body: new Uint8Array(content),
      signal: AbortSignal.any([interruption, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
    });
    await response.arrayBuffer();
    const { status, ok } = response;
    if (ok) return { again: false, text: `delivered: ${status}` };
    if (status >= 500 || status === 408 || status === 429) return { again: true, text: `not delivered yet: ${status}` };
    return { again: false, text: `refused for good: ${status}` };
  } catch (error) {
    interruption.throwIfAborted();
    return { again: true, text: `not delivered yet: ${error instanceof Error ? error.message : error}` };
  }
}

try {
  const webhookUrl = urlVariable('WEBHOOK_URL', ['http:', 'https:'], 'https://example.org/hook');
  const stream = new WalStream({
    connection: process.env.DATABASE_URL || (await embeddedDatabase()),
    slot: { name: 'outbox_relay_slot', create: 'if-missing' },
    publications: 'my_publication',
    messages: true,
    retry: { maxAttempts: 10 },
  });
  whenInterrupted(() => void stream.stop({ drain: 'none' }).catch(() => {}));
  console.log(`relaying messages '${PREFIX}' to ${webhookUrl ?? 'the screen'}; Ctrl+C ends it`);
  try {
    // A transaction is confirmed when the loop comes back after its commit: when all of its messages are delivered.
    for await (const event of stream) {
      if (event.kind === 'message' && event.prefix === PREFIX) await deliver(event, webhookUrl);
    }
  } catch (error) {
    if (!interruption.aborted) throw error;
  } finally {
    await stream.stop({ drain: 'none' });
  }
  console.log(`stopped; confirmed up to ${Lsn.format(stream.stats().flushedLsn)}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
