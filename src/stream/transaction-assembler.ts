import { ProtocolError } from '../errors.js';
import { ChangeCursor, type Stretch } from '../pgoutput/change-cursor.js';
import type { Origin } from '../pgoutput/control-message.js';
import type { CommitEvent, MessageEvent } from '../pgoutput/event.js';
import { markRedelivered } from '../pgoutput/event-base.js';
import { EVENT_WORDS } from '../pgoutput/packed-batch.js';
import type {
  CommitPreparedEvent,
  PrepareEvent,
  RollbackPreparedEvent,
  StreamPrepareEvent,
} from '../pgoutput/prepared-event.js';
import type { StreamAbortEvent, StreamCommitEvent } from '../pgoutput/stream-event.js';
import type { AnyTables } from '../pgoutput/table-types.js';
import { TransactionContext } from '../pgoutput/transaction-context.js';
import { acknowledgementUnit } from '../pgoutput/unit-event.js';
import { type BoundaryEvent, eventsOf, type WalBatch } from '../pgoutput/wal-batch.js';
import type { SpillDirectory } from './spill-directory.js';
import { largestToSpill } from './spill-policy.js';
import { PreparedTransaction, Transaction } from './transaction.js';
import { TransactionStore } from './transaction-store.js';

/** What `transactions()` delivers, told apart by `kind`. */
export type TransactionItem<Tables extends object = AnyTables> =
  | Transaction<Tables>
  | PreparedTransaction<Tables>
  | CommitPreparedEvent
  | RollbackPreparedEvent
  | MessageEvent;

/** A transaction whose end has not been received. */
class PartialTransaction {
  readonly xid: number;
  readonly store = new TransactionStore();
  /** Subtransactions that were rolled back. */
  readonly rolledBack = new Set<number>();
  origin: Origin | undefined;
  /** Whether it was delivered before. */
  redelivered = false;

  constructor(xid: number) {
    this.xid = xid;
  }
}

/**
 * Puts transactions together from batches, in the order of their ends: those sent whole, those sent in blocks before
 * they end, and prepared ones. What is rolled back is forgotten. When partial transactions need more than
 * `memoryBytes`, the largest go to disk.
 */
export class TransactionAssembler {
  readonly #directory: SpillDirectory;
  readonly #memoryBytes: number;
  readonly #onSpill: (xid: number, byteCount: number) => void;
  /** Between Begin and Commit, or Begin Prepare and Prepare. */
  #whole: PartialTransaction | undefined;
  /** Sent in blocks, by xid. */
  readonly #streamed = new Map<number, PartialTransaction>();
  /** Between Stream Start and Stream Stop. */
  #block: PartialTransaction | undefined;
  /** Stores on disk of what was delivered, by unit. */
  readonly #delivered: { readonly unit: number; readonly store: TransactionStore }[] = [];
  /** Ends when nothing is being written. */
  #working: Promise<unknown> = Promise.resolve();
  /** Stores on disk of what was rolled back. */
  readonly #void: TransactionStore[] = [];

  /** `onSpill` is told what there is of a transaction on disk, whenever more went there. */
  constructor(
    directory: SpillDirectory,
    memoryBytes: number,
    onSpill: (xid: number, byteCount: number) => void = () => {},
  ) {
    this.#directory = directory;
    this.#memoryBytes = memoryBytes;
    this.#onSpill = onSpill;
  }

