import { dirname, join } from 'node:path';
import { BackupError } from '../errors.js';
import { type ArchiveSink, ArchivingSink, ExtractingSink, ReceivedFiles } from './archive-sinks.js';
import { type BackupLayout, type BackupPositions, type BackupSummary, modesOf } from './backup-layout.js';
import { appendToFile, NewFile, renameFile, syncPath } from './durable-file.js';
import { MANIFEST_NAME, MAX_MANIFEST_BYTES, parseManifest } from './manifest.js';
import { compareWithManifest } from './manifest-comparison.js';
import { findMissingWal } from './missing-wal.js';
import { RECOVERY_CONFIGURATION, STANDBY_SIGNAL } from './recovery-configuration.js';

/** Name of the manifest until everything else is proved and on disk. */
export const UNPROVED_MANIFEST_NAME = `${MANIFEST_NAME}.tmp`;

/**
 * Writes a backup while it comes and proves it against the server's manifest at the end. It blocks its thread: it is made
 * for one of its own.
 */
export class BackupWriter {
  readonly #layout: BackupLayout;
  readonly #received: ReceivedFiles;
  readonly #sink: ArchiveSink;
  readonly #manifestPath: string;
  readonly #manifestParts: Buffer[] = [];
  #manifestFile: NewFile | undefined;
  #inArchive = false;

  constructor(layout: BackupLayout) {
    this.#layout = layout;
    this.#received = new ReceivedFiles(layout.manifestAlgorithm ?? 'NONE');
    const Sink = layout.format === 'plain' ? ExtractingSink : ArchivingSink;
    this.#sink = new Sink(layout, this.#received);
    this.#manifestPath = join(layout.directory, UNPROVED_MANIFEST_NAME);
  }

  beginArchive(index: number): void {
    this.#endArchive();
    this.#sink.begin(this.#layout.archives[index]);
    this.#inArchive = true;
  }

  beginManifest(): void {
    this.#endArchive();
    this.#manifestFile = new NewFile(this.#manifestPath, modesOf(this.#layout).file, this.#manifestPath);
  }

  /** Bytes of what began last. They are used before this returns. */
  push(bytes: Buffer, start: number, end: number): void {
    if (this.#inArchive) {
      this.#sink.push(bytes, start, end);
      return;
    }
    const part = Buffer.from(bytes.subarray(start, end));
    const file = this.#manifestFile;
    if (file === undefined || file.size + part.length > MAX_MANIFEST_BYTES) {
      throw new BackupError('the manifest is too long', { path: MANIFEST_NAME });
    }
    file.write(part);
    this.#manifestParts.push(part);
  }

  /**
   * The server has said that this was all. The manifest gets its name when everything is proved and survives a crash;
   * never without `prove`.
   */
  finish(positions: BackupPositions, prove: boolean): BackupSummary {
    this.#endArchive();
    const layout = this.#layout;
    const verified = prove && this.#prove(positions);
    this.#configureRecovery();
    this.#sink.finish(layout.sync);
    if (this.#manifestFile !== undefined) {
      this.#manifestFile.close(layout.sync);
      if (prove) renameFile(this.#manifestPath, join(layout.directory, MANIFEST_NAME));
    }
    if (layout.sync) {
      syncPath(layout.directory, layout.directory, 'directory');
      syncPath(dirname(layout.directory), dirname(layout.directory), 'directory');
    }
    let byteCount = 0;
    for (const { size } of this.#received.files.values()) byteCount += size;
    return { fileCount: this.#received.files.size, byteCount, verified };
  }

  #endArchive(): void {
    if (this.#inArchive) this.#sink.end();
    this.#inArchive = false;
  }

  /** Whether there was a manifest to prove it against. */
  #prove(positions: BackupPositions): boolean {
    const { manifestAlgorithm, systemIdentifier, walSegmentBytes } = this.#layout;
    const { files } = this.#received;
    const missing = walSegmentBytes === undefined ? undefined : findMissingWal(files, walSegmentBytes, positions);
    if (missing !== undefined) throw missing;
    if (manifestAlgorithm === undefined) return false;
    const manifest = parseManifest(Buffer.concat(this.#manifestParts));
    const difference = compareWithManifest(manifest, files, systemIdentifier, positions);
    if (difference !== undefined) throw difference;
    return true;
  }

  /** postgresql.auto.conf was hashed as it came; verification lets it differ from the manifest. In tar format it is done. */
  #configureRecovery(): void {
    const { recoveryLines, directory, format, sync } = this.#layout;
    if (recoveryLines === undefined || format === 'tar') return;
    appendToFile(join(directory, RECOVERY_CONFIGURATION), recoveryLines);
    // A standby sends its own.
    if (this.#received.files.has(STANDBY_SIGNAL)) return;
    const signal = join(directory, STANDBY_SIGNAL);
    new NewFile(signal, modesOf(this.#layout).file, signal).close(sync);
  }
}
