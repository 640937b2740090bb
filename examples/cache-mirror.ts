/**
 * Keeps a table in memory, exactly as it is in the database: its rows at one moment, then every change after that
 * moment, with none missing and none twice. The same way fills a search index.
 *
 *   npm run example cache-mirror            then: curl http://127.0.0.1:8081/
 *   TABLE=public.orders DATABASE_URL=postgresql://... npm run example cache-mirror
 *
 * The cache is gone with the process, and so is its slot. One that was killed is made anew at the next start; until then
 * the server keeps its WAL:
 *
 *   psql -c "SELECT pg_drop_replication_slot('cache_mirror_slot')"
 */
import './building-blocks/end-with-pipe.js';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  createSlot,
  dropSlot,
  findSlot,
  Lsn,
  ReplicationConnection,
  type Row,
  resolveConnectionConfig,
  UNCHANGED,
  type WalEvent,
  WalStream,
} from 'pg-walstream';
import { wholeNumber } from './building-blocks/whole-number.js';
import { embeddedDatabase } from './sample-shop/embedded-database.js';

const SLOT = 'cache_mirror_slot';
const [SCHEMA = '', TABLE = ''] = (process.env.TABLE || 'public.orders').split('.');
/** The walsender of one that was killed may hold the slot for a moment. */
const DROP_WAIT_MS = 10_000;

/** Rows by their replica identity, as the server's text: what a query and the stream with `types: 'text'` both give. */
const cache = new Map<string, Row>();

/** A new slot begins at a moment whose snapshot other sessions can read: the stream's first change is the next one. */
async function fill(connection: string): Promise<void> {
  const config = resolveConnectionConfig(connection);
  await using replication = await ReplicationConnection.connect(config, { mode: 'logical' });
  if ((await findSlot(replication, SLOT)) !== undefined) {
    await dropSlot(replication, SLOT, { waitMs: DROP_WAIT_MS });
  }
  const slot = await createSlot(replication, { kind: 'logical', name: SLOT, snapshot: 'export' });
  await using session = await ReplicationConnection.connect(config, { mode: 'sql' });
  const name = [SCHEMA, TABLE].map((part) => `"${part.replaceAll('"', '""')}"`).join('.');
  const results = await session.query(
    `BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '${slot.snapshotName}';
     SELECT attname FROM pg_attribute JOIN pg_index ON attrelid = indrelid AND attnum = ANY (indkey)
       WHERE indisprimary AND indrelid = '${name.replaceAll("'", "''")}'::regclass;
     SELECT * FROM ${name}; COMMIT`,
  );
  const identity = results[2]?.rows.map(([column]) => String(column)) ?? [];
  const { columns = [], rows = [] } = results[3] ?? {};
  for (const values of rows) {
    const row = Object.fromEntries(columns.map((column, at) => [column, values[at]]));
    cache.set(keyOf(Object.fromEntries(identity.map((column) => [column, row[column]]))), row);
  }
}

function keyOf(identity: Row): string {
  return JSON.stringify(Object.entries(identity).sort());
}

function apply(event: WalEvent): void {
  if (event.kind === 'truncate') {
    if (event.relations.some(({ schema, table }) => schema === SCHEMA && table === TABLE)) cache.clear();
    return;
  }
  if (event.kind !== 'insert' && event.kind !== 'update' && event.kind !== 'delete') return;
  if (event.schema !== SCHEMA || event.table !== TABLE) return;
  if (event.identity === undefined) throw new TypeError(`${SCHEMA}.${TABLE} needs a primary key`);
  const before = cache.get(keyOf(event.identity));
  cache.delete(keyOf(event.identity));
  if (event.kind === 'delete') return;
  const row: Row = { ...event.new };
  // A large value that did not change is not sent again.
  for (const [column, value] of Object.entries(row)) if (value === UNCHANGED) row[column] = before?.[column];
  const identity = Object.fromEntries(Object.keys(event.identity).map((column) => [column, row[column]]));
  cache.set(keyOf(identity), row);
}

try {
  const port = wholeNumber('PORT', 8081, 0);
  const connection = process.env.DATABASE_URL || (await embeddedDatabase());
  await fill(connection);
  const stream = new WalStream({
    connection,
    slot: SLOT,
    publications: 'my_publication',
    types: 'text',
    retry: { maxAttempts: 10 },
  });
  process.on('SIGINT', () => void stream.stop().catch(() => {}));
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify([...cache.values()]));
  });
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    console.log(
      `${cache.size} rows of ${SCHEMA}.${TABLE} on http://127.0.0.1:${(server.address() as AddressInfo).port}/; Ctrl+C ends it`,
    );
    for await (const event of stream) {
      apply(event);
      if (event.kind === 'commit') console.log(`${cache.size} rows at ${Lsn.format(event.commitEndLsn)}`);
    }
  } finally {
    server.close();
    server.closeAllConnections();
    await stream.stop();
    await using session = await ReplicationConnection.connect(resolveConnectionConfig(connection), { mode: 'sql' });
    await dropSlot(session, SLOT, { waitMs: DROP_WAIT_MS });
  }
  console.log(`stopped with ${cache.size} rows`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
