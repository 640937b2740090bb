/**
 * Asks for one event after the other with nextEvent(), in a loop of its own: for programs that have other things to do
 * in between, and a time for each.
 *
 *   npm run example polling-example
 *   POLL_TIMEOUT_MS=200 DATABASE_URL=postgresql://... npm run example polling-example
 *
 * The slot is dropped with
 *
 *   psql -c "SELECT pg_drop_replication_slot('polling_slot')"
 */
import { interruption, whenInterrupted } from './building-blocks/interruption.js';
import './building-blocks/connection-loss.js';
import { Lsn, WalStream } from 'pg-walstream';
import { MAX_TIMER_MS, wholeNumber } from './building-blocks/whole-number.js';
import { embeddedDatabase } from './sample-shop/embedded-database.js';

/** How long Ctrl+C waits for the rest of a transaction. */
const GRACE_MS = 5_000;

try {
  const timeoutMs = wholeNumber('POLL_TIMEOUT_MS', 1_000, { most: MAX_TIMER_MS });
  // With manual acknowledgement the last commit is confirmed too: 'auto' would wait for us to come back for more.
  await using stream = new WalStream({
    connection: process.env.DATABASE_URL || (await embeddedDatabase()),
    slot: { name: 'polling_slot', create: 'if-missing' },
    publications: 'my_publication',
    ack: 'manual',
    retry: { maxAttempts: 10 },
  });
  whenInterrupted(() => void stream.stop({ timeoutMs: GRACE_MS }).catch(() => {}));
  console.log(`polling my_publication, at most ${timeoutMs} ms each time; Ctrl+C ends it`);
  await stream.start().catch((error: unknown) => {
    if (!interruption.aborted) throw error;
  });

  let changes = 0;
  let transactions = 0;
  for (;;) {
    const event = await stream.nextEvent({ timeoutMs });
    // The stream has ended: with a stopLsn, or because stop() was called.
    if (event === undefined) break;
    // The time is up, and nothing is lost: what comes later comes with a later call. Here is the place for other work.
    if (event === null) {
      console.log(`nothing for ${timeoutMs} ms; ${changes} changes in ${transactions} transactions so far`);
      continue;
    }
    switch (event.kind) {
      case 'insert':
      case 'update':
      case 'delete': {
        changes++;
        const { new: row, old, key } = event.toJSON();
        console.log(`${event.kind} ${event.schema}.${event.table} ${JSON.stringify(row ?? old ?? key)}`);
        break;
      }
      case 'truncate':
        changes++;
        console.log(`truncate ${event.relations.map(({ schema, table }) => `${schema}.${table}`).join(', ')}`);
        break;
      case 'commit':
        transactions++;
        stream.ack(event);
        break;
    }
  }
  await stream.stop();
  console.log(
    `stopped after ${changes} changes in ${transactions} transactions; confirmed up to ${Lsn.format(stream.stats().flushedLsn)}`,
  );
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
