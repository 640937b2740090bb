/**
 * Prints every change of a publication, in the order of the commits, until Ctrl+C.
 *
 *   npm run example basic-streaming                    on an embedded server with a small writer
 *   psql -c 'CREATE PUBLICATION my_publication FOR ALL TABLES'
 *   DATABASE_URL=postgresql://postgres:password@localhost:5432/postgres?replication=database npm run example basic-streaming
 *   npm run example basic-streaming combinators        filter, map, take and takeWhile over whole transactions
 *
 * The server needs wal_level = logical. The slot keeps the place: what is not printed now comes the next time. Drop it
 * when it is no longer needed, or the server keeps its WAL for ever:
 *
 *   psql -c "SELECT pg_drop_replication_slot('my_slot')"
 */
import { whenInterrupted } from './building-blocks/interruption.js';
import './building-blocks/connection-loss.js';
import { Lsn, type TransactionItem, type WalEvent, WalStream } from 'pg-walstream';
import { wholeNumber } from './building-blocks/whole-number.js';
import { embeddedDatabase } from './sample-shop/embedded-database.js';

try {
  const [what = '', ...more] = process.argv.slice(2);
  if (!['', 'combinators'].includes(what) || more.length > 0) {
    throw new TypeError(`there is no '${[what, ...more].join(' ')}': it has to be nothing, or combinators`);
  }
  const limit = wholeNumber('TAKE', 20);
  const connection = process.env.DATABASE_URL || (await embeddedDatabase());
  if (what === 'combinators') await combine(connection, limit);
  else await printEvents(connection);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

/** One event at a time. A transaction is confirmed to the server when the loop comes back for what follows its commit. */
async function printEvents(connection: string): Promise<void> {
  const stream = openStream(connection, 'auto');
  // The transaction that is being printed comes whole, then the loop ends. Should stop() fail, the loop says why.
  whenInterrupted(() => void stream.stop().catch(() => {}));

  console.log('waiting for changes of my_publication; Ctrl+C ends it');
  for await (const event of stream) console.log(describe(event));
  console.log(`stopped; confirmed up to ${Lsn.format(stream.stats().flushedLsn)}`);
}

/**
 * The helpers that every Readable has. They read ahead, so what is done with is acknowledged by hand, where the chain
 * ends: with a position, which covers what the chain dropped before it.
 */
async function combine(connection: string, limit: number): Promise<void> {
  // Whatever ends the chain, the stream is closed with it.
  await using stream = openStream(connection, 'manual');
  whenInterrupted(() => void stream.stop().catch(() => {}));

  const summaries = stream
    .readable('transactions')
    .filter((item: TransactionItem) => item.kind === 'transaction' || item.kind === 'message')
    .map(summarize)
    .take(limit);
  console.log(`waiting for ${limit} transactions of my_publication; Ctrl+C ends it`);
  for await (const { text, last, lsn } of summaries) {
    console.log(text);
    stream.ack(lsn);
    // takeWhile is a break.
    if (last) break;
  }
  await stream.stop();
  console.log(`stopped; confirmed up to ${Lsn.format(stream.stats().flushedLsn)}`);
}

function openStream(connection: string, ack: 'auto' | 'manual'): WalStream {
  return new WalStream({
    connection,
    slot: { name: 'my_slot', create: 'if-missing' },
    publications: 'my_publication',
    messages: true,
    ack,
    // Given, it holds for the start too: a server that is still starting, a slot that somebody else is about to leave.
    retry: { maxAttempts: 10, minDelayMs: 100, maxDelayMs: 5_000 },
  });
}

/** One line about a transaction, or a message that stands alone: `last` is one that says 'stop'. */
async function summarize(item: TransactionItem): Promise<{ text: string; last: boolean; lsn: bigint }> {
  if (item.kind === 'message') {
    return { text: `message '${item.prefix}'`, last: item.prefix === 'stop', lsn: item.lsn };
  }
  if (item.kind !== 'transaction') throw new TypeError(`${item.kind} comes only with the option twoPhase`);
  const counts = new Map<string, number>();
  for await (const { kind } of item.changes) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const what = Array.from(counts, ([kind, count]) => `${kind} ${count}`).join(', ');
  return { text: `transaction ${item.xid}: ${what}`, last: false, lsn: item.commitEndLsn };
}

function describe(event: WalEvent): string {
  switch (event.kind) {
    case 'begin':
      return `begin ${event.xid}, committed ${event.commitTime.toISOString()}`;
    case 'commit':
      return `commit ${event.xid} at ${Lsn.format(event.commitEndLsn)}`;
    // Rows are plain objects; toJSON() makes bigints, bytes and the like safe for JSON.
    case 'insert':
    case 'update':
    case 'delete': {
      const { schema, table, new: row, old, key } = event.toJSON();
      return `  ${event.kind} ${schema}.${table} ${JSON.stringify({ new: row, old, key })}`;
    }
    case 'truncate':
      return `  truncate ${event.relations.map(({ schema, table }) => `${schema}.${table}`).join(', ')}`;
    case 'message':
      return `  message '${event.prefix}', ${event.content.length} bytes`;
    case 'relation':
      return `  relation ${event.relation.schema}.${event.relation.table}: ${event.relation.columns.map(({ name }) => name).join(', ')}`;
    case 'type':
      return `  type ${event.schema}.${event.name}`;
    case 'origin':
      return `  origin ${event.name}`;
    // Of transactions in progress: only with the option `streaming`.
    case 'streamStart':
    case 'streamStop':
    case 'streamAbort':
    case 'streamCommit':
      return `${event.kind} ${event.xid}`;
    // Of two-phase commit: only from a slot that was made for it.
    case 'beginPrepare':
    case 'prepare':
    case 'streamPrepare':
    case 'commitPrepared':
    case 'rollbackPrepared':
      return `${event.kind} ${event.xid} '${event.gid}'`;
    default:
      return event satisfies never;
  }
}
