import type { BackupError } from '../errors.js';
import type { BackupPositions } from './backup-layout.js';
import type { WalSegment } from './wal-segment.js';
import type { WalWriter } from './wal-writer.js';

/** Where the WAL goes that a backup receives over a connection of its own. Errors are BackupErrors. */
export interface WalStore {
  /** Writes the WAL of a timeline, from the start of a segment on; the writer before has been closed. */
  begin(start: WalSegment): WalWriter;
  /** A timeline's history file. */
  keepHistory(name: string, content: string): Promise<void>;
  /** Nothing more comes: everything survives a crash afterwards, if `sync`. */
  finish(sync: boolean): Promise<void>;
  /** What is missing, judged by what lies on disk. */
  findMissing(positions: BackupPositions): Promise<BackupError | undefined>;
  /** Lets go of the files; what was not finished is of no use. */
  close(): Promise<void>;
}

/** Where the marks lie that keep the archiver of a promoted copy from archiving what came with it. */
export const ARCHIVE_STATUS = 'archive_status';

/** Name of the mark of a segment or history file, below the folder of the WAL. */
export function doneMark(name: string): string {
  return `${ARCHIVE_STATUS}/${name}.done`;
}
