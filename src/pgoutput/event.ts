import type { Begin, Commit, LogicalMessage, Origin, Type } from './control-message.js';
import { EventBase, type EventJson } from './event-base.js';
import { jsonFromLsn } from './event-json.js';
import type {
  BeginPrepareEvent,
  CommitPreparedEvent,
  PrepareEvent,
  RollbackPreparedEvent,
  StreamPrepareEvent,
} from './prepared-event.js';
import type { Relation } from './relation.js';
import type { DeleteEvent, InsertEvent, UpdateEvent } from './row-event.js';
import type { StreamAbortEvent, StreamCommitEvent, StreamStartEvent, StreamStopEvent } from './stream-event.js';
import type { AnyTables, TableShape, TableShapes } from './table-types.js';
import {
  dateFromTimestamp,
  type TransactionContext,
  uncommittedFields,
  uncommittedJson,
} from './transaction-context.js';
import { type AckUnit, UnitEvent } from './unit-event.js';

/** A change of a row: of one of `Tables`, told apart by `schema` and `table`. */
export type RowEvent<Tables extends object = AnyTables> = ChangeOfTable<TableShapes<Tables>>;

/** A change of a row of one of these tables. */
export type ChangeOfTable<Table extends TableShape> = Table extends TableShape
  ? InsertEvent<Table> | UpdateEvent<Table> | DeleteEvent<Table>
  : never;

/** Everything that the stream delivers, told apart by `kind`. All LSNs are `bigint`. */
export type WalEvent<Tables extends object = AnyTables> =
  | BeginEvent
  | CommitEvent
  | RowEvent<Tables>
  | TruncateEvent
  | MessageEvent
  | RelationEvent
  | TypeEvent
  | OriginEvent
  | StreamStartEvent
  | StreamStopEvent
  | StreamCommitEvent
  | StreamAbortEvent
  | BeginPrepareEvent
  | PrepareEvent
  | CommitPreparedEvent
  | RollbackPreparedEvent
  | StreamPrepareEvent;

/** What `stream.ack()` takes: the events that end a unit of acknowledgement. Of messages, those that stand alone. */
export type AcknowledgeableEvent =
  | CommitEvent
  | StreamCommitEvent
  | PrepareEvent
  | StreamPrepareEvent
  | CommitPreparedEvent
  | RollbackPreparedEvent
  | MessageEvent;

/** A committed transaction begins; everything up to its commit belongs to it. */
export class BeginEvent extends EventBase {
  /** `walStart` of the message. */
  readonly lsn: bigint;
  /** Of the top-level transaction. */
  readonly xid: number;
  /** LSN of the commit record. */
  readonly commitLsn: bigint;
  /** When it was committed; milliseconds. */
  readonly commitTime: Date;

  /** @internal */
  constructor(lsn: bigint, begin: Begin) {
    super();
    this.lsn = lsn;
    this.xid = begin.xid;
    this.commitLsn = begin.commitLsn;
    this.commitTime = dateFromTimestamp(begin.commitTimeUs);
  }

  override get kind(): 'begin' {
    return 'begin';
  }

  override toObject() {
    const { kind, lsn, commitLsn, xid, commitTime } = this;
    return { kind, lsn, commitLsn, xid, commitTime };
  }

  override toJSON(): EventJson {
    return {
      kind: this.kind,
      lsn: jsonFromLsn(this.lsn),
      commitLsn: jsonFromLsn(this.commitLsn),
      xid: this.xid,
      commitTime: this.commitTime.toJSON(),
    };
  }
}

/** A transaction ends. `stream.ack(commit)` acknowledges it. */
export class CommitEvent extends UnitEvent {
  /** `walStart` of the message. */
  readonly lsn: bigint;
  /** Taken from its `begin`: the message itself names none. */
  readonly xid: number | undefined;
  /** LSN of the commit record. */
  readonly commitLsn: bigint;
  /** Position after the commit record: what is acknowledged. */
  readonly commitEndLsn: bigint;
  /** When it was committed; milliseconds. */
  readonly commitTime: Date;

  /** @internal */
  constructor(lsn: bigint, commit: Commit, xid: number | undefined, unit: AckUnit) {
    super(unit);
    this.lsn = lsn;
    this.xid = xid;
    this.commitLsn = commit.commitLsn;
    this.commitEndLsn = commit.commitEndLsn;
    this.commitTime = dateFromTimestamp(commit.commitTimeUs);
  }

