import type pg from 'pg';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { Lsn } from '../../src/lsn.js';
import type { WalStreamOptions } from '../../src/options.js';
import type { Row } from '../../src/pgoutput/event-json.js';
import { WalStream } from '../../src/stream/wal-stream.js';

/** The session settings that the stream fixes, so that another session prints the same. */
export const FIXED_SETTINGS = `SET DateStyle = ISO; SET TimeZone = UTC; SET IntervalStyle = postgres;
  SET bytea_output = hex; SET extra_float_digits = 3; SET lc_monetary = 'C'`;

/** Rows that a copy of a slot streams up to now, by table in the order of insertion, and what was warned of. */
export async function streamedRows(
  server: EmbeddedServer,
  client: pg.Client,
  slot: string,
  options: Partial<WalStreamOptions>,
): Promise<{ rows: Map<string, Row[]>; warnings: readonly string[] }> {
  const copy = `${slot}_${Math.random().toString(36).slice(2)}`;
  await client.query(`SELECT pg_copy_logical_replication_slot('${slot}', '${copy}')`);
  const {
    rows: [position],
  } = await client.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn');
  const stream = new WalStream({
    connection: server.connectionString(),
    slot: copy,
    publications: slot,
    stopLsn: Lsn.parse(position?.lsn ?? ''),
    ...options,
  });
  const rows = new Map<string, Row[]>();
  for await (const event of stream) {
    if (event.kind !== 'insert') continue;
    const known = rows.get(event.table);
    if (known === undefined) rows.set(event.table, [event.new]);
    else known.push(event.new);
  }
  const { warnings } = stream;
  await stream.stop();
  await client.query(`SELECT pg_drop_replication_slot('${copy}')`);
  return { rows, warnings };
}
