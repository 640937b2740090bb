import { ByteReader } from '../protocol/byte-reader.js';
import { type Flagged, withFlags } from './flags.js';

/*
 * Messages of protocol 3: two-phase commit. `[start, end)` begins at the tag.
 * https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */

/** A transaction that was prepared: PREPARE TRANSACTION 'gid'. */
export interface Prepared {
  /** LSN of the prepare record. */
  readonly prepareLsn: bigint;
  /** Position after the prepare record. */
  readonly prepareEndLsn: bigint;
  /** Microseconds since 2000-01-01 UTC. */
  readonly prepareTimeUs: bigint;
  /** Of the top-level transaction. */
  readonly xid: number;
  /** The name in PREPARE TRANSACTION. */
  readonly gid: string;
}

/** Begin Prepare: 'b' prepareLsn:Int64 endLsn:Int64 prepareTime:Int64 xid:Int32 gid:String */
export function parseBeginPrepare(bytes: Buffer, start: number, end: number): Prepared {
  return parsePrepared(new ByteReader(bytes, start + 1, end));
}

/** Prepare: 'P' flags:Int8, then as Begin Prepare. Stream Prepare, 'p', is the same. */
export function parsePrepare(bytes: Buffer, start: number, end: number): Prepared & Flagged {
  const reader = new ByteReader(bytes, start + 1, end);
  const flags = reader.uint8();
  return withFlags(parsePrepared(reader), flags);
}

function parsePrepared(reader: ByteReader): Prepared {
  const prepareLsn = reader.uint64();
  const prepareEndLsn = reader.uint64();
  const prepareTimeUs = reader.int64();
  const xid = reader.uint32();
  const gid = reader.cString();
  reader.expectEnd();
  return { prepareLsn, prepareEndLsn, prepareTimeUs, xid, gid };
}

export interface CommitPrepared extends Flagged {
  /** LSN of the commit record. */
  readonly commitLsn: bigint;
  /** Position after the commit record: what is acknowledged. */
  readonly commitEndLsn: bigint;
  /** Microseconds since 2000-01-01 UTC. */
  readonly commitTimeUs: bigint;
  /** Of the top-level transaction that was prepared. */
  readonly xid: number;
  /** The name in PREPARE TRANSACTION. */
  readonly gid: string;
}

/** Commit Prepared: 'K' flags:Int8 commitLsn:Int64 endLsn:Int64 commitTime:Int64 xid:Int32 gid:String */
export function parseCommitPrepared(bytes: Buffer, start: number, end: number): CommitPrepared {
  const reader = new ByteReader(bytes, start + 1, end);
  const flags = reader.uint8();
  const commitLsn = reader.uint64();
  const commitEndLsn = reader.uint64();
  const commitTimeUs = reader.int64();
  const xid = reader.uint32();
  const gid = reader.cString();
  reader.expectEnd();
  return withFlags({ commitLsn, commitEndLsn, commitTimeUs, xid, gid }, flags);
}

export interface RollbackPrepared extends Flagged {
  /** Position after the prepare record. */
  readonly prepareEndLsn: bigint;
  /** Position after the rollback record: what is acknowledged. */
  readonly rollbackEndLsn: bigint;
  /** Microseconds since 2000-01-01 UTC. */
  readonly prepareTimeUs: bigint;
  /** Microseconds since 2000-01-01 UTC. */
  readonly rollbackTimeUs: bigint;
  /** Of the top-level transaction that was prepared. */
  readonly xid: number;
  /** The name in PREPARE TRANSACTION. */
  readonly gid: string;
}

/**
 * Rollback Prepared: 'r' flags:Int8 prepareEndLsn:Int64 rollbackEndLsn:Int64 prepareTime:Int64 rollbackTime:Int64
 *                    xid:Int32 gid:String
 */
export function parseRollbackPrepared(bytes: Buffer, start: number, end: number): RollbackPrepared {
  const reader = new ByteReader(bytes, start + 1, end);
  const flags = reader.uint8();
  const prepareEndLsn = reader.uint64();
  const rollbackEndLsn = reader.uint64();
  const prepareTimeUs = reader.int64();
  const rollbackTimeUs = reader.int64();
  const xid = reader.uint32();
  const gid = reader.cString();
  reader.expectEnd();
  return withFlags({ prepareEndLsn, rollbackEndLsn, prepareTimeUs, rollbackTimeUs, xid, gid }, flags);
}
