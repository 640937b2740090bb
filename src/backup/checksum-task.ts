import type { CompressionMethod } from './backup-compression.js';
import type { ManifestChecksumAlgorithm } from './manifest-checksum.js';
import type { TarMember } from './tar-header.js';
import type { WalVerdicts } from './wal-archive-scan.js';
import type { WalRangeToVerify } from './wal-range-scan.js';

/** A file, or a stretch of an archive, whose checksum is to be made. */
export interface StretchToCheck {
  /** Bytes: names need not be UTF-8. */
  readonly path: Uint8Array;
  readonly algorithm: ManifestChecksumAlgorithm;
  readonly offset: number;
  /** `undefined`: to the end of the file. */
  readonly byteCount: number | undefined;
}

/** An archive whose members' checksums are to be made while it is decompressed. */
export interface ArchiveToCheck {
  readonly path: string;
  readonly compression: CompressionMethod;
  /** By the name of the member; others are only listed. */
  readonly algorithms: ReadonlyMap<string, ManifestChecksumAlgorithm>;
  /** Name of the member whose first bytes are wanted too. */
  readonly wanted: string;
  /** WAL that may be in it, and is to be checked, in a folder whose name ends with `/` or is empty; `undefined`: none is. */
  readonly wal: { readonly folder: string; readonly ranges: readonly WalRangeToVerify[] } | undefined;
}

export type ChecksumTask =
  | { readonly kind: 'files'; readonly files: readonly StretchToCheck[] }
  | ({ readonly kind: 'archive' } & ArchiveToCheck);

/** The checksum of what could be read, or what the system said instead. */
export type CheckedStretch = { readonly checksum: string; readonly byteCount: number } | { readonly reason: string };

export interface CheckedMember extends TarMember {
  readonly checksum: string | undefined;
}

export type ChecksumReply =
  | { readonly kind: 'files'; readonly files: readonly CheckedStretch[] }
  | {
      readonly kind: 'archive';
      readonly members: readonly CheckedMember[];
      readonly wantedBytes: Uint8Array | undefined;
      /** `undefined`: no WAL was asked for, or there was none. */
      readonly wal: WalVerdicts | undefined;
      /** Why the archive was not read to its end. */
      readonly problem: string | undefined;
    };
