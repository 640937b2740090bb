/**
 * Keeps a copy of the published tables in another database, each transaction there once, killed at any moment or not:
 *
 *   - a transaction is received whole before anything is done with it, and applied in the order of the commits;
 *   - its changes and the stream's position are committed to the other database together;
 *   - the server is told only after that;
 *   - what is received ahead is bounded: MAX_BUFFERED_TRANSACTIONS (100), MAX_BUFFERED_BYTES of WAL (16 MiB).
 *
 *   npm run example safe-transaction-consumer
 *   DATABASE_URL=postgresql://... SINK_URL=postgresql://... npm run example safe-transaction-consumer
 *
 * Without SINK_URL the copy is in the database `safe_consumer_sink` of the same server, which is made when it is missing.
 * It is one table, `mirror`: the rows of every published table as JSON, by their replica identity. A table without a key, or
 * with REPLICA IDENTITY FULL, is refused: nothing tells its rows apart but the whole of them, which may be equal, and larger
 * than what an index takes. What was in the tables before the slot was made is not in it. The slot is dropped with
 *
 *   psql -c "SELECT pg_drop_replication_slot('safe_consumer_slot')"
 */
import { interruption, whenInterrupted } from './building-blocks/interruption.js';
import './building-blocks/connection-loss.js';
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import pg from 'pg';
import {
  AppliedPosition,
  type ChangeEvent,
  Lsn,
  ReplicationConnection,
  type RowEvent,
  resolveConnectionConfig,
  type Transaction,
  type TransactionItem,
  WalStream,
} from 'pg-walstream';
import { untilAborted } from './building-blocks/until-aborted.js';
import { urlVariable } from './building-blocks/url-variable.js';
import { MAX_TIMER_MS, wholeNumber } from './building-blocks/whole-number.js';
import { embeddedDatabase } from './sample-shop/embedded-database.js';

const SLOT = 'safe_consumer_slot';
const SINK_DATABASE = 'safe_consumer_sink';
const PUBLICATION = 'my_publication';
/** How long Ctrl+C waits for what was received to be applied; the rest comes again. */
const SHUTDOWN_MS = 10_000;
/** How long the database of the copy may take to answer: Ctrl+C does not end a connection that is being made. */
const CONNECT_TIMEOUT_MS = 10_000;

const SINK_SCHEMA = `CREATE TABLE IF NOT EXISTS mirror (
  schema_name text, table_name text, identity jsonb, contents jsonb NOT NULL,
  PRIMARY KEY (schema_name, table_name, identity)
)`;

/** What a row is told by is an index; NOTHING and FULL have none. */
const TABLES_WITHOUT_KEY = `
SELECT schemaname || '.' || tablename AS name FROM pg_publication_tables
  JOIN pg_class ON pg_class.oid = format('%I.%I', schemaname, tablename)::regclass
WHERE pubname = '${PUBLICATION}' AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indimmediate
  AND CASE relreplident WHEN 'd' THEN indisprimary WHEN 'i' THEN indisreplident END)
ORDER BY name`;

/** Items that were received and are not applied yet, in the order of their commits. */
class TransactionBuffer extends EventEmitter {
  readonly #items: TransactionItem[] = [];
  readonly #maxTransactions: number;
  readonly #maxBytes: bigint;
  #ended = false;

  constructor(maxTransactions: number, maxBytes: number) {
    super();
    this.#maxTransactions = maxTransactions;
    this.#maxBytes = BigInt(maxBytes);
  }

  get length(): number {
    return this.#items.length;
  }

