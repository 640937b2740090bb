import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { BackupError } from '../errors.js';
import type { CompressionMethod, ResolvedCompression } from './backup-compression.js';

/** Bytes that zlib gives at once: each piece is a task of its own for a thread of libuv. */
const PIECE_BYTES = 256 * 1024;

/** What Node.js 24 and later have in node:zlib, beyond the types of the oldest that is supported. */
interface Zstd {
  readonly createZstdCompress: (options: zlib.ZlibOptions & { params: Record<number, number> }) => Transform;
  readonly createZstdDecompress: (options: zlib.ZlibOptions) => Transform;
  readonly constants: Readonly<
    Record<'ZSTD_c_compressionLevel' | 'ZSTD_c_enableLongDistanceMatching' | 'ZSTD_c_windowLog', number>
  >;
}

/** Node.js 22 has it too, but takes a stream that is cut off for a whole one. */
const ZSTD_SINCE_MAJOR = 24;

function findZstd(): Zstd | undefined {
  if (Number.parseInt(process.versions.node, 10) < ZSTD_SINCE_MAJOR) return undefined;
  const found = zlib as unknown as Partial<Zstd>;
  const isThere = typeof found.createZstdCompress === 'function' && typeof found.createZstdDecompress === 'function';
  return isThere ? (found as Zstd) : undefined;
}

/** Why this Node.js can neither make nor read such archives; `undefined` when it can. */
export function whyNoCodec(method: CompressionMethod): string | undefined {
  if (method === 'lz4') return 'Node.js has no lz4';
  if (method === 'zstd' && findZstd() === undefined) {
    return `Node.js ${process.versions.node} has no zstd that notices what is cut off; ${ZSTD_SINCE_MAJOR} and later do`;
  }
  return undefined;
}

/** Windows of `long` are the largest that readers take without being told. */
const LONG_WINDOW_LOG = 27;

function compressor({ method, level, long }: ResolvedCompression): Transform {
  const zstd = findZstd();
  if (method === 'gzip') return zlib.createGzip({ chunkSize: PIECE_BYTES, ...(level !== undefined && { level }) });
  if (method === 'lz4' || zstd === undefined) throw noCodec(method);
  const { constants } = zstd;
  return zstd.createZstdCompress({
    chunkSize: PIECE_BYTES,
    params: {
      ...(level !== undefined && { [constants.ZSTD_c_compressionLevel]: level }),
      ...(long && {
        [constants.ZSTD_c_enableLongDistanceMatching]: 1,
        [constants.ZSTD_c_windowLog]: LONG_WINDOW_LOG,
      }),
    },
  });
}

function decompressor(method: CompressionMethod): Transform {
  const zstd = findZstd();
  if (method === 'gzip') return zlib.createGunzip({ chunkSize: PIECE_BYTES });
  if (method === 'lz4' || zstd === undefined) throw noCodec(method);
  return zstd.createZstdDecompress({ chunkSize: PIECE_BYTES });
}

function noCodec(method: CompressionMethod): BackupError {
  return new BackupError(`${method}: ${whyNoCodec(method) ?? 'unknown'}`);
}

/**
 * Compresses or decompresses one archive as it comes, one call at a time. It holds no more than one piece in each
 * direction, however well the archive is compressed.
 */
export class ArchiveCodec {
  readonly #name: string;
  readonly #stream: Transform & { readonly bytesWritten: number };
  readonly #onBytes: (bytes: Buffer) => void;
  #givenBytes = 0;
  #ended = false;
  #failure: Error | undefined;
  #waiting: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;

  static compress(name: string, how: ResolvedCompression, onBytes: (bytes: Buffer) => void): ArchiveCodec {
    return new ArchiveCodec(name, compressor(how), onBytes);
  }

  /** `onBytes` may throw, which ends it. */
  static decompress(name: string, method: CompressionMethod, onBytes: (bytes: Buffer) => void): ArchiveCodec {
    return new ArchiveCodec(name, decompressor(method), onBytes);
  }

  private constructor(name: string, stream: Transform, onBytes: (bytes: Buffer) => void) {
    this.#name = name;
    this.#stream = stream as Transform & { readonly bytesWritten: number };
    this.#onBytes = onBytes;
    stream.on('data', (bytes: Buffer) => this.#give(bytes));
    // Comes early when something is behind the end of a compressed stream: the write that had it is never answered.
    stream.once('end', () => {
      this.#ended = true;
      this.#waiting?.resolve();
    });
    stream.on('error', (cause) => this.#fail(this.#fault(reasonOf(cause), cause)));
  }

  /**
   * Resolves when the bytes are used, which must not change until then; rejects with BackupError when they are malformed, or
   * with what `onBytes` threw.
   */
  async push(bytes: Uint8Array): Promise<void> {
    if (this.#ended) throw this.#fault('something is behind its end');
    this.#givenBytes += bytes.length;
    await this.#settled((resolve) => this.#stream.write(bytes, () => resolve()));
  }

  /** Nothing more comes; rejects also when something is missing, or was behind the end. */
  async end(): Promise<void> {
    if (!this.#ended) await this.#settled(() => this.#stream.end());
    if (this.#stream.bytesWritten !== this.#givenBytes) throw this.#fault('something is behind its end');
  }

  /** Lets go of what it holds; nothing more is given. */
  close(): void {
    this.#stream.destroy();
  }

  #settled(begin: (resolve: () => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      this.#waiting = { resolve, reject };
      begin(resolve);
    });
  }

  #give(bytes: Buffer): void {
    if (this.#failure !== undefined) return;
    try {
      this.#onBytes(bytes);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#waiting?.reject(error);
    this.#stream.destroy();
  }

  #fault(problem: string, cause?: unknown): BackupError {
    return new BackupError(`${this.#name} is malformed: ${problem}`, { path: this.#name, cause });
  }
}

/** zlib calls a stream that is cut off a buffer error. */
function reasonOf(error: Error): string {
  return 'code' in error && error.code === 'Z_BUF_ERROR' ? 'it is cut off' : error.message;
}
