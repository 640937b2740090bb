import { ArchiveCodec, whyNoCodec } from './archive-codec.js';
import { NO_OUTPUT, newArchiveFile, openArchive } from './archive-output.js';
import { type ArchiveSink, ArchivingSink, ExtractingSink, type ReceivedFiles } from './archive-sinks.js';
import { COMPRESSION_SUFFIXES, type CompressionMethod } from './backup-compression.js';
import type { ArchiveTarget, BackupLayout } from './backup-layout.js';
import { type NewFile, syncPath } from './durable-file.js';

/** What the layout asks for. */
export function createSink(layout: BackupLayout, received: ReceivedFiles): ArchiveSink {
  const { format, compression } = layout;
  const method = compression?.location === 'server' ? compression.method : undefined;
  if (format === 'plain') {
    const extracting = new ExtractingSink(layout, received);
    return method === undefined ? extracting : new DecompressingSink(extracting, method);
  }
  if (method === undefined) return new ArchivingSink(layout, received, (target) => openArchive(layout, target));
  if (!looksInto(layout)) return new KeepingSink(layout, undefined);
  const inspecting = new ArchivingSink(layout, received, () => NO_OUTPUT);
  return new KeepingSink(layout, new DecompressingSink(inspecting, method));
}

/** Whether what comes is looked into. It is not where the server compressed it in a way that this Node.js cannot read. */
export function looksInto({ compression }: Pick<BackupLayout, 'compression'>): boolean {
  return compression?.location !== 'server' || whyNoCodec(compression.method) === undefined;
}

/** Gives archives that the server compressed to another sink, as they were before. */
class DecompressingSink implements ArchiveSink {
  readonly #inner: ArchiveSink;
  readonly #method: CompressionMethod;
  #codec: ArchiveCodec | undefined;
  /** What the inner one waits for. */
  #pushed: Promise<void> | undefined;

  /** `inner` uses bytes at once, whatever it waits for then. */
  constructor(inner: ArchiveSink, method: CompressionMethod) {
    this.#inner = inner;
    this.#method = method;
  }

  begin(target: ArchiveTarget): void {
    this.#inner.begin(target);
    const name = target.name + COMPRESSION_SUFFIXES[this.#method];
    this.#codec = ArchiveCodec.decompress(name, this.#method, (bytes) => {
      this.#pushed = this.#inner.push(bytes, 0, bytes.length) ?? this.#pushed;
    });
  }

  async push(bytes: Buffer, start: number, end: number): Promise<void> {
    await this.#codec?.push(bytes.subarray(start, end));
    await this.#pushed;
    this.#pushed = undefined;
  }

  async end(): Promise<void> {
    await this.#codec?.end();
    await this.#inner.end();
  }

  finish(): Promise<void> | undefined {
    return this.#inner.finish();
  }
}

/** Keeps archives that the server compressed byte for byte, and has them looked into where that is possible. */
class KeepingSink implements ArchiveSink {
  readonly #layout: BackupLayout;
  readonly #inspecting: ArchiveSink | undefined;
  #file: NewFile | undefined;

  constructor(layout: BackupLayout, inspecting: ArchiveSink | undefined) {
    this.#layout = layout;
    this.#inspecting = inspecting;
  }

  begin(target: ArchiveTarget): void {
    this.#file = newArchiveFile(this.#layout, target);
    this.#inspecting?.begin(target);
  }

  async push(bytes: Buffer, start: number, end: number): Promise<void> {
    // Looked at first: what is refused is not written.
    await this.#inspecting?.push(bytes, start, end);
    this.#file?.write(bytes.subarray(start, end));
  }

  async end(): Promise<void> {
    await this.#inspecting?.end();
    this.#file?.close(this.#layout.sync);
    this.#file = undefined;
  }

  finish(): undefined {
    const { directory, sync } = this.#layout;
    if (sync) syncPath(directory, directory, 'directory');
  }
}
