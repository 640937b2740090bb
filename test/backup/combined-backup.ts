import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const BLOCK_BYTES = 8192;
const MAGIC = 0xd3ae1f0d;
const PREFIX = 'INCREMENTAL.';

/**
 * What pg_combinebackup makes of a full backup and one that builds on it, both in plain format, without tablespaces and
 * without a manifest.
 *
 * ```
 * INCREMENTAL.x: magic:UInt32 blockCount:UInt32 truncationBlockLength:UInt32 blockNumber:UInt32[blockCount]
 *                zeros to a whole block, if there are blocks; block[blockCount]
 * ```
 *
 * @see https://github.com/postgres/postgres/blob/master/src/bin/pg_combinebackup/reconstruct.c
 */
export async function combineBackups(full: string, incremental: string, output: string): Promise<void> {
  await mkdir(output, { mode: 0o700 });
  for (const entry of await readdir(incremental, { recursive: true, withFileTypes: true })) {
    const folder = (entry.parentPath ?? entry.path).slice(incremental.length + 1);
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      await mkdir(join(output, path), { recursive: true, mode: 0o700 });
      continue;
    }
    await mkdir(dirname(join(output, path)), { recursive: true, mode: 0o700 });
    if (entry.name.startsWith(PREFIX)) {
      const whole = join(folder, entry.name.slice(PREFIX.length));
      const blocks = await readFile(join(incremental, path));
      await writeFile(join(output, whole), rebuild(await readFile(join(full, whole)), blocks), { mode: 0o600 });
    } else if (path === 'backup_label') {
      const label = await readFile(join(incremental, path), 'utf8');
      await writeFile(join(output, path), label.replace(/^INCREMENTAL FROM .*\n/gm, ''), { mode: 0o600 });
    } else if (path !== 'backup_manifest') {
      await cp(join(incremental, path), join(output, path));
    }
  }
}

function rebuild(earlier: Buffer, changed: Buffer): Buffer {
  if (changed.readUInt32LE(0) !== MAGIC) throw new Error('this is no incremental file');
  const blockCount = changed.readUInt32LE(4);
  const numbers = Array.from({ length: blockCount }, (_, n) => changed.readUInt32LE(12 + 4 * n));
  const headerBytes = 12 + 4 * blockCount;
  const start = blockCount === 0 ? headerBytes : Math.ceil(headerBytes / BLOCK_BYTES) * BLOCK_BYTES;
  if (changed.length !== start + blockCount * BLOCK_BYTES) throw new Error('the incremental file has another size');
  const length = Math.max(changed.readUInt32LE(8), ...numbers.map((number) => number + 1));
  const whole = Buffer.alloc(length * BLOCK_BYTES);
  earlier.copy(whole, 0, 0, whole.length);
  for (const [n, number] of numbers.entries()) {
    changed.copy(whole, number * BLOCK_BYTES, start + n * BLOCK_BYTES, start + (n + 1) * BLOCK_BYTES);
  }
  return whole;
}
