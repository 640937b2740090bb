import type { Begin, Commit, LogicalMessage, Origin, Truncate, Type } from './control-message.js';
import type { Flagged } from './flags.js';
import type { CommitPrepared, Prepared, RollbackPrepared } from './prepared-message.js';
import type { Relation } from './relation.js';
import type { StreamAbort, StreamCommit, StreamStart } from './stream-message.js';
import type { Tuple } from './tuple-value.js';

/*
 * The messages of pgoutput, protocol 1 to 4, one by one: what PgoutputDecoder makes of bytes, and encodeMessage bytes of.
 * https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */

/**
 * Everything that pgoutput sends, told apart by `kind`: plain objects, with the names of `WalEvent`. LSNs are `bigint`;
 * times are microseconds since 2000-01-01 UTC, `bigint` too. A message keeps every bit that was on the wire.
 */
export type PgoutputMessage =
  | BeginMessage
  | CommitMessage
  | OriginMessage
  | RelationMessage
  | TypeMessage
  | InsertMessage
  | UpdateMessage
  | DeleteMessage
  | TruncateMessage
  | LogicalDecodingMessage
  | StreamStartMessage
  | StreamStopMessage
  | StreamCommitMessage
  | StreamAbortMessage
  | BeginPrepareMessage
  | PrepareMessage
  | CommitPreparedMessage
  | RollbackPreparedMessage
  | StreamPrepareMessage;

/** A message that can be part of a transaction in progress. */
export interface Streamable {
  /**
   * In a streamed block, between Stream Start and Stream Stop, and only there: the subtransaction; of a logical
   * decoding message, always the top-level transaction. On the wire it follows the tag: xid:Int32.
   */
  readonly xid?: number;
}

/** Begin: 'B' finalLsn:Int64 commitTime:Int64 xid:Int32 */
export interface BeginMessage extends Begin {
  readonly kind: 'begin';
}

/** Commit: 'C' flags:Int8 commitLsn:Int64 endLsn:Int64 commitTime:Int64 */
export interface CommitMessage extends Commit {
  readonly kind: 'commit';
}

/** Origin: 'O' commitLsn:Int64 name:String. In a streamed block too it has no xid. */
export interface OriginMessage extends Origin {
  readonly kind: 'origin';
}

/**
 * Relation: 'R' [xid:Int32] id:Int32 namespace:String name:String replicaIdentity:Int8 columnCount:Int16
 *           (flags:Int8 name:String typeOid:Int32 typeModifier:Int32)*
 */
export interface RelationMessage extends Relation, Streamable {
  readonly kind: 'relation';
}

/** Type: 'Y' [xid:Int32] id:Int32 namespace:String name:String */
export interface TypeMessage extends Type, Streamable {
  readonly kind: 'type';
}

/** Insert: 'I' [xid:Int32] relationId:Int32 'N' TupleData */
export interface InsertMessage extends Streamable {
  readonly kind: 'insert';
  /** OID of the table, described by a Relation message before. */
  readonly relationId: number;
  /** The row. */
  readonly new: Tuple;
}

/** Update: 'U' [xid:Int32] relationId:Int32 ['K' TupleData | 'O' TupleData] 'N' TupleData */
export interface UpdateMessage extends Streamable {
  readonly kind: 'update';
  /** OID of the table, described by a Relation message before. */
  readonly relationId: number;
  /** The replica identity before the update, when it changed. */
  readonly key?: Tuple;
  /** The row before the update, under REPLICA IDENTITY FULL. Never together with `key`. */
  readonly old?: Tuple;
  /** The row after the update. */
  readonly new: Tuple;
}

/** Delete: 'D' [xid:Int32] relationId:Int32 ('K' TupleData | 'O' TupleData) */
export interface DeleteMessage extends Streamable {
  readonly kind: 'delete';
  /** OID of the table, described by a Relation message before. */
  readonly relationId: number;
  /** Either the replica identity of the row, */
  readonly key?: Tuple;
  /** or the whole row, under REPLICA IDENTITY FULL. */
  readonly old?: Tuple;
}

/** Truncate: 'T' [xid:Int32] relationCount:Int32 options:Int8 (1 CASCADE, 2 RESTART IDENTITY) relationId:Int32* */
export interface TruncateMessage extends Truncate, Streamable {
  readonly kind: 'truncate';
}

/** Message: 'M' [xid:Int32] flags:Int8 (1 transactional) lsn:Int64 prefix:String contentLength:Int32 content:Byte[] */
export interface LogicalDecodingMessage extends LogicalMessage, Streamable {
  readonly kind: 'message';
}

/** Stream Start: 'S' xid:Int32 firstSegment:Int8 */
export interface StreamStartMessage extends StreamStart {
  readonly kind: 'streamStart';
}

/** Stream Stop: 'E' */
export interface StreamStopMessage {
  readonly kind: 'streamStop';
}

/** Stream Commit: 'c' xid:Int32 flags:Int8 commitLsn:Int64 endLsn:Int64 commitTime:Int64 */
export interface StreamCommitMessage extends StreamCommit {
  readonly kind: 'streamCommit';
}

/** Stream Abort: 'A' xid:Int32 subxid:Int32 [abortLsn:Int64 abortTime:Int64] */
export interface StreamAbortMessage extends StreamAbort {
  readonly kind: 'streamAbort';
}

/** Begin Prepare: 'b' prepareLsn:Int64 endLsn:Int64 prepareTime:Int64 xid:Int32 gid:String */
export interface BeginPrepareMessage extends Prepared {
  readonly kind: 'beginPrepare';
}

/** Prepare: 'P' flags:Int8 prepareLsn:Int64 endLsn:Int64 prepareTime:Int64 xid:Int32 gid:String */
export interface PrepareMessage extends Prepared, Flagged {
  readonly kind: 'prepare';
}

/** Commit Prepared: 'K' flags:Int8 commitLsn:Int64 endLsn:Int64 commitTime:Int64 xid:Int32 gid:String */
export interface CommitPreparedMessage extends CommitPrepared {
  readonly kind: 'commitPrepared';
}

/**
 * Rollback Prepared: 'r' flags:Int8 prepareEndLsn:Int64 rollbackEndLsn:Int64 prepareTime:Int64 rollbackTime:Int64
 *                    xid:Int32 gid:String
 */
export interface RollbackPreparedMessage extends RollbackPrepared {
  readonly kind: 'rollbackPrepared';
}

/** Stream Prepare: 'p' flags:Int8 prepareLsn:Int64 endLsn:Int64 prepareTime:Int64 xid:Int32 gid:String */
export interface StreamPrepareMessage extends Prepared, Flagged {
  readonly kind: 'streamPrepare';
}