  /** The WAL between the ends of the first of them and of the last. */
  get bytes(): bigint {
    const [first, last] = [this.#items[0], this.#items.at(-1)];
    return first === undefined || last === undefined ? 0n : endOf(last) - endOf(first);
  }

  get full(): boolean {
    return this.length >= this.#maxTransactions || this.bytes >= this.#maxBytes;
  }

  add(item: TransactionItem): void {
    this.#items.push(item);
    this.emit('change');
  }

  removeOldest(): void {
    this.#items.shift();
    this.emit('change');
  }

  /** Nothing more will be added. */
  end(): void {
    this.#ended = true;
    this.emit('change');
  }

  /** Resolves when there is room, or nothing more is wanted. */
  async room(): Promise<void> {
    while (this.full && !this.#ended) await once(this, 'change');
  }

  /** The oldest item, which stays here until it is removed; `undefined` at the end. */
  async oldest(): Promise<TransactionItem | undefined> {
    while (this.length === 0 && !this.#ended) await once(this, 'change');
    return this.#items[0];
  }
}

/** What the statistics show; waits for room are counted. */
const figures = { transactions: 0, changes: 0, waits: 0 };

/** Takes transactions from the stream while there is room. While there is none, the stream and the server wait. */
async function receive(stream: WalStream, buffer: TransactionBuffer, signal: AbortSignal): Promise<void> {
  let before = 0n;
  for await (const item of untilAborted(stream.transactions(), signal)) {
    assert.ok(endOf(item) > before, 'transactions come in the order of their commits');
    before = endOf(item);
    buffer.add(item);
    if (buffer.full) figures.waits++;
    await buffer.room();
  }
}

/** Applies what was received, one transaction after the other, and has the server told of each when it is safe. */
async function apply(
  stream: WalStream,
  buffer: TransactionBuffer,
  position: AppliedPosition<pg.Client>,
  deadline: AbortSignal,
): Promise<void> {
  while (!deadline.aborted) {
    const item = await buffer.oldest();
    if (item === undefined) return;
    await position.apply(item, (client) => (item.kind === 'transaction' ? writeTransaction(client, item) : undefined));
    stream.ack(item);
    buffer.removeOldest();
    figures.transactions++;
  }
}

async function writeTransaction(client: pg.Client, transaction: Transaction): Promise<void> {
  let ordinal = 0;
  for await (const change of transaction.changes) {
    assert.equal(change.xid, transaction.xid, 'a change belongs to its transaction');
    assert.equal(change.commitLsn, transaction.commitLsn, 'a change belongs to its commit');
    if (change.kind !== 'message') assert.equal(change.ordinal, ordinal++, 'no change is missing');
    await writeChange(client, change);
    figures.changes++;
  }
}

async function writeChange(client: pg.Client, change: ChangeEvent): Promise<void> {
  switch (change.kind) {
    case 'insert': {
      const { after, contents } = rowOf(change);
      await upsert(client, change, after, contents);
      return;
    }
    case 'update': {
      // Columns that the server did not send, because they did not change, are not in `contents`: they stay.
      const { before, after, contents } = rowOf(change);
      const { rowCount } = await client.query(
        `UPDATE mirror SET identity = $4, contents = contents || $5
         WHERE schema_name = $1 AND table_name = $2 AND identity = $3`,
        [change.schema, change.table, before, after, contents],
      );
      // It was there before the slot.
      if (rowCount === 0) await upsert(client, change, after, contents);
      return;
    }
    case 'delete':
      await client.query('DELETE FROM mirror WHERE schema_name = $1 AND table_name = $2 AND identity = $3', [
        change.schema,
        change.table,
        rowOf(change).before,
      ]);
      return;
    case 'truncate':
      for (const { schema, table } of change.relations) {
        await client.query('DELETE FROM mirror WHERE schema_name = $1 AND table_name = $2', [schema, table]);
      }
      return;
    case 'message':
      return;
    default:
      change satisfies never;
  }
}

async function upsert(client: pg.Client, { schema, table }: RowEvent, identity: object, contents: object) {
  await client.query(
    `INSERT INTO mirror VALUES ($1, $2, $3, $4) ON CONFLICT (schema_name, table_name, identity)
     DO UPDATE SET contents = mirror.contents || EXCLUDED.contents`,
    [schema, table, identity, contents],
  );
}

/** The row as JSON, and its replica identity before and after the change. */
function rowOf(change: RowEvent): { before: object; after: object; contents: object } {
  const { schema, table, relation } = change;
  const names = relation.columns.filter(({ isIdentity }) => isIdentity).map(({ name }) => name);
  // It was altered meanwhile.
  if (names.length === 0 || relation.replicaIdentity === 'full') throw withoutKey([`${schema}.${table}`]);
  const { new: contents, old, key } = change.toJSON() as Record<'new' | 'old' | 'key', Record<string, unknown>>;
  const identityOf = (row: Record<string, unknown> = {}) => Object.fromEntries(names.map((name) => [name, row[name]]));
  return { before: identityOf(key ?? old ?? contents), after: identityOf(contents), contents };
}

function withoutKey(tables: readonly string[]): TypeError {
  return new TypeError(
    `no key tells the rows of ${tables.join(', ')} apart: give each a primary key and ALTER TABLE ... REPLICA IDENTITY DEFAULT, or take it out of ${PUBLICATION}`,
  );
}

/** Of what is published when it starts, before there is a slot that would have to get past their changes. */
async function refuseTablesWithoutKey(source: string): Promise<void> {
  const config = resolveConnectionConfig(source);
  await using session = await ReplicationConnection.connect(config, { mode: 'sql', signal: interruption });
  const [result] = await session.query(TABLES_WITHOUT_KEY, { signal: interruption });
  if (result !== undefined && result.rows.length > 0) throw withoutKey(result.rows.map(([name]) => String(name)));
}

function endOf(item: TransactionItem): bigint {
  if (item.kind === 'transaction') return item.commitEndLsn;
  if (item.kind === 'message') return item.lsn;
  throw new TypeError(`${item.kind} comes only with the option twoPhase`);
}

/** Connects to the database of the copy. */
async function openSink(sinkUrl: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: sinkUrl, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  // A query that is running fails with it too, and so does the next.
  client.on('error', () => {});
  await client.connect();
  await client.query(SINK_SCHEMA);
  return client;
}

/** On the source's own server; never in its own database, whose changes would be streamed again. */
async function makeSinkDatabase(source: string): Promise<string> {
  if (!URL.canParse(source)) throw new TypeError('DATABASE_URL is no URL: SINK_URL has to say where the copy is kept');
  const url = new URL(source);
  url.searchParams.delete('replication');
  const client = new pg.Client({ connectionString: url.href, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [SINK_DATABASE]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${SINK_DATABASE}`);
  } finally {
    await client.end();
  }
  url.pathname = SINK_DATABASE;
  return url.href;
}

function sayStatistics(stream: WalStream, buffer: TransactionBuffer): void {
  const { lagBytes, flushedLsn } = stream.stats();
  console.log(
    `stats: ${figures.transactions} transactions with ${figures.changes} changes applied; ${buffer.length} transactions and ${buffer.bytes} bytes of WAL wait, ${figures.waits} times there was no room; ${lagBytes ?? '?'} bytes behind, confirmed up to ${Lsn.format(flushedLsn)}`,
  );
}

async function run(): Promise<void> {
  const buffer = new TransactionBuffer(
    wholeNumber('MAX_BUFFERED_TRANSACTIONS', 100),
    wholeNumber('MAX_BUFFERED_BYTES', 16 * 1024 * 1024),
  );
  const statsIntervalMs = wholeNumber('STATS_INTERVAL_MS', 5_000, { most: MAX_TIMER_MS });
  const sinkUrl = urlVariable('SINK_URL', ['postgresql:', 'postgres:'], 'postgresql://user@host:5432/database');
  const source = process.env.DATABASE_URL || (await embeddedDatabase());
  await refuseTablesWithoutKey(source);
  const client = await openSink(sinkUrl ?? (await makeSinkDatabase(source)));
  try {
    const position = await AppliedPosition.open(client, { slot: SLOT });
    await using stream = new WalStream({
      connection: source,
      slot: { name: SLOT, create: 'if-missing' },
      publications: PUBLICATION,
      ack: 'manual',
      // Behind the slot's own position it is an error, never a silent gap.
      startLsn: position.lsn,
      // When nothing is published, the slot moves on all the same: the position in the other database goes first.
      beforeIdleAck: (lsn) => position.advance(lsn),
      // After a SIGKILL the server needs a moment to notice that the slot is free.
      retry: { maxAttempts: 20 },
    });
    const ending = new AbortController();
    const deadline = new AbortController();
    whenInterrupted(() => {
      ending.abort();
      setTimeout(() => deadline.abort(), SHUTDOWN_MS).unref();
    });
    console.log(`applying ${PUBLICATION} from ${Lsn.format(position.lsn)} on; Ctrl+C ends it`);
    const statistics = setInterval(() => sayStatistics(stream, buffer), statsIntervalMs);
    try {
      // Whichever ends first, well or not, has the other end too.
      await Promise.all([
        receive(stream, buffer, ending.signal).finally(() => buffer.end()),
        apply(stream, buffer, position, deadline.signal).finally(() => {
          ending.abort();
          buffer.end();
        }),
      ]);
    } finally {
      clearInterval(statistics);
    }
    await stream.stop();
    sayStatistics(stream, buffer);
    console.log(`stopped; applied up to ${Lsn.format(position.lsn)}`);
  } finally {
    await client.end();
  }
}

try {
  await run();
} catch (error) {
  if (interruption.aborted && error === interruption.reason) console.log('stopped before anything was applied');
  else {
    // Nothing is lost: started again, it goes on after what is in the other database.
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
