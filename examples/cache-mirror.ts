/**
 * Keeps a table in memory, exactly as it is in the database: its rows at one moment, then every change after that
 * moment, with none missing and none twice. The same way fills a search index.
 *
 *   npm run example cache-mirror            then: curl http://127.0.0.1:8081/
 *   TABLE=public.orders DATABASE_URL=postgresql://... npm run example cache-mirror
 *
 * Rows are told apart by the table's replica identity: its primary key, or the index of REPLICA IDENTITY USING INDEX. With
 * REPLICA IDENTITY FULL it is the primary key too. A table with neither is refused: its rows may be equal, and of equal
 * rows a map holds one.
 *
 * The cache is gone with the process, and so is its slot. One that was killed is made anew at the next start; until then
 * the server keeps its WAL:
 *
 *   psql -c "SELECT pg_drop_replication_slot('cache_mirror_slot')"
 */
import { interruption, whenInterrupted } from './building-blocks/interruption.js';
import './building-blocks/connection-loss.js';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type ConnectionConfig,
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
/** The walsender of one that was killed may hold the slot for a moment. */
const DROP_WAIT_MS = 10_000;

interface Table {
  readonly schema: string;
  readonly table: string;
  /** As in SQL. */
  readonly quoted: string;
}

function readTable(): Table {
  const text = process.env.TABLE || 'public.orders';
  const [schema = '', table = '', ...more] = text.split('.');
  if (schema === '' || table === '' || more.length > 0) {
    throw new TypeError(`TABLE is '${text}': it has to be a schema and a table, such as public.orders`);
  }
  return { schema, table, quoted: [schema, table].map((part) => `"${part.replaceAll('"', '""')}"`).join('.') };
}

/** Columns whose values no two rows have in common, and which the server sends of a row before its change. */
const KEY_COLUMNS = `
SELECT attname FROM pg_class JOIN pg_index ON indrelid = pg_class.oid
  JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY ((indkey::int2[])[0:indnkeyatts - 1])
WHERE indimmediate AND CASE relreplident WHEN 'i' THEN indisreplident WHEN 'n' THEN false ELSE indisprimary END`;

/** Rows by their keys, as the server's text: what a query and the stream with `types: 'text'` both give. */
class Cache {
  readonly #rows = new Map<string, Row>();
  readonly #table: Table;
  readonly #keyColumns: readonly string[];

  constructor(table: Table, keyColumns: readonly string[], rows: readonly Row[]) {
    if (keyColumns.length === 0) {
      throw new TypeError(`${table.schema}.${table.table} needs a primary key, or REPLICA IDENTITY USING INDEX`);
    }
    this.#table = table;
    this.#keyColumns = keyColumns;
    for (const row of rows) this.#rows.set(this.#keyOf(row), row);
  }

  get size(): number {
    return this.#rows.size;
  }

  toJSON(): Row[] {
    return [...this.#rows.values()];
  }

  apply(event: WalEvent): void {
    const { schema, table } = this.#table;
    if (event.kind === 'truncate') {
      if (event.relations.some((one) => one.schema === schema && one.table === table)) this.#rows.clear();
      return;
    }
    if (event.kind !== 'insert' && event.kind !== 'update' && event.kind !== 'delete') return;
    if (event.schema !== schema || event.table !== table) return;
    const keyBefore = this.#keyOf(event.identity);
    const before = this.#rows.get(keyBefore);
    this.#rows.delete(keyBefore);
    if (event.kind === 'delete') return;
    const row: Row = { ...event.new };
    // A large value that did not change is not sent again.
    for (const [column, value] of Object.entries(row)) if (value === UNCHANGED) row[column] = before?.[column];
    this.#rows.set(this.#keyOf(row), row);
  }

  #keyOf(row: Row = {}): string {
    const key = this.#keyColumns.map((column) => row[column]);
    if (key.includes(undefined)) {
      throw new TypeError(`${this.#table.schema}.${this.#table.table} has got another key: start again`);
    }
    return JSON.stringify(key);
  }
}

/** A new slot begins at a moment whose snapshot other sessions can read: the stream's first change is the next one. */
async function fill(config: ConnectionConfig, table: Table): Promise<Cache> {
  const signal = interruption;
  await using replication = await ReplicationConnection.connect(config, { mode: 'logical', signal });
  const slot = await createSlot(replication, { kind: 'logical', name: SLOT, snapshot: 'export' }, { signal });
  await using session = await ReplicationConnection.connect(config, { mode: 'sql', signal });
  const results = await session.query(
    `BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '${slot.snapshotName}';
     ${KEY_COLUMNS} AND pg_class.oid = '${table.quoted.replaceAll("'", "''")}'::regclass;
     SELECT * FROM ${table.quoted}; COMMIT`,
    { signal },
  );
  const keyColumns = results[2]?.rows.map(([column]) => String(column)) ?? [];
  const { columns = [], rows = [] } = results[3] ?? {};
  const rowOf = (values: readonly unknown[]) => Object.fromEntries(columns.map((column, at) => [column, values[at]]));
  return new Cache(table, keyColumns, rows.map(rowOf));
}

/** Of this run, or of one that was killed. */
async function removeSlot(config: ConnectionConfig, signal?: AbortSignal): Promise<void> {
  await using session = await ReplicationConnection.connect(config, { mode: 'sql', signal });
  if ((await findSlot(session, SLOT)) === undefined) return;
  await dropSlot(session, SLOT, { waitMs: DROP_WAIT_MS });
}

/** Answers with the cache, and keeps it up with the table until the example is to end. */
async function serve(connection: string, table: Table, cache: Cache, port: number): Promise<void> {
  const stream = new WalStream({
    connection,
    slot: SLOT,
    publications: 'my_publication',
    types: 'text',
    retry: { maxAttempts: 10 },
  });
  whenInterrupted(() => void stream.stop().catch(() => {}));
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify(cache));
  });
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    console.log(
      `${cache.size} rows of ${table.schema}.${table.table} on http://127.0.0.1:${(server.address() as AddressInfo).port}/; Ctrl+C ends it`,
    );
    for await (const event of stream) {
      cache.apply(event);
      if (event.kind === 'commit') console.log(`${cache.size} rows at ${Lsn.format(event.commitEndLsn)}`);
    }
  } finally {
    server.close();
    server.closeAllConnections();
    await stream.stop();
  }
  console.log(`stopped with ${cache.size} rows`);
}

try {
  const port = wholeNumber('PORT', 8081, { least: 0, most: 65_535 });
  const table = readTable();
  const connection = process.env.DATABASE_URL || (await embeddedDatabase());
  const config = resolveConnectionConfig(connection);
  await removeSlot(config, interruption);
  try {
    await serve(connection, table, await fill(config, table), port);
  } finally {
    await removeSlot(config).catch((error: Error) => {
      console.error(`${SLOT} is still there: ${error.message}`);
      process.exitCode = 1;
    });
  }
} catch (error) {
  if (interruption.aborted && error === interruption.reason) console.log('stopped before the table was read');
  else {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
