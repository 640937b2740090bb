import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { sql } from '../support/server.js';

/** The slots that there are, by name. */
export async function slotsOf(server: EmbeddedServer): Promise<unknown[]> {
  const rows = await sql(server, 'SELECT slot_name, temporary, active FROM pg_replication_slots ORDER BY 1');
  return rows.map(({ slot_name: name, temporary, active }) => ({ name, temporary, active }));
}
