import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

const OBJECT_IN_USE = '55006';
const RELEASE_TIMEOUT_MS = 30_000;
const RELEASE_POLL_MS = 50;

let copyCount = 0;

/** Runs `drain` on a copy of the slot: the same backlog from the same position for every client. */
export async function withSlotCopy<T>(
  client: pg.Client,
  slot: string,
  drain: (copy: string) => Promise<T>,
): Promise<T> {
  const copy = `${slot}_${++copyCount}`;
  await client.query('SELECT pg_copy_logical_replication_slot($1, $2)', [slot, copy]);
  try {
    return await drain(copy);
  } finally {
    await dropWhenReleased(client, copy);
  }
}

/** The server notices a little later that a client has gone. */
export async function dropWhenReleased(client: pg.Client, slot: string): Promise<void> {
  for (const deadline = Date.now() + RELEASE_TIMEOUT_MS; ; await sleep(RELEASE_POLL_MS)) {
    try {
      await client.query('SELECT pg_drop_replication_slot($1)', [slot]);
      return;
    } catch (error) {
      const inUse = error instanceof pg.DatabaseError && error.code === OBJECT_IN_USE;
      if (!inUse || Date.now() > deadline) throw error;
    }
  }
}
