import type { Commit, LogicalMessage, Origin, Type } from './control-message.js';
import { EventBase, type EventJson } from './event-base.js';
import { jsonFromLsn } from './event-json.js';
import type { Relation } from './relation.js';
import type { DeleteEvent, InsertEvent, UpdateEvent } from './row-event.js';
import { dateFromTimestamp, type TransactionContext } from './transaction-context.js';

/** A change of a row. */
export type RowEvent = InsertEvent | UpdateEvent | DeleteEvent;

/** Everything that the stream delivers, told apart by `kind`. All LSNs are `bigint`. */
export type WalEvent =
  | BeginEvent
  | CommitEvent
  | RowEvent
  | TruncateEvent
  | MessageEvent
  | RelationEvent
  | TypeEvent
  | OriginEvent;

/** A committed transaction begins; everything up to its commit belongs to it. */
export class BeginEvent extends EventBase {
  readonly lsn: bigint;
  readonly xid: number;
  /** LSN of the commit record. */
  readonly commitLsn: bigint;
  /** When it was committed; milliseconds. */
  readonly commitTime: Date;

  constructor(lsn: bigint, transaction: TransactionContext) {
    super();
    this.lsn = lsn;
    this.xid = transaction.xid;
    this.commitLsn = transaction.commitLsn;
    this.commitTime = transaction.commitTime;
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

let unitOfCommit: (event: CommitEvent) => number;
let unitOfMessage: (event: MessageEvent) => number;

/**
 * Which unit of acknowledgement ends with the event, counted over the stream; `undefined` for a message inside a
 * transaction, which is acknowledged with that.
 */
export function acknowledgementUnit(event: CommitEvent | MessageEvent): number | undefined {
  if (event instanceof CommitEvent) return unitOfCommit(event);
  return event.transactional ? undefined : unitOfMessage(event);
}

/** A transaction ends. `stream.ack(commit)` acknowledges it. */
export class CommitEvent extends EventBase {
  readonly lsn: bigint;
  readonly xid: number | undefined;
  readonly commitLsn: bigint;
  /** Position after the commit record: what is acknowledged. */
  readonly commitEndLsn: bigint;
  /** When it was committed; milliseconds. */
  readonly commitTime: Date;
  readonly #unit: number;

  constructor(lsn: bigint, commit: Commit, xid: number | undefined, unit: number) {
    super();
    this.lsn = lsn;
    this.xid = xid;
    this.commitLsn = commit.commitLsn;
    this.commitEndLsn = commit.commitEndLsn;
    this.commitTime = dateFromTimestamp(commit.commitTimeUs);
    this.#unit = unit;
  }

  override get kind(): 'commit' {
    return 'commit';
  }

  static {
    unitOfCommit = (event) => event.#unit;
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
  readonly schema: string;
  readonly table: string;
}

/** One TRUNCATE statement, of one or several tables. */
export class TruncateEvent extends EventBase {
  readonly lsn: bigint;
  readonly relations: readonly TruncatedRelation[];
  readonly cascade: boolean;
  readonly restartIdentity: boolean;
  readonly ordinal: number;
  readonly xid: number | undefined;
  readonly commitLsn: bigint | undefined;

  constructor(
    lsn: bigint,
    relations: readonly Relation[],
    options: { cascade: boolean; restartIdentity: boolean },
    ordinal: number,
    transaction: TransactionContext | undefined,
  ) {
    super();
    this.lsn = lsn;
    this.relations = relations.map(({ schema, table }) => ({ schema, table }));
    this.cascade = options.cascade;
    this.restartIdentity = options.restartIdentity;
    this.ordinal = ordinal;
    this.xid = transaction?.xid;
    this.commitLsn = transaction?.commitLsn;
  }

  override get kind(): 'truncate' {
    return 'truncate';
  }

  override toObject() {
    const { kind, lsn, commitLsn, xid, ordinal, relations, cascade, restartIdentity } = this;
    return { kind, lsn, commitLsn, xid, ordinal, relations, cascade, restartIdentity };
  }

  override toJSON(): EventJson {
    return {
      kind: this.kind,
      lsn: jsonFromLsn(this.lsn),
      commitLsn: jsonFromLsn(this.commitLsn),
      xid: this.xid,
      ordinal: this.ordinal,
      relations: this.relations.map(({ schema, table }) => ({ schema, table })),
      cascade: this.cascade,
      restartIdentity: this.restartIdentity,
    };
  }
}

/** A logical decoding message, written by `pg_logical_emit_message`. Identified by (lsn, prefix). */
export class MessageEvent extends EventBase {
  readonly lsn: bigint;
  readonly prefix: string;
  readonly content: Buffer;
  /** Part of a transaction; else it stands alone and is acknowledged by itself. */
  readonly transactional: boolean;
  readonly xid: number | undefined;
  readonly commitLsn: bigint | undefined;
  readonly #unit: number;

  constructor(message: LogicalMessage, transaction: TransactionContext | undefined, unit: number) {
    super();
    this.lsn = message.lsn;
    this.prefix = message.prefix;
    this.content = message.content;
    this.transactional = message.transactional;
    this.xid = message.transactional ? transaction?.xid : undefined;
    this.commitLsn = message.transactional ? transaction?.commitLsn : undefined;
    this.#unit = unit;
  }

  override get kind(): 'message' {
    return 'message';
  }

  static {
    unitOfMessage = (event) => event.#unit;
  }

  override toObject() {
    const { kind, lsn, commitLsn, xid, prefix, content, transactional } = this;
    return { kind, lsn, commitLsn, xid, prefix, content, transactional };
  }

  override toJSON(): EventJson {
    return {
      kind: this.kind,
      lsn: jsonFromLsn(this.lsn),
      commitLsn: jsonFromLsn(this.commitLsn),
      xid: this.xid,
      transactional: this.transactional,
      prefix: this.prefix,
      content: `\\x${this.content.toString('hex')}`,
    };
  }
}

/** The server describes a table, before its first change and after it was altered. */
export class RelationEvent extends EventBase {
  readonly relation: Relation;

  constructor(relation: Relation) {
    super();
    this.relation = relation;
  }

  override get kind(): 'relation' {
    return 'relation';
  }

  get schema(): string {
    return this.relation.schema;
  }

  get table(): string {
    return this.relation.table;
  }

  override toObject() {
    const { kind, schema, table, relation } = this;
    return { kind, schema, table, relation };
  }

  override toJSON(): EventJson {
    const { id, replicaIdentity, columns } = this.relation;
    return {
      kind: this.kind,
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
  readonly id: number;
  readonly schema: string;
  readonly name: string;

  constructor(type: Type) {
    super();
    this.id = type.id;
    this.schema = type.schema;
    this.name = type.name;
  }

  override get kind(): 'type' {
    return 'type';
  }

  override toObject() {
    const { kind, id, schema, name } = this;
    return { kind, id, schema, name };
  }

  override toJSON(): EventJson {
    return this.toObject();
  }
}

/** The transaction was replicated from another server. */
export class OriginEvent extends EventBase {
  readonly name: string;
  /** LSN of the commit on the origin. */
  readonly originLsn: bigint;

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
