import { fileURLToPath } from 'node:url';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { Run } from '../cli/command-line.js';
import { until } from '../stream/source.js';
import { sql } from '../support/server.js';

const RUNNER = fileURLToPath(new URL('../../examples/run.js', import.meta.url));

export interface ExampleOptions {
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** A run of an example as `npm run example` starts it, on this server or, without one, on its own. */
export function runExample(name: string, server: EmbeddedServer | undefined, options: ExampleOptions = {}): Run {
  const url = server && { DATABASE_URL: `${server.connectionString()}?replication=database` };
  return new Run([name, ...(options.args ?? [])], { ...url, ...options.env }, { program: RUNNER });
}

/** Waits until somebody streams from the slot. */
export async function slotIsActive(server: EmbeddedServer, slot: string): Promise<void> {
  await until(async () => {
    const [found] = await sql(server, 'SELECT active FROM pg_replication_slots WHERE slot_name = $1', [slot]);
    return found?.active === true;
  }, `${slot} is streamed from`);
}

/** Waits until nobody does; its walsender ends some time after its client. */
export async function slotIsFree(server: EmbeddedServer, slot: string): Promise<void> {
  await until(async () => {
    const [found] = await sql(server, 'SELECT active FROM pg_replication_slots WHERE slot_name = $1', [slot]);
    return found?.active === false;
  }, `${slot} is free`);
}
