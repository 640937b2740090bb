/**
 * Counts the changes and bytes of each table without decoding a row: rawMessages() gives pgoutput's messages as the server
 * sent them, and a decoder of one's own reads as much of them as it needs. For one that reads all of it there is
 * `pg-walstream/pgoutput`.
 *
 *   npm run example raw-messages
 *   DATABASE_URL=postgresql://... npm run example raw-messages
 *
 * The slot is dropped with
 *
 *   psql -c "SELECT pg_drop_replication_slot('raw_messages_slot')"
 *
 * See https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */
import { whenInterrupted } from './building-blocks/interruption.js';
import './building-blocks/connection-loss.js';
import { Lsn, WalStream } from 'pg-walstream';
import { embeddedDatabase } from './sample-shop/embedded-database.js';

interface Tally {
  readonly name: string;
  changes: number;
  bytes: number;
}

/** By the number that the server gives a table. */
const tables = new Map<number, Tally>();

/** Looks into one message; the position that a commit ends at. */
function read(data: Buffer): bigint | undefined {
  switch (String.fromCharCode(data[0] ?? 0)) {
    // Relation: Int32 id, String namespace, String name, ...
    case 'R': {
      const id = data.readUInt32BE(1);
      const endOfSchema = data.indexOf(0, 5);
      const endOfName = data.indexOf(0, endOfSchema + 1);
      const name = `${data.toString('utf8', 5, endOfSchema)}.${data.toString('utf8', endOfSchema + 1, endOfName)}`;
      tables.set(id, { ...(tables.get(id) ?? { changes: 0, bytes: 0 }), name });
      return undefined;
    }
    // Insert, Update, Delete: Int32 relation, ...
    case 'I':
    case 'U':
    case 'D': {
      const table = tables.get(data.readUInt32BE(1));
      if (table === undefined) throw new TypeError('a change came before its relation');
      table.changes++;
      table.bytes += data.length;
      return undefined;
    }
    // Commit: Int8 flags, Int64 LSN of the commit, Int64 end LSN of the transaction, Int64 time
    case 'C':
      return data.readBigUInt64BE(10);
    default:
      return undefined;
  }
}

function tallies(): string {
  return Array.from(tables.values(), ({ name, changes, bytes }) => `${name} ${changes} (${bytes} bytes)`).join(', ');
}

try {
  const stream = new WalStream({
    connection: process.env.DATABASE_URL || (await embeddedDatabase()),
    slot: { name: 'raw_messages_slot', create: 'if-missing' },
    publications: 'my_publication',
    // What an own decoder knows: without this, whatever is newest.
    protoVersion: 1,
    ack: 'manual',
    retry: { maxAttempts: 10 },
  });
  whenInterrupted(() => void stream.stop().catch(() => {}));
  console.log('counting the changes of my_publication; Ctrl+C ends it');
  for await (const { data } of stream.rawMessages()) {
    const endLsn = read(data);
    if (endLsn === undefined) continue;
    console.log(`${Lsn.format(endLsn)} ${tallies()}`);
    stream.ack(endLsn);
  }
  console.log(`stopped; confirmed up to ${Lsn.format(stream.stats().flushedLsn)}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