  /** Bytes of partial transactions in memory. */
  get memoryBytes(): number {
    return sum(this.#partial(), ({ store }) => store.memoryBytes);
  }

  /** Bytes on disk, of partial transactions and of those that are not acknowledged. */
  get spilledBytes(): number {
    return (
      sum(this.#partial(), ({ store }) => store.spilledBytes) + sum(this.#delivered, ({ store }) => store.spilledBytes)
    );
  }

  /**
   * Takes the events of a batch and gives what ends in it. SpillError when there is no room for what does not. `resumed`:
   * the connection was lost before it, and what is still being streamed is streamed anew.
   */
  add(batch: WalBatch, resumed: boolean): Promise<TransactionItem[]> {
    if (resumed) this.#dropStreamed();
    const added = this.#working.then(() => this.#add(batch));
    this.#working = added.catch(() => {});
    return added;
  }

  async #add(batch: WalBatch): Promise<TransactionItem[]> {
    const items = this.#assemble(batch);
    for (const store of this.#void.splice(0)) await store.remove();
    let memoryBytes = 0;
    for (const { store } of this.#partial()) {
      store.detach();
      memoryBytes += store.memoryBytes;
    }
    if (memoryBytes > this.#memoryBytes) await this.#spill();
    return items;
  }

  /** Removes from disk what was delivered before `unit`: it is acknowledged. */
  forget(unit: number): void {
    // What is delivered again comes after others.
    for (let at = 0; at < this.#delivered.length; ) {
      if (this.#delivered[at].unit >= unit) {
        at++;
        continue;
      }
      const [{ store }] = this.#delivered.splice(at, 1);
      // What cannot be removed now cannot be at the end either, which says so.
      this.#working = this.#working.then(() => store.remove()).catch(() => {});
    }
  }

  /** Removes everything from disk. */
  async close(): Promise<void> {
    await this.#working;
    this.#whole = undefined;
    this.#block = undefined;
    this.#streamed.clear();
    await this.#directory.close();
  }

  *#partial(): Generator<PartialTransaction, void, undefined> {
    if (this.#whole !== undefined) yield this.#whole;
    yield* this.#streamed.values();
  }

  async #spill(): Promise<void> {
    const partial = [...this.#partial()];
    const sizes = partial.map(({ store }) => store.memoryBytes);
    for (const position of largestToSpill(sizes, this.#memoryBytes)) {
      const { xid, store } = partial[position];
      await store.spill(this.#directory);
      this.#onSpill(xid, store.spilledBytes);
    }
  }

  #assemble(batch: WalBatch): TransactionItem[] {
    const items: TransactionItem[] = [];
    const events = eventsOf(batch);
    const cursor = batch[Symbol.iterator]();
    for (;;) {
      const from = cursor.at;
      const boundary = cursor.nextBoundary();
      // The boundary itself is one event.
      this.#keep({ events, from, to: boundary === undefined ? cursor.at : cursor.at - EVENT_WORDS });
      if (boundary === undefined) return items;
      if (batch.redelivered) markRedelivered(boundary);
      const item = this.#pass(boundary);
      if (item !== undefined) items.push(item);
    }
  }

  /**
   * To which belongs what comes. After a lost connection blocks of others come before the rest of a transaction that was
   * received half-way.
   */
  get #open(): PartialTransaction | undefined {
    return this.#block ?? this.#whole;
  }

  #keep(stretch: Stretch): void {
    const partial = this.#open;
    if (partial !== undefined) {
      partial.store.add(stretch);
    } else if (!new ChangeCursor(NO_TRANSACTION, new Set(), [stretch]).next().done) {
      throw new ProtocolError('a change outside any transaction', {
        offset: 0,
        lsn: stretch.events.lsnAt(stretch.from),
      });
    }
  }

  /** What ends with `boundary`. */
  #pass(boundary: BoundaryEvent): TransactionItem | undefined {
    switch (boundary.kind) {
      case 'begin':
      case 'beginPrepare':
        this.#dropWhole();
        this.#whole = new PartialTransaction(boundary.xid);
        return undefined;
      case 'origin': {
        const partial = this.#open;
        if (partial !== undefined) partial.origin = { name: boundary.name, originLsn: boundary.originLsn };
        return undefined;
      }
      case 'commit':
        return this.#commit(boundary, this.#takeWhole());
      case 'prepare':
        return this.#prepare(boundary, this.#takeWhole());
      case 'streamStart':
        // One that was received half-way when the connection was lost may come again in blocks.
        if (this.#whole?.xid === boundary.xid) this.#dropWhole();
        this.#block = this.#streamed.get(boundary.xid) ?? new PartialTransaction(boundary.xid);
        this.#streamed.set(boundary.xid, this.#block);
        return undefined;
      case 'streamStop':
        this.#block = undefined;
        return undefined;
      case 'streamCommit':
        return this.#commit(boundary, this.#takeStreamed(boundary.xid));
      case 'streamPrepare':
        return this.#prepare(boundary, this.#takeStreamed(boundary.xid));
      case 'streamAbort':
        this.#rollBack(boundary);
        return undefined;
      case 'commitPrepared':
      case 'rollbackPrepared':
      case 'message':
        return boundary;
      default:
        return boundary satisfies never;
    }
  }

  #takeWhole(): PartialTransaction | undefined {
    const partial = this.#whole;
    this.#whole = undefined;
    return partial;
  }

  #takeStreamed(xid: number): PartialTransaction | undefined {
    const partial = this.#streamed.get(xid);
    this.#streamed.delete(xid);
    return partial;
  }

  #commit(end: CommitEvent | StreamCommitEvent, partial: PartialTransaction | undefined): Transaction {
    const ended = this.#ended(end, partial);
    return new Transaction(end, ended);
  }

  #prepare(end: PrepareEvent | StreamPrepareEvent, partial: PartialTransaction | undefined): PreparedTransaction {
    const ended = this.#ended(end, partial);
    return new PreparedTransaction(end, ended);
  }

  #ended(
    end: CommitEvent | StreamCommitEvent | PrepareEvent | StreamPrepareEvent,
    partial: PartialTransaction | undefined,
  ): PartialTransaction {
    // What is missing would be delivered as if it had never been.
    if (partial === undefined) {
      throw new ProtocolError(`the end of a transaction that has not begun: ${end.kind}`, { offset: 0, lsn: end.lsn });
    }
    partial.redelivered = end.redelivered;
    const unit = acknowledgementUnit(end);
    if (partial.store.spilled && unit !== undefined) this.#delivered.push({ unit: unit.number, store: partial.store });
    return partial;
  }

  #dropWhole(): void {
    if (this.#whole !== undefined) this.#void.push(this.#whole.store);
    this.#whole = undefined;
  }

  #dropStreamed(): void {
    for (const { store } of this.#streamed.values()) this.#void.push(store);
    this.#streamed.clear();
    this.#block = undefined;
  }

  #rollBack({ xid, subxid }: StreamAbortEvent): void {
    if (subxid !== xid) {
      this.#streamed.get(xid)?.rolledBack.add(subxid);
      return;
    }
    const partial = this.#takeStreamed(xid);
    if (partial !== undefined) this.#void.push(partial.store);
  }
}

/** What is read only to see whether there is something. */
const NO_TRANSACTION = new TransactionContext({ kind: 'streamed', xid: 0 });

function sum<T>(items: Iterable<T>, bytesOf: (item: T) => number): number {
  let bytes = 0;
  for (const item of items) bytes += bytesOf(item);
  return bytes;
}
