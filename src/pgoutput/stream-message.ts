import { DecodeError } from '../errors.js';
import { ByteReader } from '../protocol/byte-reader.js';
import { type Flagged, withFlags } from './flags.js';
import { MessageTag } from './message-tag.js';

/*
 * Messages of protocol 2: transactions sent before they commit. `[start, end)` begins at the tag.
 *
 * Between Stream Start and Stream Stop, every Insert, Update, Delete, Truncate, Relation, Type and Message has the xid
 * of its subtransaction after its tag (a Message that of its transaction).
 * https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */

/** Bytes of the xid after the tag of a message in a streamed block. */
export const STREAMED_XID_BYTES = 4;

/** Whether a message has that xid in a streamed block. Whatever else comes there (Origin) is as it is elsewhere. */
export function hasStreamedXid(tag: number): boolean {
  switch (tag) {
    case MessageTag.insert:
    case MessageTag.update:
    case MessageTag.delete:
    case MessageTag.truncate:
    case MessageTag.relation:
    case MessageTag.type:
    case MessageTag.message:
      return true;
    default:
      return false;
  }
}

export interface StreamStart {
  /** Of the top-level transaction. */
  readonly xid: number;
  /** Whether this is the transaction's first block. */
  readonly isFirst: boolean;
}

/** Stream Start: 'S' xid:Int32 firstSegment:Int8 (1 or 0) */
export function parseStreamStart(bytes: Buffer, start: number, end: number): StreamStart {
  const reader = new ByteReader(bytes, start + 1, end);
  const xid = reader.uint32();
  const segmentOffset = reader.offset;
  const firstSegment = reader.uint8();
  if (firstSegment > 1) throw new DecodeError('first segment is neither 1 nor 0', { offset: segmentOffset, tag: 'S' });
  reader.expectEnd();
  return { xid, isFirst: firstSegment === 1 };
}

/** Stream Stop: 'E' */
export function parseStreamStop(bytes: Buffer, start: number, end: number): void {
  new ByteReader(bytes, start + 1, end).expectEnd();
}

export interface StreamCommit extends Flagged {
  /** Of the top-level transaction. */
  readonly xid: number;
  /** LSN of the commit record. */
  readonly commitLsn: bigint;
  /** Position after the commit record: what is acknowledged. */
  readonly commitEndLsn: bigint;
  /** Microseconds since 2000-01-01 UTC. */
  readonly commitTimeUs: bigint;
}

/** Stream Commit: 'c' xid:Int32 flags:Int8 commitLsn:Int64 endLsn:Int64 commitTime:Int64 */
export function parseStreamCommit(bytes: Buffer, start: number, end: number): StreamCommit {
  const reader = new ByteReader(bytes, start + 1, end);
  const xid = reader.uint32();
  const flags = reader.uint8();
  const commitLsn = reader.uint64();
  const commitEndLsn = reader.uint64();
  const commitTimeUs = reader.int64();
  reader.expectEnd();
  return withFlags({ xid, commitLsn, commitEndLsn, commitTimeUs }, flags);
}

export interface StreamAbort {
  /** Of the top-level transaction. */
  readonly xid: number;
  /** The subtransaction whose changes are discarded; the xid itself when all are. */
  readonly subxid: number;
  /** LSN of the abort; only with streaming: parallel (protocol 4). */
  readonly abortLsn?: bigint;
  /** When, in microseconds since 2000-01-01 UTC; only with streaming: parallel. */
  readonly abortTimeUs?: bigint;
}

/** Stream Abort: 'A' xid:Int32 subxid:Int32 [abortLsn:Int64 abortTime:Int64] */
export function parseStreamAbort(bytes: Buffer, start: number, end: number): StreamAbort {
  const reader = new ByteReader(bytes, start + 1, end);
  const xid = reader.uint32();
  const subxid = reader.uint32();
  if (reader.remaining === 0) return { xid, subxid };
  const abortLsn = reader.uint64();
  const abortTimeUs = reader.int64();
  reader.expectEnd();
  return { xid, subxid, abortLsn, abortTimeUs };
}