  override get kind(): 'commit' {
    return 'commit';
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

/** One table of a truncate. */
export interface TruncatedRelation {
  /** As in the catalog, unquoted. */
  readonly schema: string;
  /** As in the catalog, unquoted. */
  readonly table: string;
}

/** One TRUNCATE statement, of one or several tables. */
export class TruncateEvent extends EventBase {
  /** `walStart` of the message: of the record. */
  readonly lsn: bigint;
  /** The published ones among its tables. */
  readonly relations: readonly TruncatedRelation[];
  /** TRUNCATE ... CASCADE. */
  readonly cascade: boolean;
  /** TRUNCATE ... RESTART IDENTITY. */
  readonly restartIdentity: boolean;
  /** Number among the row changes and truncates of its transaction; `undefined` in one that is streamed. */
  readonly ordinal: number | undefined;
  /** The transaction; the top-level one where it is streamed. */
  readonly xid: number | undefined;
  /** The subtransaction, where it was streamed: what Stream Abort names. */
  readonly subxid: number | undefined;
  /** LSN of the commit record, once that is known. */
  readonly commitLsn: bigint | undefined;
  /** Of the prepared transaction that it belongs to. */
  readonly gid: string | undefined;
  /** LSN of the prepare record of the prepared transaction that it belongs to. */
  readonly prepareLsn: bigint | undefined;

  /** @internal */
  constructor(
    lsn: bigint,
    relations: readonly Relation[],
    options: { cascade: boolean; restartIdentity: boolean },
    ordinal: number | undefined,
    transaction: TransactionContext | undefined,
    subxid: number | undefined,
  ) {
    super();
    this.lsn = lsn;
    this.relations = relations.map(({ schema, table }) => ({ schema, table }));
    this.cascade = options.cascade;
    this.restartIdentity = options.restartIdentity;
    this.ordinal = ordinal;
    this.xid = transaction?.xid;
    this.subxid = subxid;
    this.commitLsn = transaction?.commitLsn;
    this.gid = transaction?.gid;
    this.prepareLsn = transaction?.prepareLsn;
  }

  override get kind(): 'truncate' {
    return 'truncate';
  }

  override toObject() {
    const { kind, lsn, commitLsn, xid, ordinal, relations, cascade, restartIdentity } = this;
    return { kind, lsn, commitLsn, xid, ...uncommittedFields(this), ordinal, relations, cascade, restartIdentity };
  }

  override toJSON(): EventJson {
    return {
      kind: this.kind,
      lsn: jsonFromLsn(this.lsn),
      commitLsn: jsonFromLsn(this.commitLsn),
      xid: this.xid,
      ...uncommittedJson(this),
      ordinal: this.ordinal,
      relations: this.relations.map(({ schema, table }) => ({ schema, table })),
      cascade: this.cascade,
      restartIdentity: this.restartIdentity,
    };
  }
}

/** A logical decoding message, written by `pg_logical_emit_message`. Identified by (lsn, prefix). */
export class MessageEvent extends UnitEvent {
  /** LSN of the message as the server gives it; with `prefix` it identifies the message. */
  readonly lsn: bigint;
  /** Says whose message it is: the second argument of `pg_logical_emit_message`. */
  readonly prefix: string;
  /** The bytes as they were written; text is in the database's encoding. */
  readonly content: Buffer;
  /** Part of a transaction; else it stands alone and is acknowledged by itself. */
  readonly transactional: boolean;
  /** Its transaction; `undefined` for one that stands alone. */
  readonly xid: number | undefined;
  /**
   * Where it was streamed: the xid itself, because the server names no subtransaction. So a message of a savepoint that
   * was rolled back cannot be told from one that holds.
   */
  readonly subxid: number | undefined;
  /** LSN of the transaction's commit record, once that is known. */
  readonly commitLsn: bigint | undefined;
  /** Of the prepared transaction that it belongs to. */
  readonly gid: string | undefined;
  /** LSN of the prepare record of the prepared transaction that it belongs to. */
  readonly prepareLsn: bigint | undefined;

  /**
   * `unit` is that of a message that stands alone.
   *
   * @internal
   */
  constructor(
    message: LogicalMessage,
    transaction: TransactionContext | undefined,
    subxid: number | undefined,
    unit: AckUnit | undefined,
  ) {
    super(unit);
    this.lsn = message.lsn;
    this.prefix = message.prefix;
    this.content = message.content;
    this.transactional = message.transactional;
    const context = message.transactional ? transaction : undefined;
    this.xid = context?.xid;
    this.subxid = context === undefined ? undefined : subxid;
    this.commitLsn = context?.commitLsn;
    this.gid = context?.gid;
    this.prepareLsn = context?.prepareLsn;
  }

  override get kind(): 'message' {
    return 'message';
  }

  override toObject() {
    const { kind, lsn, commitLsn, xid, prefix, content, transactional } = this;
    return { kind, lsn, commitLsn, xid, ...uncommittedFields(this), prefix, content, transactional };
  }

  override toJSON(): EventJson {
    return {
      kind: this.kind,
      lsn: jsonFromLsn(this.lsn),
      commitLsn: jsonFromLsn(this.commitLsn),
      xid: this.xid,
      ...uncommittedJson(this),
      transactional: this.transactional,
      prefix: this.prefix,
      content: `\\x${this.content.toString('hex')}`,
    };
  }
}

/** Transaction and subtransaction of what was sent in a streamed block; `undefined` outside. */
export type StreamedXids = { readonly xid: number; readonly subxid: number } | undefined;

/** Descriptions belong to no transaction, unless they were streamed. */
function streamedFields({ xid, subxid }: { xid: number | undefined; subxid: number | undefined }) {
  return subxid === undefined ? {} : { xid, subxid };
}

/** The server describes a table, before its first change and after it was altered. */
export class RelationEvent extends EventBase {
  /** The table as it is from here on. */
  readonly relation: Relation;
  /** The transaction in which it holds until that commits, where it was streamed. */
  readonly xid: number | undefined;
  /** The subtransaction in which it holds, where it was streamed. */
  readonly subxid: number | undefined;

  /** @internal */
  constructor(relation: Relation, streamed: StreamedXids) {
    super();
    this.relation = relation;
    this.xid = streamed?.xid;
    this.subxid = streamed?.subxid;
  }

  override get kind(): 'relation' {
    return 'relation';
  }

  /** As in the catalog, unquoted. */
  get schema(): string {
    return this.relation.schema;
  }

  /** As in the catalog, unquoted. */
  get table(): string {
    return this.relation.table;
  }

  override toObject() {
    const { kind, schema, table, relation } = this;
    return { kind, ...streamedFields(this), schema, table, relation };
  }

  override toJSON(): EventJson {
    const { id, replicaIdentity, columns } = this.relation;
    return {
      kind: this.kind,
      ...streamedFields(this),
      schema: this.schema,
      table: this.table,
      id,
      replicaIdentity,
      columns: columns.map(({ name, typeOid, typeModifier, isIdentity }) => ({
        name,
        typeOid,
        typeModifier,
        isIdentity,
      })),
    };
  }
}

/** The server names a type that is not built in. */
export class TypeEvent extends EventBase {
  /** Its OID, which columns of a relation name as `typeOid`. */
  readonly id: number;
  /** As in the catalog, unquoted. */
  readonly schema: string;
  /** As in pg_type. */
  readonly name: string;
  /** The transaction that it was sent for, where that was streamed. */
  readonly xid: number | undefined;
  /** The subtransaction that it was sent for, where that was streamed. */
  readonly subxid: number | undefined;

  /** @internal */
  constructor(type: Type, streamed: StreamedXids) {
    super();
    this.id = type.id;
    this.schema = type.schema;
    this.name = type.name;
    this.xid = streamed?.xid;
    this.subxid = streamed?.subxid;
  }

  override get kind(): 'type' {
    return 'type';
  }

  override toObject() {
    const { kind, id, schema, name } = this;
    return { kind, ...streamedFields(this), id, schema, name };
  }

  override toJSON(): EventJson {
    return this.toObject();
  }
}

/** The transaction was replicated from another server. */
export class OriginEvent extends EventBase {
  /** As in pg_replication_origin. */
  readonly name: string;
  /** LSN of the commit on the origin; 0 in a transaction that is streamed, of which the server does not know it yet. */
  readonly originLsn: bigint;

  /** @internal */
  constructor(origin: Origin) {
    super();
    this.name = origin.name;
    this.originLsn = origin.originLsn;
  }

  override get kind(): 'origin' {
    return 'origin';
  }

  override toObject() {
    const { kind, name, originLsn } = this;
    return { kind, name, originLsn };
  }

  override toJSON(): EventJson {
    return { kind: this.kind, name: this.name, originLsn: jsonFromLsn(this.originLsn) };
  }
}
