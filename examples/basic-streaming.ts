/**
 * Prints every change of a publication, in the order of the commits, until Ctrl+C.
 *
 *   psql -c 'CREATE PUBLICATION my_publication FOR ALL TABLES'
 *   npm run build && DATABASE_URL=postgresql://... node dist/examples/basic-streaming.js
 *
 * The server needs wal_level = logical. The slot keeps the place: what is not printed now comes the next time. Drop it
 * when it is no longer needed, or the server keeps its WAL for ever:
 *
 *   psql -c "SELECT pg_drop_replication_slot('my_slot')"
 */
import { Lsn, type WalEvent, WalStream } from 'pg-walstream';

try {
  const stream = new WalStream({
    connection:
      process.env.DATABASE_URL ?? 'postgresql://postgres:password@localhost:5432/postgres?replication=database',
    slot: { name: 'my_slot', create: 'if-missing' },
    publications: 'my_publication',
    messages: true,
  });
  // The transaction that is being printed comes whole, then the loop ends. Should stop() fail, the loop says why.
  process.once('SIGINT', () => void stream.stop().catch(() => {}));

  console.log('waiting for changes of my_publication; Ctrl+C ends it');
  // A transaction is confirmed to the server when the loop comes back for what follows its commit.
  for await (const event of stream) console.log(describe(event));
  console.log(`stopped; confirmed up to ${Lsn.format(stream.stats().flushedLsn)}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
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
