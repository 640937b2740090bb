import type { CopyOut, CopyOutHandler } from '../connection/copy-out.js';
import type { QueryResult } from '../connection/query-result.js';
import type { ServerNotice } from '../connection/server-error.js';
import type { Slab } from '../connection/slab.js';
import { ProtocolError } from '../errors.js';
import { Lsn } from '../lsn.js';
import { type ArchiveHandler, type ArchiveReader, createArchiveReader } from './archive-messages.js';
import type { BackupLayout } from './backup-layout.js';
import { BackupThread, type BackupThreadHandler } from './backup-thread.js';
import { archiveName, type BackupTablespace, parseTablespaces } from './tablespace.js';

/** A position on a timeline. */
export interface BackupPosition {
  readonly lsn: bigint;
  readonly timeline: number;
}

export interface BackupTransferOptions {
  readonly serverVersion: number;
  /** Whether a manifest was asked for. */
  readonly manifest: boolean;
  /** What the server adds to the names of archives that it compresses; empty when it does not. */
  readonly suffix: string;
  /**
   * Decides where everything goes, and makes the folders; `undefined` when the backup does not come here. What it throws ends
   * the backup.
   */
  readonly prepare: (tablespaces: readonly BackupTablespace[]) => BackupLayout | undefined;
  readonly onNotice: (notice: ServerNotice) => void;
  readonly onProgress: (progress: TransferProgress) => void;
}

export interface TransferProgress {
  /** Of the archives and the manifest; by the server's count, and in larger steps, where it compresses or keeps them. */
  readonly receivedBytes: number;
  /** The server's estimate of all archives, without WAL; `undefined` if it was not asked. */
  readonly estimatedBytes: number | undefined;
  /** What is coming: name of an archive, `backup_manifest`, or `undefined` before the first. */
  readonly archive: string | undefined;
}

/** Leads what the server answers to BASE_BACKUP to the thread that writes it. */
export class BackupTransfer implements CopyOutHandler, ArchiveHandler, BackupThreadHandler {
  readonly #options: BackupTransferOptions;
  #copy: CopyOut | undefined;
  #start: BackupPosition | undefined;
  #end: BackupPosition | undefined;
  #completed = false;
  #tablespaces: readonly BackupTablespace[] | undefined;
  #reader: ArchiveReader | undefined;
  #thread: BackupThread | undefined;
  #slab: Slab | undefined;
  #receivedBytes = 0;
  #serverCounts = false;
  #estimatedBytes: number | undefined;
  #archive: string | undefined;
  #failure: Error | undefined;
  #onFailure: ((error: Error) => void) | undefined;

  constructor(options: BackupTransferOptions) {
    this.#options = options;
  }

  /** Told before the command runs: who can be held, and ended by a failure of the thread. */
  attach(copy: CopyOut): void {
    this.#copy = copy;
  }

  get start(): BackupPosition | undefined {
    return this.#start;
  }

  /** Known once everything has come, which is not yet success. */
  get end(): BackupPosition | undefined {
    return this.#end;
  }

  /** The command has said that it is complete. */
  get completed(): boolean {
    return this.#completed;
  }

  get thread(): BackupThread | undefined {
    return this.#thread;
  }

  get progress(): TransferProgress {
    return {
      receivedBytes: this.#receivedBytes,
      estimatedBytes: this.#estimatedBytes,
      archive: this.#archive,
    };
  }

  /** Rejects when the thread fails, also when it did before. */
  threadFailure(): Promise<never> {
    return new Promise((_, reject) => {
      if (this.#failure !== undefined) reject(this.#failure);
      this.#onFailure = reject;
    });
  }

  /** Start, tablespaces, then the COPYs, end, and the bare completion of the command. */
  onResult(result: QueryResult): void {
    if (this.#start === undefined) {
      this.#start = positionFrom(result);
    } else if (this.#tablespaces === undefined) {
      this.#prepare(parseTablespaces(result));
    } else if (this.#end === undefined) {
      const end = positionFrom(result);
      if (end.lsn < this.#start.lsn) throw misplaced('an end before its start');
      this.#reader?.expectEnd();
      this.#thread?.flush();
      this.#end = end;
    } else if (result.rows.length > 0 || this.#completed) {
      throw misplaced('a result too many');
    } else {
      this.#completed = true;
    }
  }

  onCopyStart(): void {
    if (this.#reader === undefined || this.#end !== undefined) throw misplaced('a COPY out of its place');
    this.#reader.onCopyStart();
  }

  onCopyData(slab: Slab, start: number, end: number): void {
    this.#slab = slab;
    this.#reader?.onCopyData(slab.bytes, start, end);
  }

  onCopyDone(): void {}

  onReadEnd(): void {
    this.#options.onProgress(this.progress);
  }

  onSlabEnd(): void {
    this.#thread?.flush();
  }

  onNotice(notice: ServerNotice): void {
    this.#options.onNotice(notice);
  }

  onArchive(index: number): void {
    const tablespace = this.#tablespaces?.[index];
    this.#archive = tablespace && archiveName(tablespace);
    this.#thread?.beginArchive(index);
  }

  onArchiveData(start: number, end: number): void {
    if (this.#thread === undefined) throw misplaced('bytes of what it should have kept');
    if (!this.#serverCounts) this.#receivedBytes += end - start;
    if (this.#slab !== undefined) this.#thread.push(this.#slab, start, end);
  }

  onDone(byteCount: number): void {
    if (this.#serverCounts) this.#receivedBytes = Math.max(this.#receivedBytes, byteCount);
  }

  onManifest(): void {
    this.#archive = 'backup_manifest';
    this.#thread?.beginManifest();
  }

  onManifestData(start: number, end: number): void {
    this.onArchiveData(start, end);
  }

  onPressure(high: boolean): void {
    if (high) this.#copy?.hold();
    else this.#copy?.release();
  }

  onFailure(error: Error): void {
    this.#failure = error;
    this.#copy?.fail(error);
    this.#onFailure?.(error);
  }

  #prepare(tablespaces: readonly BackupTablespace[]): void {
    this.#tablespaces = tablespaces;
    const { prepare, manifest, serverVersion, suffix } = this.#options;
    const sizes = tablespaces.map(({ sizeKb }) => sizeKb);
    if (!sizes.includes(undefined)) this.#estimatedBytes = sizes.reduce((sum: number, kb = 0) => sum + kb * 1024, 0);
    const layout = prepare(tablespaces);
    this.#serverCounts = layout === undefined || suffix !== '';
    if (layout !== undefined) this.#thread = new BackupThread(layout, this);
    this.#reader = createArchiveReader({ tablespaces, manifest, suffix }, serverVersion, this);
  }
}

/** recptr, tli: one row. */
function positionFrom({ rows }: QueryResult): BackupPosition {
  const [lsn, timeline] = rows[0] ?? [];
  if (rows.length !== 1 || !lsn || !timeline || !/^[1-9]\d{0,9}$/.test(timeline)) {
    throw misplaced('no position where one is expected');
  }
  return { lsn: Lsn.parse(lsn), timeline: Number(timeline) };
}

function misplaced(what: string): ProtocolError {
  return new ProtocolError(`the server sent ${what} in a backup`, { offset: 0, tag: 'D' });
}
