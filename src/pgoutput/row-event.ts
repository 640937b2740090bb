import { type InspectOptions, inspect } from 'node:util';
import { EventBase, type EventJson } from './event-base.js';
import { define, jsonFromLsn, jsonFromRow, jsonFromValue, type Row, unchangedColumns } from './event-json.js';
import { EventFlag } from './packed-batch.js';
import type { PackedEvents } from './packed-events.js';
import type { Relation } from './relation.js';
import type { AnyTable, TableShape } from './table-types.js';
import { type TransactionContext, uncommittedFields, uncommittedJson } from './transaction-context.js';

/**
 * A change of one row. Rows stay packed in the batch until `new`, `old` or `key` is read; rows that nobody reads cost
 * almost nothing. After a transform there are no rows: `value` is what the transform returned.
 */
abstract class RowChange<Table extends TableShape = AnyTable> extends EventBase {
  /**
   * Number among the row changes and truncates of its transaction, from 0. (commitLsn, ordinal) deduplicates.
   * `undefined` in a transaction that is streamed: what survives to its commit is not known yet.
   */
  readonly ordinal: number | undefined;
  readonly #events: PackedEvents;
  readonly #at: number;
  readonly #transaction: TransactionContext | undefined;
  #new: Row | undefined;
  #old: Row | undefined;
  #value: unknown;

  /** @internal */
  constructor(
    events: PackedEvents,
    at: number,
    transaction: TransactionContext | undefined,
    ordinal: number | undefined,
  ) {
    super();
    this.#events = events;
    this.#at = at;
    this.#transaction = transaction;
    this.ordinal = ordinal;
  }

  abstract override readonly kind: 'insert' | 'update' | 'delete';

  /** The table as it was when the change was made. */
  get relation(): Relation {
    return this.#events.relationAt(this.#at).relation;
  }

  /** As in the catalog, unquoted. */
  get schema(): Table['schema'] {
    return this.relation.schema;
  }

  /** As in the catalog, unquoted. */
  get table(): Table['table'] {
    return this.relation.table;
  }

  /** `walStart` of the message: of the change's record. */
  get lsn(): bigint {
    return this.#events.lsnAt(this.#at);
  }

  /** The transaction; the top-level one where it is streamed. */
  get xid(): number | undefined {
    return this.#transaction?.xid;
  }

  /** The subtransaction, where it was streamed: what Stream Abort names. The xid itself outside of any. */
  get subxid(): number | undefined {
    return this.#transaction?.kind === 'streamed' ? this.#events.subxidAt(this.#at) : undefined;
  }

  /** LSN of the transaction's commit record, once that is known. */
  get commitLsn(): bigint | undefined {
    return this.#transaction?.commitLsn;
  }

  /** Name of the prepared transaction that it belongs to. */
  get gid(): string | undefined {
    return this.#transaction?.gid;
  }

  /** LSN of the prepare record of the prepared transaction that it belongs to. */
  get prepareLsn(): bigint | undefined {
    return this.#transaction?.prepareLsn;
  }

