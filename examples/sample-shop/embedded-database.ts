import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { EmbeddedServer } from 'pg-walstream/embedded';

/**
 * What the examples stream when there is no DATABASE_URL: a PostgreSQL of this process's own, in which something happens
 * several times a second. It goes away with the process, however that ends, and does not keep it from ending.
 */
export async function embeddedDatabase(): Promise<string> {
  console.error('no DATABASE_URL: starting an embedded PostgreSQL with a small writer');
  // The user's PG* variables are about another server.
  for (const name of Object.keys(process.env)) if (name.startsWith('PG')) delete process.env[name];
  const password = randomBytes(24).toString('base64url');
  const server = await EmbeddedServer.start({ password });
  const url = server.connectionString();
  const writer = new Worker(new URL('./small-writer.js', import.meta.url), { workerData: url });
  await once(writer, 'message');
  writer.unref();
  process.once('beforeExit', async () => {
    await writer.terminate();
    await server[Symbol.asyncDispose]();
  });
  return url;
}
