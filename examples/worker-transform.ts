/**
 * Writes changes as lines of JSON, with the columns named in MASK (default `customer`, by commas) replaced by hashes. All
 * of that is done in the worker threads, by transforms/to-masked-json.js: the main thread only writes text, in order.
 *
 *   npm run example worker-transform
 *   MASK=email,phone DATABASE_URL=postgresql://... npm run example worker-transform > changes.jsonl
 *
 * The slot is dropped with
 *
 *   psql -c "SELECT pg_drop_replication_slot('worker_transform_slot')"
 */
import { whenInterrupted } from './building-blocks/interruption.js';
import './building-blocks/connection-loss.js';
import { WalStream } from 'pg-walstream';
import { embeddedDatabase } from './sample-shop/embedded-database.js';
import type { MaskOptions } from './transforms/to-masked-json.js';

try {
  const options: MaskOptions = { mask: (process.env.MASK || 'customer').split(',') };
  const stream = new WalStream({
    connection: process.env.DATABASE_URL || (await embeddedDatabase()),
    slot: { name: 'worker_transform_slot', create: 'if-missing' },
    publications: 'my_publication',
    transform: { module: new URL('./transforms/to-masked-json.js', import.meta.url), options },
    retry: { maxAttempts: 10 },
  });
  whenInterrupted(() => void stream.stop().catch(() => {}));

  let lines = 0;
  // The fast path. What a batch ends is confirmed when the loop comes back for the next: after it was written.
  for await (const batch of stream.batches()) {
    let text = '';
    for (const event of batch) {
      if (event.kind !== 'insert' && event.kind !== 'update' && event.kind !== 'delete') continue;
      text += event.value;
      lines++;
    }
    const error = await new Promise<unknown>((resolve) => process.stdout.write(text, resolve));
    // Whoever reads the output has gone, as in `| head`. What a loop is left with is not confirmed, and comes again.
    if (error) break;
  }
  const { workers, workerBusyMs, mainThreadMs } = stream.stats();
  console.error(
    `stopped after ${lines} lines; ${workers} workers were busy for ${Math.round(workerBusyMs)} ms, the main thread for ${Math.round(mainThreadMs)} ms`,
  );
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
