import { EventBase, type EventJson } from './event-base.js';
import { jsonFromLsn } from './event-json.js';
import type { CommitPrepared, Prepared, RollbackPrepared } from './prepared-message.js';
import { dateFromTimestamp } from './transaction-context.js';
import { type AckUnit, UnitEvent } from './unit-event.js';

/** A prepared transaction begins; everything up to its Prepare belongs to it. */
export class BeginPrepareEvent extends EventBase {
  /** `walStart` of the message. */
  readonly lsn: bigint;
  /** Of the top-level transaction. */
  readonly xid: number;
  /** The name in PREPARE TRANSACTION. */
  readonly gid: string;
  /** LSN of the prepare record. */
  readonly prepareLsn: bigint;
  /** Position after the prepare record. */
  readonly prepareEndLsn: bigint;
  /** When it was prepared; milliseconds. */
  readonly prepareTime: Date;

  /** @internal */
  constructor(lsn: bigint, prepared: Prepared) {
    super();
    this.lsn = lsn;
    this.xid = prepared.xid;
    this.gid = prepared.gid;
    this.prepareLsn = prepared.prepareLsn;
    this.prepareEndLsn = prepared.prepareEndLsn;
    this.prepareTime = dateFromTimestamp(prepared.prepareTimeUs);
  }

  override get kind(): 'beginPrepare' {
    return 'beginPrepare';
  }

  override toObject() {
    const { kind, lsn, prepareLsn, prepareEndLsn, xid, gid, prepareTime } = this;
    return { kind, lsn, prepareLsn, prepareEndLsn, xid, gid, prepareTime };
  }

  override toJSON(): EventJson {
    return preparedJson(this);
  }
}

/** What Prepare and Stream Prepare have in common. */
abstract class PreparedEvent extends UnitEvent {
  /** `walStart` of the message. */
  readonly lsn: bigint;
  /** Of the top-level transaction. */
  readonly xid: number;
  /** The name in PREPARE TRANSACTION. */
  readonly gid: string;
  /** LSN of the prepare record. */
  readonly prepareLsn: bigint;
  /** Position after the prepare record: what is acknowledged. */
  readonly prepareEndLsn: bigint;
  /** When it was prepared; milliseconds. */
  readonly prepareTime: Date;

  /** @internal */
  constructor(lsn: bigint, prepared: Prepared, unit: AckUnit) {
    super(unit);
    this.lsn = lsn;
    this.xid = prepared.xid;
    this.gid = prepared.gid;
    this.prepareLsn = prepared.prepareLsn;
    this.prepareEndLsn = prepared.prepareEndLsn;
    this.prepareTime = dateFromTimestamp(prepared.prepareTimeUs);
  }

  abstract override readonly kind: 'prepare' | 'streamPrepare';

  override toObject() {
    const { kind, lsn, prepareLsn, prepareEndLsn, xid, gid, prepareTime } = this;
    return { kind, lsn, prepareLsn, prepareEndLsn, xid, gid, prepareTime };
  }

  override toJSON(): EventJson {
    return preparedJson(this);
  }
}

/**
 * A transaction is prepared. Once it is acknowledged the server sends its changes no more: only whether it was
 * committed or rolled back.
 */
export class PrepareEvent extends PreparedEvent {
  override get kind(): 'prepare' {
    return 'prepare';
  }
}

/** A streamed transaction is prepared: what its blocks brought, and no Stream Abort took back, is what Prepare means. */
export class StreamPrepareEvent extends PreparedEvent {
  override get kind(): 'streamPrepare' {
    return 'streamPrepare';
  }
}

/** A prepared transaction is committed. Its changes came before its Prepare or Stream Prepare. */
export class CommitPreparedEvent extends UnitEvent {
  /** `walStart` of the message. */
  readonly lsn: bigint;
  /** Of the top-level transaction that was prepared. */
  readonly xid: number;
  /** The name in PREPARE TRANSACTION. */
  readonly gid: string;
  /** LSN of the commit record. */
  readonly commitLsn: bigint;
  /** Position after the commit record: what is acknowledged. */
  readonly commitEndLsn: bigint;
  /** When it was committed; milliseconds. */
  readonly commitTime: Date;

