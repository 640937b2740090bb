import { EventBase, type EventJson } from './event-base.js';
import { jsonFromLsn } from './event-json.js';
import type { StreamAbort, StreamCommit, StreamStart } from './stream-message.js';
import { dateFromTimestamp } from './transaction-context.js';
import { type AckUnit, UnitEvent } from './unit-event.js';

/** A block of changes of a transaction in progress begins. It ends with Stream Stop, before anything else comes. */
export class StreamStartEvent extends EventBase {
  /** `walStart` of the message. */
  readonly lsn: bigint;
  /** Of the top-level transaction. */
  readonly xid: number;
  /** Whether this is the transaction's first block. */
  readonly isFirst: boolean;

  /** @internal */
  constructor(lsn: bigint, start: StreamStart) {
    super();
    this.lsn = lsn;
    this.xid = start.xid;
    this.isFirst = start.isFirst;
  }

  override get kind(): 'streamStart' {
    return 'streamStart';
  }

  override toObject() {
    const { kind, lsn, xid, isFirst } = this;
    return { kind, lsn, xid, isFirst };
  }

  override toJSON(): EventJson {
    return { ...this.toObject(), lsn: jsonFromLsn(this.lsn) };
  }
}

/** The block ends; the transaction may go on with another. */
export class StreamStopEvent extends EventBase {
  /** `walStart` of the message. */
  readonly lsn: bigint;
  /** `undefined` only where the server ends a block that it has not begun. */
  readonly xid: number | undefined;

  /** @internal */
  constructor(lsn: bigint, xid: number | undefined) {
    super();
    this.lsn = lsn;
    this.xid = xid;
  }

  override get kind(): 'streamStop' {
    return 'streamStop';
  }

  override toObject() {
    const { kind, lsn, xid } = this;
    return { kind, lsn, xid };
  }

  override toJSON(): EventJson {
    return { ...this.toObject(), lsn: jsonFromLsn(this.lsn) };
  }
}

/** A streamed transaction is committed: what its blocks brought, and no Stream Abort took back, holds. */
export class StreamCommitEvent extends UnitEvent {
  /** `walStart` of the message. */
  readonly lsn: bigint;
  /** Of the top-level transaction. */
  readonly xid: number;
  /** LSN of the commit record. */
  readonly commitLsn: bigint;
  /** Position after the commit record: what is acknowledged. */
  readonly commitEndLsn: bigint;
  /** When it was committed; milliseconds. */
  readonly commitTime: Date;

  /** @internal */
  constructor(lsn: bigint, commit: StreamCommit, unit: AckUnit) {
    super(unit);
    this.lsn = lsn;
    this.xid = commit.xid;
    this.commitLsn = commit.commitLsn;
    this.commitEndLsn = commit.commitEndLsn;
    this.commitTime = dateFromTimestamp(commit.commitTimeUs);
  }

  override get kind(): 'streamCommit' {
    return 'streamCommit';
  }

  override toObject() {
    const { kind, lsn, commitLsn, commitEndLsn, xid, commitTime } = this;
    return { kind, lsn, commitLsn, commitEndLsn, xid, commitTime };
  }

  override toJSON(): EventJson {
    return {
      kind: this.kind,
      lsn: jsonFromLsn(this.lsn),
      commitLsn: jsonFromLsn(this.commitLsn),
      commitEndLsn: jsonFromLsn(this.commitEndLsn),
      xid: this.xid,
      commitTime: this.commitTime.toJSON(),
    };
  }
}

/**
 * A subtransaction of a streamed transaction was rolled back: the changes that bear its `subxid` are void. Where
 * `subxid` is `xid`, all are, and nothing more comes of the transaction.
 */
export class StreamAbortEvent extends EventBase {
  /** `walStart` of the message. */
  readonly lsn: bigint;
  /** Of the top-level transaction. */
  readonly xid: number;
  /** The subtransaction whose changes are void; the xid itself when all are. */
  readonly subxid: number;
  /** LSN of the abort record, with `streaming: 'parallel'`. */
  readonly abortLsn: bigint | undefined;
  /** When it was rolled back, in milliseconds; with `streaming: 'parallel'`. */
  readonly abortTime: Date | undefined;

  /** @internal */
  constructor(lsn: bigint, abort: StreamAbort) {
    super();
    this.lsn = lsn;
    this.xid = abort.xid;
    this.subxid = abort.subxid;
    this.abortLsn = abort.abortLsn;
    this.abortTime = abort.abortTimeUs === undefined ? undefined : dateFromTimestamp(abort.abortTimeUs);
  }

  override get kind(): 'streamAbort' {
    return 'streamAbort';
  }

  override toObject() {
    const { kind, lsn, xid, subxid, abortLsn, abortTime } = this;
    return { kind, lsn, xid, subxid, abortLsn, abortTime };
  }

  override toJSON(): EventJson {
    return {
      kind: this.kind,
      lsn: jsonFromLsn(this.lsn),
      xid: this.xid,
      subxid: this.subxid,
      abortLsn: jsonFromLsn(this.abortLsn),
      abortTime: this.abortTime?.toJSON(),
    };
  }
}
