import { ReplicationConnection, resolveConnectionConfig } from '../index.js';

/** Runs work on a session of its own: an ordinary one or, for replication commands, a walsender's. */
export async function withSession<T>(
  dsn: string | undefined,
  mode: 'sql' | 'logical',
  work: (session: ReplicationConnection) => Promise<T>,
): Promise<T> {
  await using session = await ReplicationConnection.connect(resolveConnectionConfig(dsn), { mode });
  return await work(session);
}
