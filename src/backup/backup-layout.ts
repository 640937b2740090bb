import type { ResolvedCompression } from './backup-compression.js';
import type { ManifestChecksumAlgorithm } from './manifest-checksum.js';

/** Where one archive goes. */
export interface ArchiveTarget {
  /** Its name at the server, for messages and, in tar format, for the file. */
  readonly name: string;
  /** `undefined`: the data directory. */
  readonly oid: number | undefined;
  /** Path on the server, which the link in `pg_tblspc` must name; `undefined` where there is no link. */
  readonly linkedFrom: string | undefined;
  /** Absolute path of the folder that its members go to; in tar format it is not used. */
  readonly directory: string;
}

/** All that the thread which writes a backup must know. Survives structured clone. */
export interface BackupLayout {
  /** Absolute path; exists and is empty, and so are the folders of the archives. */
  readonly directory: string;
  /** Folders in which those of the backup were made. */
  readonly parents: readonly string[];
  readonly format: 'plain' | 'tar';
  /** In the order in which they come. */
  readonly archives: readonly ArchiveTarget[];
  /** Whether archives end with two blocks of zeros: 15 and later. */
  readonly hasTrailer: boolean;
  /** Folders 0750 and files 0640, as the server's are, instead of 0700 and 0600. */
  readonly groupAccess: boolean;
  /** Of the manifest, whether it comes or is made here. */
  readonly manifestAlgorithm: ManifestChecksumAlgorithm;
  readonly systemIdentifier: bigint;
  /** Of the archives, by whom it says. */
  readonly compression: ResolvedCompression | undefined;
  /** Version of the manifest that is to be made here; `undefined`: one comes. */
  readonly generatedManifest: 1 | 2 | undefined;
  /** Size of the WAL segments that must come in the archives; `undefined`: none do. */
  readonly walSegmentBytes: number | undefined;
  /** In plain format, absolute paths of folders that were made beforehand, for WAL that comes beside the archives. */
  readonly walFolders: readonly string[];
  /** Lines for postgresql.auto.conf, or `undefined` for no recovery configuration. */
  readonly recoveryLines: string | undefined;
  readonly sync: boolean;
}

/** WAL positions between which the backup was taken. */
export interface BackupPositions {
  readonly startLsn: bigint;
  readonly startTimeline: number;
  readonly endLsn: bigint;
  /** Another one when a standby went on to it meanwhile. */
  readonly endTimeline: number;
}

/** What was written. */
export interface BackupSummary {
  /** Files of the data directory and tablespaces; `undefined` where the archives could not be looked into. */
  readonly fileCount: number | undefined;
  /** Their bytes. */
  readonly byteCount: number | undefined;
  /** Whether the server's manifest was compared with what was written. */
  readonly verified: boolean;
}

export function modesOf({ groupAccess }: BackupLayout): { readonly directory: number; readonly file: number } {
  return groupAccess ? { directory: 0o750, file: 0o640 } : { directory: 0o700, file: 0o600 };
}
