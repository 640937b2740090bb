import { ConfigurationError } from '../errors.js';
import { Lsn } from '../lsn.js';
import { ChangeCursor, type ChangeEvent } from '../pgoutput/change-cursor.js';
import type { Origin } from '../pgoutput/control-message.js';
import type { CommitEvent } from '../pgoutput/event.js';
import { type EventJson, markRedelivered } from '../pgoutput/event-base.js';
import { type JsonValue, jsonFromLsn } from '../pgoutput/event-json.js';
import type { PrepareEvent, StreamPrepareEvent } from '../pgoutput/prepared-event.js';
import type { StreamCommitEvent } from '../pgoutput/stream-event.js';
import type { AnyTables } from '../pgoutput/table-types.js';
import { type OpenTransaction, TransactionContext } from '../pgoutput/transaction-context.js';
import { acknowledgementUnit, UnitEvent } from '../pgoutput/unit-event.js';
import type { TransactionStore } from './transaction-store.js';

/** What was received of a transaction that has ended. */
export interface ReceivedTransaction {
  readonly xid: number;
  readonly store: TransactionStore;
  /** Subtransactions that were rolled back. */
  readonly rolledBack: ReadonlySet<number>;
  readonly origin: Origin | undefined;
  /** Whether it was delivered before. */
  readonly redelivered: boolean;
}

/**
 * The changes of a transaction in the order in which they were made, without what was rolled back to a savepoint.
 * `ordinal` counts row changes and truncates from 0.
 *
 * `for await` works always, `for` when the transaction was not spilled to disk. Either may be repeated until the
 * transaction is acknowledged or the stream has ended; then a spilled one is gone.
 */
