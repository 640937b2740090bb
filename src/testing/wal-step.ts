import type { XLogDataHeader } from '../protocol/replication-message.js';
import type { FakeResult } from './backend-bytes.js';
import type { ScriptStep } from './script-step.js';

/**
 * One thing that a fake sender does after START_REPLICATION, told apart by `kind`:
 *
 * - `wal`: an XLogData: a pgoutput message and its position
 * - `keepalive`: a PrimaryKeepalive
 * - `copyData`: the payload of a CopyData, whatever it is
 * - `bytes`: bytes for the socket, framing included: whole messages, since an answer may come between two steps
 * - `pause`: nothing for so long
 * - `notice`: a NoticeResponse in the middle of the COPY
 * - `error`: an ErrorResponse, which ends the COPY
 * - `end`: the server ends the COPY by itself
 * - `cut`, `stall`, `freeze`: what the {@link Fault} of that name does, here and now
 */
export type WalStep =
  | WalDataStep
  | KeepaliveStep
  | BytesStep
  | ScriptStep
  | { readonly kind: 'error'; readonly sqlState: string; readonly message: string }
  | { readonly kind: 'end' };

/** An XLogData message. */
export interface WalDataStep {
  readonly kind: 'wal';
  /** 0 for messages without a position, such as Relation. */
  readonly walStart: bigint;
  /** Default: `walStart`, as in logical replication. */
  readonly serverWalEnd?: bigint;
  /** Microseconds since 2000-01-01 UTC; default 0. */
  readonly serverTimeUs?: XLogDataHeader['serverTimeUs'];
  /** One pgoutput message, from its type byte on. */
  readonly data: Uint8Array;
}

/** A PrimaryKeepalive message. */
export interface KeepaliveStep {
  readonly kind: 'keepalive';
  /** How far the server has come. */
  readonly serverWalEnd: bigint;
  /** Microseconds since 2000-01-01 UTC; default 0. */
  readonly serverTimeUs?: bigint;
  /** Default: false. */
  readonly replyRequested?: boolean;
}

/** Bytes as they are. */
export interface BytesStep {
  readonly kind: 'bytes';
  /** Whole messages, with type byte and length. */
  readonly bytes: Uint8Array;
  /** How far the server has come with them: what its keepalives say from then on. */
  readonly walEnd?: bigint;
}

/** A START_REPLICATION that the sender has accepted. */
export interface StartRequest {
  /** Name of the slot. */
  readonly slot: string;
  /** What is at or before it the client has: the position asked for, or where the slot is confirmed if that is later. */
  readonly startLsn: bigint;
  /** The plugin's options, by name: `proto_version`, `publication_names`, ... */
  readonly options: Readonly<Record<string, string>>;
}

/** What one START_REPLICATION gets, step by step. */
export type WalSteps = Iterable<WalStep> | AsyncIterable<WalStep>;

/** What a fake sender sends: a `WalTape`, a recording, or anything of this form. */
export interface WalSource {
  /** Where slots begin that say nothing else. */
  readonly startLsn: bigint;
  /** The end of its WAL now. */
  readonly endLsn: bigint;
  /** What the catalog says of types that are not built in; without it their values are given as the server's text. */
  readonly types?: FakeResult | undefined;
  /** What one connection gets. Once `signal` is aborted nobody takes more of it. */
  steps(request: StartRequest, signal: AbortSignal): WalSteps;
}
