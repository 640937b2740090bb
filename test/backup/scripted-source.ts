import type { TestContext } from 'node:test';
import {
  backendMessage,
  COPY_DONE,
  READY_FOR_QUERY,
  resultSet,
  sessionStart,
  text,
} from '../connection/backend-bytes.js';
import { type ClientBytes, fakeServer } from '../connection/fake-server.js';
import { SYSTEM_ID } from './fake-backup.js';

export const COMPLETE: Buffer = Buffer.concat([backendMessage('C', text('BASE_BACKUP')), READY_FOR_QUERY]);

/**
 * A server that answers what a backup asks before it, and everything else as the script says: physical WAL, which the
 * fake sender does not send. Gives its address.
 */
export async function scriptedSource(
  t: TestContext,
  answer: (client: ClientBytes, command: string) => Promise<void> | void,
  version = '18.4',
  systemIdOf: (connection: number) => string = () => SYSTEM_ID,
): Promise<{ host: string; port: number; user: string; sslMode: 'disable' }> {
  let connections = 0;
  const port = await fakeServer(t, async (client) => {
    const systemId = systemIdOf(connections++);
    await client.readStartup();
    client.send(sessionStart(version));
    for (;;) {
      const { tag, body } = await client.readMessage();
      if (tag === 'd') continue;
      if (tag === 'c') client.send(COPY_DONE, COMPLETE);
      if (tag !== 'Q') continue;
      const command = body.toString('utf8', 0, body.length - 1);
      if (command === 'IDENTIFY_SYSTEM') {
        const row = [systemId, '1', '0/2000000', null];
        client.send(resultSet(['systemid', 'timeline', 'xlogpos', 'dbname'], row), READY_FOR_QUERY);
      } else if (command.startsWith('SHOW')) {
        const value = command === 'SHOW data_directory_mode' ? '0700' : '1MB';
        client.send(resultSet(['setting'], [value]), READY_FOR_QUERY);
      } else {
        await answer(client, command);
      }
    }
  });
  return { host: '127.0.0.1', port, user: 'u', sslMode: 'disable' };
}
