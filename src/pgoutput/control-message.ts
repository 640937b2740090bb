import { DecodeError } from '../errors.js';
import { ByteReader } from '../protocol/byte-reader.js';
import { type Flagged, withFlags } from './flags.js';

/*
 * Every message that carries no row. `[start, end)` begins at the tag.
 * https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */

export interface Begin {
  /** LSN of the commit record: `final_lsn`. */
  readonly commitLsn: bigint;
  /** Microseconds since 2000-01-01 UTC. */
  readonly commitTimeUs: bigint;
  /** Of the top-level transaction. */
  readonly xid: number;
}

/** Begin: 'B' finalLsn:Int64 commitTime:Int64 xid:Int32 */
export function parseBegin(bytes: Buffer, start: number, end: number): Begin {
  const reader = new ByteReader(bytes, start + 1, end);
  const message = { commitLsn: reader.uint64(), commitTimeUs: reader.int64(), xid: reader.uint32() };
  reader.expectEnd();
  return message;
}

export interface Commit extends Flagged {
  /** LSN of the commit record. */
  readonly commitLsn: bigint;
  /** Position after the commit record: what is acknowledged. */
  readonly commitEndLsn: bigint;
  /** Microseconds since 2000-01-01 UTC. */
  readonly commitTimeUs: bigint;
}

/** Commit: 'C' flags:Int8 commitLsn:Int64 endLsn:Int64 commitTime:Int64 */
export function parseCommit(bytes: Buffer, start: number, end: number): Commit {
  const reader = new ByteReader(bytes, start + 1, end);
  const flags = reader.uint8();
  const message = { commitLsn: reader.uint64(), commitEndLsn: reader.uint64(), commitTimeUs: reader.int64() };
  reader.expectEnd();
  return withFlags(message, flags);
}

/** Where a transaction was first committed: the replication origin that it was applied from. */
export interface Origin {
  /** LSN of the commit there. */
  readonly originLsn: bigint;
  /** As in pg_replication_origin. */
  readonly name: string;
}

/** Origin: 'O' commitLsn:Int64 name:String */
export function parseOrigin(bytes: Buffer, start: number, end: number): Origin {
  const reader = new ByteReader(bytes, start + 1, end);
  const message = { originLsn: reader.uint64(), name: reader.cString() };
  reader.expectEnd();
  return message;
}

export interface Type {
  /** Its OID. */
  readonly id: number;
  /** `pg_catalog` is sent as an empty string. */
  readonly schema: string;
  /** As in pg_type. */
  readonly name: string;
}

/** Type: 'Y' id:Int32 namespace:String name:String */
export function parseType(bytes: Buffer, start: number, end: number): Type {
  const reader = new ByteReader(bytes, start + 1, end);
  const message = { id: reader.uint32(), schema: reader.cString() || 'pg_catalog', name: reader.cString() };
  reader.expectEnd();
  return message;
}

export const TRUNCATE_CASCADE = 1;
export const TRUNCATE_RESTART_IDENTITY = 2;

export interface Truncate extends Flagged {
  /** OIDs of the tables, each described by a Relation message before. */
  readonly relationIds: readonly number[];
  /** TRUNCATE ... CASCADE. */
  readonly cascade: boolean;
  /** TRUNCATE ... RESTART IDENTITY. */
  readonly restartIdentity: boolean;
}

/** Truncate: 'T' relationCount:Int32 options:Int8 relationId:Int32* */
export function parseTruncate(bytes: Buffer, start: number, end: number): Truncate {
  const reader = new ByteReader(bytes, start + 1, end);
  const count = reader.uint32();
  const options = reader.uint8();
  if (count * 4 !== reader.remaining) {
    throw new DecodeError(`truncate of ${count} relations in ${reader.remaining} bytes`, { offset: start, tag: 'T' });
  }
  const relationIds = Array.from({ length: count }, () => reader.uint32());
  const unused = options & ~(TRUNCATE_CASCADE | TRUNCATE_RESTART_IDENTITY);
  return withFlags({ relationIds, ...truncateOptions(options) }, unused);
}

/** What the options byte of a Truncate says. */
export function truncateOptions(options: number): Pick<Truncate, 'cascade' | 'restartIdentity'> {
  return {
    cascade: (options & TRUNCATE_CASCADE) !== 0,
    restartIdentity: (options & TRUNCATE_RESTART_IDENTITY) !== 0,
  };
}

export const MESSAGE_TRANSACTIONAL = 1;

export interface LogicalMessage extends Flagged {
  /** Part of a transaction; else it stands alone. */
  readonly transactional: boolean;
  /** LSN of the message as the server gives it. */
  readonly lsn: bigint;
  /** The first argument of `pg_logical_emit_message` after `transactional`. */
  readonly prefix: string;
  /** Text is in the database's encoding. */
  readonly content: Buffer;
}

/** Message: 'M' flags:Int8 lsn:Int64 prefix:String contentLength:Int32 content:Byte[] */
export function parseMessage(bytes: Buffer, start: number, end: number): LogicalMessage {
  const reader = new ByteReader(bytes, start + 1, end);
  const flags = reader.uint8();
  const lsn = reader.uint64();
  const prefix = reader.cString();
  const content = reader.copy(reader.int32());
  reader.expectEnd();
  return withFlags({ transactional: isTransactional(flags), lsn, prefix, content }, flags & ~MESSAGE_TRANSACTIONAL);
}

/** Whether the flags byte of a Message says that it belongs to a transaction. */
export function isTransactional(flags: number): boolean {
  return (flags & MESSAGE_TRANSACTIONAL) !== 0;
}
