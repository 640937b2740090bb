import { orAbort } from '../connection/connect-deadline.js';
import type { CopyOut, CopyOutHandler } from '../connection/copy-out.js';
import type { QueryResult } from '../connection/query-result.js';
import type { ServerNotice } from '../connection/server-error.js';
import type { Slab } from '../connection/slab.js';
import { ProtocolError } from '../errors.js';
import { Lsn } from '../lsn.js';
import { type ArchiveHandler, type ArchiveReader, createArchiveReader } from './archive-messages.js';
import type { BackupLayout } from './backup-layout.js';
import { type BackupProgress, ProgressMeter } from './backup-progress.js';
import { BackupThread, type BackupThreadHandler } from './backup-thread.js';
import { type BackupTablespace, parseTablespaces } from './tablespace.js';

/** A position on a timeline. */
export interface BackupPosition {
  readonly lsn: bigint;
  readonly timeline: number;
}

export interface BackupTransferOptions {
  readonly serverVersion: number;
  /** Whether a manifest was asked for. */
  readonly manifest: boolean;
  /** Whether the server waits, when it has sent all archives, until its WAL is archived. */
  readonly waitsForArchiver: boolean;
  /** What the server adds to the names of archives that it compresses; empty when it does not. */
  readonly suffix: string;
  /**
   * Decides where everything goes, and makes the folders; `undefined` when the backup does not come here. What it throws ends
   * the backup.
   */
  readonly prepare: (tablespaces: readonly BackupTablespace[]) => BackupLayout | undefined;
  /** What must be under way before the archives are read; no more is read until then. What it throws ends the backup. */
  readonly beforeArchives: (start: BackupPosition) => Promise<void>;
  readonly onNotice: (notice: ServerNotice) => void;
  readonly onProgress: () => void;
}

/** Why nothing is read. */
type Hold = 'disk' | 'start';

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
  #meter: ProgressMeter | undefined;
  /** Bytes that the server says it has read, where it is the one to ask. */
  #serverCount: number | undefined;
  #archive = -1;
  /** Nothing of the archive may be left to come. */
  #archiveMayBeOver = false;
  readonly #holds = new Set<Hold>();
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

  /** `undefined` before the server has said what there is. */
  get progress(): BackupProgress | undefined {
    return this.#meter?.progress(performance.now());
  }

  /** What the promise gives, unless the thread fails, also before, or the signal comes. */
  unlessThreadFails<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const failed = new Promise<never>((_, reject) => {
      if (this.#failure !== undefined) reject(this.#failure);
      this.#onFailure = reject;
    });
    const first = Promise.race([promise, failed]);
    return signal === undefined ? first : orAbort(first, signal);
  }

  /** Start, tablespaces, then the COPYs, end, and the bare completion of the command. */
  onResult(result: QueryResult): void {
    if (this.#start === undefined) {
      this.#start = positionFrom(result);
    } else if (this.#tablespaces === undefined) {
      this.#prepare(parseTablespaces(result), this.#start);
    } else if (this.#end === undefined) {
      const end = positionFrom(result);
      if (end.lsn < this.#start.lsn) throw misplaced('an end before its start');
      this.#reader?.expectEnd();
      this.#thread?.flush();
      this.#end = end;
      this.#meter?.end();
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

  onCopyDone(): void {
    this.#archiveMayBeOver = true;
  }

  onReadEnd(): void {
    this.#options.onProgress();
  }

  onSlabEnd(): void {
    this.#thread?.flush();
  }

  onNotice(notice: ServerNotice): void {
    this.#options.onNotice(notice);
  }

  /** A server that waits for its archiver says so after 5 s, and again after one, two, four ... minutes. */
  mayBeSilent(): boolean {
    const isLast = this.#archive + 1 === this.#tablespaces?.length;
    return this.#options.waitsForArchiver && isLast && this.#archiveMayBeOver;
  }

  onArchive(index: number): void {
    this.#archive = index;
    this.#archiveMayBeOver = false;
    this.#meter?.beginArchive(index);
    this.#thread?.beginArchive(index);
  }

  onArchiveData(start: number, end: number): void {
    if (this.#thread === undefined) throw misplaced('bytes of what it should have kept');
    this.#archiveMayBeOver = false;
    if (this.#serverCount === undefined) this.#meter?.add(end - start, performance.now());
    if (this.#slab !== undefined) this.#thread.push(this.#slab, start, end);
  }

  /**
   * Of archives that it compresses, or keeps, only the server knows how far they are. It says so at the end of each too.
   */
  onDone(byteCount: number): void {
    this.#archiveMayBeOver = true;
    if (this.#serverCount === undefined || byteCount <= this.#serverCount) return;
    this.#meter?.add(byteCount - this.#serverCount, performance.now());
    this.#serverCount = byteCount;
  }

  onManifest(): void {
    this.#meter?.beginManifest();
    this.#thread?.beginManifest();
  }

  onManifestData(start: number, end: number): void {
    this.onArchiveData(start, end);
  }

  onPressure(high: boolean): void {
    if (high) this.#hold('disk');
    else this.#release('disk');
  }

  onFailure(error: Error): void {
    this.#failure = error;
    this.#copy?.fail(error);
    this.#onFailure?.(error);
  }

  #prepare(tablespaces: readonly BackupTablespace[], start: BackupPosition): void {
    this.#tablespaces = tablespaces;
    const { prepare, beforeArchives, manifest, serverVersion, suffix } = this.#options;
    this.#meter = new ProgressMeter(tablespaces);
    const layout = prepare(tablespaces);
    if (layout === undefined || suffix !== '') this.#serverCount = 0;
    if (layout !== undefined) this.#thread = new BackupThread(layout, this);
    this.#reader = createArchiveReader({ tablespaces, manifest, suffix }, serverVersion, this);
    this.#hold('start');
    beforeArchives(start).then(
      () => this.#release('start'),
      (error: unknown) => this.#copy?.fail(error),
    );
  }

  #hold(reason: Hold): void {
    this.#holds.add(reason);
    this.#copy?.hold();
  }

  #release(reason: Hold): void {
    this.#holds.delete(reason);
    if (this.#holds.size === 0) this.#copy?.release();
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
