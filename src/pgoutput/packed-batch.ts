/*
 * What the transcoder makes of a stretch of the stream and what events are read from: two flat memories that cross
 * threads by transfer, without any object per row.
 *
 *   index  EVENT_WORDS unsigned 32-bit words per event, in stream order
 *   data   per event: the xid of the subtransaction, if it was streamed; then the old row or key, then the new row
 *          (msgpack), or the raw message of a control event
 */

/** Kind of an event, in the low byte of its first index word. */
export const EventCode = {
  begin: 1,
  commit: 2,
  origin: 3,
  relation: 4,
  type: 5,
  insert: 6,
  update: 7,
  delete: 8,
  truncate: 9,
  message: 10,
  streamStart: 11,
  streamStop: 12,
  streamCommit: 13,
  streamAbort: 14,
  beginPrepare: 15,
  prepare: 16,
  commitPrepared: 17,
  rollbackPrepared: 18,
  streamPrepare: 19,
} as const;

/** Flags of an event, above the low byte of its first index word. */
export const EventFlag = {
  /** The bytes before the new row are the old key: replica-identity columns only. */
  hasKey: 0x100,
  /** The bytes before the new row are the whole old row. */
  hasOld: 0x200,
  /** A transform returned `undefined`: the event counts, and is not delivered. */
  dropped: 0x400,
  /** Sent in a streamed block: SUBXID_BYTES before the old row or key are the subtransaction's xid, big-endian. */
  streamed: 0x800,
} as const;

/** Bytes of a subtransaction's xid in `data`. */
export const SUBXID_BYTES = 4;

export const EVENT_CODE_MASK = 0xff;

/** Index words of one event. */
export const EventWord = {
  codeAndFlags: 0,
  /** Position in the batch's list of relation versions. */
  relation: 1,
  lsnHigh: 2,
  lsnLow: 3,
  /** Offsets into `data`: `[oldStart, newStart)` old row or key, `[newStart, end)` new row, value or raw message. */
  oldStart: 4,
  newStart: 5,
  end: 6,
} as const;

export const EVENT_WORDS = 7;

export interface PackedBatch {
  readonly index: Uint32Array;
  readonly data: Uint8Array;
}

/** Whether a row change: insert, update or delete. */
export function isRowCode(code: number): boolean {
  return code >= EventCode.insert && code <= EventCode.delete;
}