  /** What the transform returned for this change; `undefined` without a transform. */
  get value(): unknown {
    if (this.#value === undefined && this.#events.transformed) this.#value = this.#events.readValue(this.#at);
    return this.#value;
  }

  /**
   * The replica-identity columns as they were before the change; `undefined` when the table has none and after a
   * transform.
   */
  get identity(): Table['identity'] | undefined {
    if (this.#events.transformed) return undefined;
    const before = this.readOld();
    if (before !== undefined) return before;
    const { columns } = this.relation;
    const row = this.readNew();
    if (row === undefined || !columns.some((column) => column.isIdentity)) return undefined;
    const identity: Row = {};
    for (const { name, isIdentity } of columns) if (isIdentity) define(identity, name, row[name]);
    return identity;
  }

  override toObject(): Record<string, unknown> {
    const { kind, schema, table, relation, xid, lsn, commitLsn, ordinal } = this;
    const position = { kind, schema, table, relation, xid, ...uncommittedFields(this), lsn, commitLsn, ordinal };
    if (this.#events.transformed) return { ...position, value: this.value };
    return { ...position, ...this.rows(), identity: this.identity };
  }

  /** What `console.log` shows: the relation's columns would drown the row. */
  override [inspect.custom](depth: number, options: InspectOptions, show: typeof inspect): string {
    const { relation: _, ...shown } = this.toObject();
    return `${this.constructor.name} ${show(shown, { ...options, depth })}`;
  }

  override toJSON(): EventJson {
    const json: EventJson = {
      kind: this.kind,
      lsn: jsonFromLsn(this.lsn),
      commitLsn: jsonFromLsn(this.commitLsn),
      xid: this.xid,
      ...uncommittedJson(this),
      ordinal: this.ordinal,
      schema: this.schema,
      table: this.table,
    };
    if (this.#events.transformed) return { ...json, value: jsonFromValue(this.value) };
    for (const [name, row] of Object.entries(this.rows()) as [string, Row | undefined][]) {
      if (row === undefined) continue;
      json[name] = jsonFromRow(row);
      if (name !== 'new') continue;
      const unchanged = unchangedColumns(row);
      if (unchanged.length > 0) json.unchanged = unchanged;
    }
    return json;
  }

  /** The rows that this kind of change has, by name. */
  protected abstract rows(): { new?: object; old?: object | undefined; key?: object | undefined };

  protected hasFlag(flag: number): boolean {
    return this.#events.hasFlag(this.#at, flag);
  }

  protected readNew(): Row | undefined {
    if (this.#new === undefined && !this.#events.transformed) this.#new = this.#events.readNew(this.#at);
    return this.#new;
  }

  /** The old row or the old key, whichever was sent. */
  protected readOld(): Row | undefined {
    if (this.#old === undefined && !this.#events.transformed) this.#old = this.#events.readOld(this.#at);
    return this.#old;
  }
}

/** A row was inserted: `new` is the row. */
export class InsertEvent<Table extends TableShape = AnyTable> extends RowChange<Table> {
  override get kind(): 'insert' {
    return 'insert';
  }

  /** The row; empty after a transform. */
  get new(): Table['inserted'] {
    return this.readNew() ?? {};
  }

  protected override rows() {
    return { new: this.new };
  }
}

/** A row was updated: `new` is the row after it, `old` (REPLICA IDENTITY FULL) or `key` (when it changed) before it. */
export class UpdateEvent<Table extends TableShape = AnyTable> extends RowChange<Table> {
  override get kind(): 'update' {
    return 'update';
  }

  /** The row after the update; a TOAST column that was not sent is `UNCHANGED`. Empty after a transform. */
  get new(): Table['updated'] {
    return this.readNew() ?? {};
  }

  /** The whole row before the update, under REPLICA IDENTITY FULL. */
  get old(): Table['stored'] | undefined {
    return this.hasFlag(EventFlag.hasOld) ? this.readOld() : undefined;
  }

  /** The replica-identity columns before the update, when the server sent them because they changed. */
  get key(): Table['key'] | undefined {
    return this.hasFlag(EventFlag.hasKey) ? this.readOld() : undefined;
  }

  protected override rows() {
    return { new: this.new, old: this.old, key: this.key };
  }
}

/** A row was deleted: `old` is the row (REPLICA IDENTITY FULL) or `key` its replica-identity columns. */
export class DeleteEvent<Table extends TableShape = AnyTable> extends RowChange<Table> {
  override get kind(): 'delete' {
    return 'delete';
  }

  /** The whole row, under REPLICA IDENTITY FULL. */
  get old(): Table['stored'] | undefined {
    return this.hasFlag(EventFlag.hasOld) ? this.readOld() : undefined;
  }

  /** The replica-identity columns of the row. */
  get key(): Table['key'] | undefined {
    return this.hasFlag(EventFlag.hasKey) ? this.readOld() : undefined;
  }

  protected override rows() {
    return { old: this.old, key: this.key };
  }
}