  /** @internal */
  constructor(lsn: bigint, commit: CommitPrepared, unit: AckUnit) {
    super(unit);
    this.lsn = lsn;
    this.xid = commit.xid;
    this.gid = commit.gid;
    this.commitLsn = commit.commitLsn;
    this.commitEndLsn = commit.commitEndLsn;
    this.commitTime = dateFromTimestamp(commit.commitTimeUs);
  }

  override get kind(): 'commitPrepared' {
    return 'commitPrepared';
  }

  override toObject() {
    const { kind, lsn, commitLsn, commitEndLsn, xid, gid, commitTime } = this;
    return { kind, lsn, commitLsn, commitEndLsn, xid, gid, commitTime };
  }

  override toJSON(): EventJson {
    return {
      kind: this.kind,
      lsn: jsonFromLsn(this.lsn),
      commitLsn: jsonFromLsn(this.commitLsn),
      commitEndLsn: jsonFromLsn(this.commitEndLsn),
      xid: this.xid,
      gid: this.gid,
      commitTime: this.commitTime.toJSON(),
    };
  }
}

/** A prepared transaction is rolled back: its changes are void. */
export class RollbackPreparedEvent extends UnitEvent {
  /** `walStart` of the message. */
  readonly lsn: bigint;
  /** Of the top-level transaction that was prepared. */
  readonly xid: number;
  /** The name in PREPARE TRANSACTION. */
  readonly gid: string;
  /** Position after the prepare record. */
  readonly prepareEndLsn: bigint;
  /** Position after the rollback record: what is acknowledged. */
  readonly rollbackEndLsn: bigint;
  /** When it was prepared; milliseconds. */
  readonly prepareTime: Date;
  /** When it was rolled back; milliseconds. */
  readonly rollbackTime: Date;

  /** @internal */
  constructor(lsn: bigint, rollback: RollbackPrepared, unit: AckUnit) {
    super(unit);
    this.lsn = lsn;
    this.xid = rollback.xid;
    this.gid = rollback.gid;
    this.prepareEndLsn = rollback.prepareEndLsn;
    this.rollbackEndLsn = rollback.rollbackEndLsn;
    this.prepareTime = dateFromTimestamp(rollback.prepareTimeUs);
    this.rollbackTime = dateFromTimestamp(rollback.rollbackTimeUs);
  }

  override get kind(): 'rollbackPrepared' {
    return 'rollbackPrepared';
  }

  override toObject() {
    const { kind, lsn, prepareEndLsn, rollbackEndLsn, xid, gid, prepareTime, rollbackTime } = this;
    return { kind, lsn, prepareEndLsn, rollbackEndLsn, xid, gid, prepareTime, rollbackTime };
  }

  override toJSON(): EventJson {
    return {
      kind: this.kind,
      lsn: jsonFromLsn(this.lsn),
      prepareEndLsn: jsonFromLsn(this.prepareEndLsn),
      rollbackEndLsn: jsonFromLsn(this.rollbackEndLsn),
      xid: this.xid,
      gid: this.gid,
      prepareTime: this.prepareTime.toJSON(),
      rollbackTime: this.rollbackTime.toJSON(),
    };
  }
}

function preparedJson(event: BeginPrepareEvent | PreparedEvent): EventJson {
  return {
    kind: event.kind,
    lsn: jsonFromLsn(event.lsn),
    prepareLsn: jsonFromLsn(event.prepareLsn),
    prepareEndLsn: jsonFromLsn(event.prepareEndLsn),
    xid: event.xid,
    gid: event.gid,
    prepareTime: event.prepareTime.toJSON(),
  };
}
