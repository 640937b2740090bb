/*
 * Says on stderr that a stream's connection was lost, or not made, and when it is tried again: every example that streams
 * imports this.
 */
import { subscribe } from 'node:diagnostics_channel';
import type { ConnectionLost } from 'pg-walstream';

subscribe('pg-walstream:connection-lost', (message) => {
  const { error, attempt, delayMs } = message as ConnectionLost;
  console.error(`${error instanceof Error ? error.message : error}; attempt ${attempt} in ${Math.round(delayMs)} ms`);
});
