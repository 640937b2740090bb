import type { ScriptStep } from './script-step.js';

/**
 * One thing that a fake sender does after BASE_BACKUP, told apart by `kind`; when there is none left it is ready for the
 * next command.
 *
 * - `bytes`: bytes for the socket, framing included: one message or several
 * - `copyData`: the payload of a CopyData
 * - `pause`: nothing for so long
 * - `notice`: a NoticeResponse
 * - `error`: an ErrorResponse
 * - `cut`, `stall`, `freeze`: what the {@link Fault} of that name does, here and now
 */
export type BackupStep =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | ScriptStep
  | { readonly kind: 'error'; readonly sqlState: string; readonly message: string };

/** A BASE_BACKUP that the sender was asked for. */
export interface BackupRequest {
  /**
   * By upper-case name, values without quotes; a keyword alone is `true`. In the names of PostgreSQL 15 and later: the
   * keywords FAST, NOWAIT and NOVERIFY_CHECKSUMS of 14 are CHECKPOINT, WAIT and VERIFY_CHECKSUMS.
   */
  readonly options: Readonly<Record<string, string>>;
  /** Of the sender: 150000 and later have another form. */
  readonly serverVersion: number;
  /** Of the sender. */
  readonly systemId: string;
  /** Of the sender. */
  readonly timeline: number;
  /** The sender's setting `wal_segment_size`, 16 MiB by default. */
  readonly walSegmentBytes: number;
}

/** What one BASE_BACKUP gets, step by step. */
export type BackupSteps = Iterable<BackupStep> | AsyncIterable<BackupStep>;

/** A script: what BASE_BACKUP gets. */
export type BackupScript = (request: BackupRequest, signal: AbortSignal) => BackupSteps;

/** What a fake sender gives as a backup: a `FakeBackup`, or anything of this form. */
export interface BackupSource {
  /** Once `signal` is aborted nobody takes more of it. */
  steps(request: BackupRequest, signal: AbortSignal): BackupSteps;
}
