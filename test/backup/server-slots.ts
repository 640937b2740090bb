import { isDeepStrictEqual } from 'node:util';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { eventually } from '../support/eventually.js';
import { sql } from '../support/server.js';

/** The slots that there are, by name. */
export async function slotsOf(server: EmbeddedServer): Promise<unknown[]> {
  const rows = await sql(server, 'SELECT slot_name, temporary, active FROM pg_replication_slots ORDER BY 1');
  return rows.map(({ slot_name: name, temporary, active }) => ({ name, temporary, active }));
}

/** A server notices a little later that a connection has gone. */
export async function slotsBecome(server: EmbeddedServer, expected: readonly unknown[]): Promise<void> {
  await eventually(`slots ${JSON.stringify(expected)}`, async () => isDeepStrictEqual(await slotsOf(server), expected));
}
