import { execFile } from 'node:child_process';
import { appendFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { withServer } from '../support/server.js';

const copy = promisify(execFile);

/** The physical slot that a standby streams from. */
export const STANDBY_SLOT = 'standby';

/**
 * A running streaming standby that synchronises failover slots. It is a copy of the primary's data directory, taken
 * while the primary is stopped.
 */
export async function withStandby(t: TestContext, primary: EmbeddedServer): Promise<EmbeddedServer> {
  const standby = await withServer(t);
  await standby.stop();
  await primary.stop();
  const { dataDirectory } = standby;
  await rm(dataDirectory, { recursive: true });
  // `cp` keeps the owner, which servers insist on.
  await copy('cp', ['-a', primary.dataDirectory, dataDirectory]);
  await copy('cp', ['-a', join(dataDirectory, 'PG_VERSION'), join(dataDirectory, 'standby.signal')]);
  // The slots are the primary's; those of a standby come by synchronisation.
  for (const slot of await readdir(join(dataDirectory, 'pg_replslot'))) {
    await rm(join(dataDirectory, 'pg_replslot', slot), { recursive: true });
  }
  await primary.restart();
  const settings = {
    primary_conninfo: `host=127.0.0.1 port=${primary.port} user=postgres dbname=postgres`,
    primary_slot_name: STANDBY_SLOT,
    hot_standby_feedback: 'on',
    sync_replication_slots: 'on',
    synchronized_standby_slots: '',
    unix_socket_directories: standby.socketDirectory,
    wal_retrieve_retry_interval: '100ms',
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`);
  await appendFile(join(dataDirectory, 'postgresql.conf'), lines.join(''));
  await standby.restart();
  return standby;
}
