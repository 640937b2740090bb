import { join } from 'node:path';
import { BackupError } from '../errors.js';
import { type ArchiveSink, ReceivedFiles } from './archive-sinks.js';
import { type BackupLayout, type BackupPositions, type BackupSummary, modesOf } from './backup-layout.js';
import { createSink, looksInto } from './compressed-sinks.js';
import { appendToFile, filePieces, NewFile, renameFile, syncPath } from './durable-file.js';
import { MAX_MANIFEST_BYTES, parseManifest } from './manifest.js';
import { compareOrigin, compareWithManifest, type ReceivedFile } from './manifest-comparison.js';
import { formatManifest, type ListedFile } from './manifest-format.js';
import { MANIFEST_NAME, UNPROVED_MANIFEST_NAME } from './manifest-name.js';
import { findMissingWal } from './missing-wal.js';
import { RECOVERY_CONFIGURATION, STANDBY_SIGNAL } from './recovery-configuration.js';

/** WAL is proved by its own checksums; the server lists no segments either. */
const WAL_SEGMENT = /^pg_wal\/[0-9A-F]{24}$/;

/**
 * Writes a backup while it comes and proves it against the server's manifest at the end. It blocks its thread: it is made
 * for one of its own.
 */
export class BackupWriter {
  readonly #layout: BackupLayout;
  readonly #received: ReceivedFiles;
  readonly #sink: ArchiveSink;
  readonly #manifestPath: string;
  #manifestFile: NewFile | undefined;
  #inArchive = false;

  constructor(layout: BackupLayout) {
    this.#layout = layout;
    this.#received = new ReceivedFiles(layout.manifestAlgorithm);
    this.#sink = createSink(layout, this.#received);
    this.#manifestPath = join(layout.directory, UNPROVED_MANIFEST_NAME);
  }

  async beginArchive(index: number): Promise<void> {
    await this.#endArchive();
    this.#sink.begin(this.#layout.archives[index]);
    this.#inArchive = true;
  }

  async beginManifest(): Promise<void> {
    await this.#endArchive();
    this.#manifestFile = new NewFile(this.#manifestPath, modesOf(this.#layout).file, this.#manifestPath);
  }

  /** Bytes of what began last, which must not change until they are used: at once, or when the promise says so. */
  push(bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    if (this.#inArchive) return this.#sink.push(bytes, start, end);
    const file = this.#manifestFile;
    if (file === undefined || file.size + end - start > MAX_MANIFEST_BYTES) {
      throw new BackupError('the manifest is too long', { path: MANIFEST_NAME });
    }
    file.write(bytes.subarray(start, end));
    return undefined;
  }

  /**
   * The server has said that this was all. The manifest gets its name when everything is proved and survives a crash;
   * never without `prove`.
   */
  async finish(positions: BackupPositions, prove: boolean): Promise<BackupSummary> {
    await this.#endArchive();
    const layout = this.#layout;
    const verified = prove && this.#prove(positions);
    this.#configureRecovery();
    await this.#sink.finish();
    this.#generateManifest(positions);
    if (layout.sync) for (const folder of layout.parents) syncPath(folder, folder, 'directory');
    if (this.#manifestFile !== undefined) {
      this.#manifestFile.close(layout.sync);
      if (prove) renameFile(this.#manifestPath, join(layout.directory, MANIFEST_NAME));
    }
    if (layout.sync) syncPath(layout.directory, layout.directory, 'directory');
    if (!looksInto(layout)) return { fileCount: undefined, byteCount: undefined, verified };
    let byteCount = 0;
    for (const { size } of this.#received.files.values()) byteCount += size;
    return { fileCount: this.#received.files.size, byteCount, verified };
  }

  async #endArchive(): Promise<void> {
    if (this.#inArchive) await this.#sink.end();
    this.#inArchive = false;
  }

  /** Whether there was a manifest to prove it against. */
  #prove(positions: BackupPositions): boolean {
    const layout = this.#layout;
    const { generatedManifest, systemIdentifier, walSegmentBytes } = layout;
    const { files } = this.#received;
    const isRead = looksInto(layout);
    const missing =
      walSegmentBytes === undefined || !isRead ? undefined : findMissingWal(files, walSegmentBytes, positions);
    if (missing !== undefined) throw missing;
    if (generatedManifest !== undefined) return false;
    const manifest = filePieces(this.#manifestPath);
    const difference = isRead
      ? compareWithManifest(manifest, files, systemIdentifier, positions)
      : compareOrigin(parseManifest(manifest), systemIdentifier, positions);
    if (difference !== undefined) throw difference;
    return isRead;
  }

  /** Of what came, where the server was asked for no manifest. */
  #generateManifest(positions: BackupPositions): void {
    const { generatedManifest, manifestAlgorithm: algorithm, systemIdentifier } = this.#layout;
    if (generatedManifest === undefined) return;
    const { startLsn, endLsn, startTimeline: timeline } = positions;
    const file = new NewFile(this.#manifestPath, modesOf(this.#layout).file, this.#manifestPath);
    const walRanges = [{ timeline, startLsn, endLsn }];
    const files = listedFiles(this.#received.files);
    for (const piece of formatManifest({ version: generatedManifest, systemIdentifier, algorithm, files, walRanges }))
      file.write(piece);
    this.#manifestFile = file;
  }

  /** postgresql.auto.conf was hashed as it came; verification lets it differ from the manifest. In tar format it is done. */
  #configureRecovery(): void {
    const { recoveryLines, directory, format, sync } = this.#layout;
    if (recoveryLines === undefined || format === 'tar') return;
    if (this.#received.files.has(RECOVERY_CONFIGURATION)) {
      const configuration = join(directory, RECOVERY_CONFIGURATION);
      appendToFile(configuration, recoveryLines);
      if (sync) syncPath(configuration, configuration, 'file');
    } else {
      this.#writeNew(RECOVERY_CONFIGURATION, recoveryLines);
    }
    // A standby sends its own.
    if (!this.#received.files.has(STANDBY_SIGNAL)) this.#writeNew(STANDBY_SIGNAL, '');
  }

  #writeNew(name: string, content: string): void {
    const path = join(this.#layout.directory, name);
    const file = new NewFile(path, modesOf(this.#layout).file, path);
    file.write(Buffer.from(content));
    file.close(this.#layout.sync);
  }
}

function* listedFiles(files: ReadonlyMap<string, ReceivedFile>): Generator<ListedFile, void> {
  for (const [path, file] of files) if (!WAL_SEGMENT.test(path)) yield { path, ...file };
}
