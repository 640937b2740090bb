import { join } from 'node:path';
import { whyNoCodec } from './archive-codec.js';
import type { BackupLayout, BackupSummary } from './backup-layout.js';
import { MANIFEST_NAME } from './manifest-name.js';
import type { BackupTablespace } from './tablespace.js';

/** A backup that is complete, on disk and, with a manifest, proved. */
export interface BackupResult {
  /** `undefined` when the backup went to another target. */
  readonly directory: string | undefined;
  /** Of the server, as in IDENTIFY_SYSTEM. */
  readonly systemId: string;
  /** As in server_version_num: 180004. */
  readonly serverVersion: number;
  /** The WAL from here to `endLsn` is needed to make it consistent. */
  readonly startLsn: bigint;
  /** The backup is consistent once WAL is replayed to here. */
  readonly endLsn: bigint;
  /** Timeline at the end. */
  readonly timeline: number;
  /** With the server's locations, and where they are here; a backup that is not here has none. */
  readonly tablespaces: readonly {
    readonly oid: number;
    readonly location: string;
    readonly directory: string | undefined;
  }[];
  /** `undefined` where nothing of it was seen here, or nothing could be read. */
  readonly fileCount: number | undefined;
  /** Bytes of these files. */
  readonly byteCount: number | undefined;
  /** Whether everything was compared with the server's manifest. */
  readonly verified: boolean;
  /** Why it was not; `undefined` when it was. */
  readonly unverifiedReason: string | undefined;
  /** Of the backup's `backup_manifest`; `undefined` when it went to another target. */
  readonly manifestPath: string | undefined;
  /** Connecting is not in it. */
  readonly durationMs: number;
}

/** What only the server knows of it is left out. */
export type BackupDescription = Omit<
  BackupResult,
  'systemId' | 'serverVersion' | 'startLsn' | 'endLsn' | 'timeline' | 'durationMs'
>;

/** Of a backup that was written here. */
export function describeWritten(layout: BackupLayout, summary: BackupSummary): BackupDescription {
  const { directory, archives } = layout;
  return {
    directory,
    tablespaces: archives.flatMap(({ oid, linkedFrom, directory: target }) =>
      oid === undefined ? [] : [{ oid, location: linkedFrom ?? `pg_tblspc/${oid}`, directory: target }],
    ),
    ...summary,
    unverifiedReason: summary.verified ? undefined : whyUnverified(layout),
    manifestPath: join(directory, MANIFEST_NAME),
  };
}

/** Of a backup that went to another target. */
export function describeElsewhere(target: string, tablespaces: readonly BackupTablespace[]): BackupDescription {
  return {
    directory: undefined,
    tablespaces: tablespaces.flatMap(({ oid, location }) =>
      oid === undefined ? [] : [{ oid, location, directory: undefined }],
    ),
    fileCount: undefined,
    byteCount: undefined,
    verified: false,
    unverifiedReason: `it went to the target ${target}, and nothing of it was seen here`,
    manifestPath: undefined,
  };
}

function whyUnverified({ compression, generatedManifest }: BackupLayout): string {
  if (generatedManifest !== undefined)
    return 'the server was asked for no manifest, and the one that is there was made here';
  const reason = compression && whyNoCodec(compression.method);
  return `the archives are compressed with ${compression?.method} and could not be read: ${reason}`;
}
