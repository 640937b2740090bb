import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { ArchiveCodec } from './archive-codec.js';
import type { CompressionMethod } from './backup-compression.js';
import { type TarHandler, TarReader } from './tar-reader.js';

const READ_BYTES = 512 * 1024;

/** Reads an archive from beginning to end. BackupError where it is malformed; errors of the system are thrown. */
export async function readCompressedArchive(
  path: string,
  compression: CompressionMethod,
  handler: TarHandler,
): Promise<void> {
  const name = basename(path);
  const reader = new TarReader(name, 'disk', handler);
  const codec = ArchiveCodec.decompress(name, compression, (bytes) => reader.push(bytes, 0, bytes.length));
  try {
    for await (const bytes of createReadStream(path, { highWaterMark: READ_BYTES })) await codec.push(bytes);
    await codec.end();
    reader.end();
  } finally {
    codec.close();
  }
}
