import { randomFillSync } from 'node:crypto';
import { chown, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';

const ROWS_PER_MB = 2_100;
const TABLES = 4;
const SMALL_FILE_BYTES = 8192;
const FILES_PER_FOLDER = 1000;

/** Fills tables until they hold at least so many MB. */
export async function fillTables(client: pg.Client, megabytes: number): Promise<void> {
  const rows = Math.ceil((megabytes * ROWS_PER_MB) / TABLES);
  for (let table = 0; table < TABLES; table++) {
    // Bytes that neither TOAST nor a file system can make smaller.
    await client.query(`
      CREATE TABLE filler_${table} AS
      SELECT g AS id, string_agg(md5(g::text || part), '') AS body
      FROM generate_series(1, ${rows}) g, generate_series(1, 13) part GROUP BY g`);
  }
  await client.query('CHECKPOINT');
}

/** Files of one page each in the data directory: the server sends whatever lies there. */
export async function addSmallFiles(dataDirectory: string, count: number): Promise<void> {
  const { uid, gid } = await stat(dataDirectory);
  const content = Buffer.alloc(SMALL_FILE_BYTES);
  const root = join(dataDirectory, 'small');
  await mkdir(root, { mode: 0o700 });
  await chown(root, uid, gid);
  for (let first = 0; first < count; first += FILES_PER_FOLDER) {
    const folder = join(root, String(first));
    await mkdir(folder, { mode: 0o700 });
    await chown(folder, uid, gid);
    for (let number = first; number < Math.min(count, first + FILES_PER_FOLDER); number++) {
      randomFillSync(content);
      const path = join(folder, String(number));
      await writeFile(path, content, { mode: 0o600 });
      await chown(path, uid, gid);
    }
  }
}