export class TransactionChanges<Tables extends object = AnyTables>
  implements Iterable<ChangeEvent<Tables>>, AsyncIterable<ChangeEvent<Tables>>
{
  readonly #received: ReceivedTransaction;
  readonly #context: TransactionContext;

  /** @internal */
  constructor(received: ReceivedTransaction, identity: OpenTransaction) {
    this.#received = received;
    this.#context = new TransactionContext(identity);
    this.#context.origin = received.origin;
  }

  /** Whether changes are on disk, so that only `for await` reads them. */
  get spilled(): boolean {
    return this.#received.store.spilled;
  }

  /** ConfigurationError when changes are on disk. */
  [Symbol.iterator](): IterableIterator<ChangeEvent<Tables>> {
    if (this.spilled) {
      throw new ConfigurationError('the transaction was spilled to disk: read its changes with `for await`', {
        option: 'changes',
      });
    }
    const { store, rolledBack, redelivered } = this.#received;
    const Cursor = redelivered ? RedeliveredChangeCursor : ChangeCursor;
    return new Cursor<Tables>(this.#context, rolledBack, store.inMemory);
  }

  /** SpillError when the file with the changes cannot be read or is not as it was written. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ChangeEvent<Tables>, void, undefined> {
    const { store, rolledBack, redelivered } = this.#received;
    const Cursor = redelivered ? RedeliveredChangeCursor : ChangeCursor;
    const cursor = new Cursor<Tables>(this.#context, rolledBack, []);
    for await (const stretch of store.read()) {
      cursor.enter(stretch);
      for (let step = cursor.next(); !step.done; step = cursor.next()) yield step.value;
    }
  }
}

class RedeliveredChangeCursor<Tables extends object = AnyTables> extends ChangeCursor<Tables> {
  override next(): IteratorResult<ChangeEvent<Tables>, undefined> {
    const result = super.next();
    if (!result.done) markRedelivered(result.value);
    return result;
  }
}

/** A committed transaction, whole. `stream.ack(transaction)` acknowledges it. */
export class Transaction<Tables extends object = AnyTables> extends UnitEvent {
  /** Of the top-level transaction. */
  readonly xid: number;
  /** LSN of the commit record. With a change's `ordinal` it identifies the change. */
  readonly commitLsn: bigint;
  /** Position after the commit record: what is acknowledged. */
  readonly commitEndLsn: bigint;
  /** When it was committed; milliseconds. */
  readonly commitTime: Date;
  /**
   * Where it was first committed, when it was replicated from another server. Of a transaction that was streamed the
   * server does not say at which `originLsn`: that is 0 then.
   */
  readonly origin: Origin | undefined;
  /** To be read before the transaction is acknowledged. */
  readonly changes: TransactionChanges<Tables>;

  /** @internal */
  constructor(commit: CommitEvent | StreamCommitEvent, received: ReceivedTransaction) {
    super(acknowledgementUnit(commit));
    this.xid = received.xid;
    this.commitLsn = commit.commitLsn;
    this.commitEndLsn = commit.commitEndLsn;
    this.commitTime = commit.commitTime;
    this.origin = received.origin;
    this.changes = new TransactionChanges(received, { kind: 'committed', begin: this });
    if (received.redelivered) markRedelivered(this);
  }

  override get kind(): 'transaction' {
    return 'transaction';
  }

  /** As a plain object; its `changes` are the transaction's own, and are not in a `structuredClone`. */
  override toObject() {
    const { kind, xid, commitLsn, commitEndLsn, commitTime, origin, changes } = this;
    return { kind, xid, commitLsn, commitEndLsn, commitTime, origin, changes };
  }

  /** The changes of a spilled transaction are left out, and `spilled` is true: write them one by one. */
  override toJSON(): EventJson {
    return {
      kind: this.kind,
      xid: this.xid,
      commitLsn: jsonFromLsn(this.commitLsn),
      commitEndLsn: jsonFromLsn(this.commitEndLsn),
      commitTime: this.commitTime.toJSON(),
      ...jsonFromReceived(this),
    };
  }
}

/**
 * A transaction that was prepared for two-phase commit. The server does not send its changes again when it is
 * committed: acknowledge it only when it is kept durably.
 */
export class PreparedTransaction<Tables extends object = AnyTables> extends UnitEvent {
  /** The name in PREPARE TRANSACTION. */
  readonly gid: string;
  /** Of the top-level transaction. */
  readonly xid: number;
  /** LSN of the prepare record. */
  readonly prepareLsn: bigint;
  /** Position after the prepare record: what is acknowledged. */
  readonly prepareEndLsn: bigint;
  /** When it was prepared; milliseconds. */
  readonly prepareTime: Date;
  /** Where it was first committed, when it was replicated from another server. */
  readonly origin: Origin | undefined;
  /** To be read before the transaction is acknowledged. */
  readonly changes: TransactionChanges<Tables>;

  /** @internal */
  constructor(prepare: PrepareEvent | StreamPrepareEvent, received: ReceivedTransaction) {
    super(acknowledgementUnit(prepare));
    this.gid = prepare.gid;
    this.xid = received.xid;
    this.prepareLsn = prepare.prepareLsn;
    this.prepareEndLsn = prepare.prepareEndLsn;
    this.prepareTime = prepare.prepareTime;
    this.origin = received.origin;
    this.changes = new TransactionChanges(received, { kind: 'prepared', prepared: this });
    if (received.redelivered) markRedelivered(this);
  }

  override get kind(): 'prepared' {
    return 'prepared';
  }

  /** As a plain object; its `changes` are the transaction's own, and are not in a `structuredClone`. */
  override toObject() {
    const { kind, gid, xid, prepareLsn, prepareEndLsn, prepareTime, origin, changes } = this;
    return { kind, gid, xid, prepareLsn, prepareEndLsn, prepareTime, origin, changes };
  }

  /** The changes of a spilled transaction are left out, and `spilled` is true: write them one by one. */
  override toJSON(): EventJson {
    return {
      kind: this.kind,
      gid: this.gid,
      xid: this.xid,
      prepareLsn: jsonFromLsn(this.prepareLsn),
      prepareEndLsn: jsonFromLsn(this.prepareEndLsn),
      prepareTime: this.prepareTime.toJSON(),
      ...jsonFromReceived(this),
    };
  }
}

function jsonFromReceived<Tables extends object>({
  origin,
  changes,
}: Transaction<Tables> | PreparedTransaction<Tables>): EventJson {
  const json: EventJson = {};
  if (origin !== undefined) json.origin = { name: origin.name, originLsn: Lsn.format(origin.originLsn) };
  if (changes.spilled) json.spilled = true;
  else json.changes = Array.from(changes, (change) => change.toJSON() as JsonValue);
  return json;
}
