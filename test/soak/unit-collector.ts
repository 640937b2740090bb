import type {
  AcknowledgeableEvent,
  ChangeEvent,
  RowEvent,
  Transaction,
  TransactionItem,
  TruncateEvent,
  WalEvent,
} from '../../src/index.js';
import type { SoakChange } from './replica.js';
import { rowChangeFrom } from './row-change.js';

/** A committed transaction, or a message that stands alone. */
export interface SoakUnit {
  readonly endLsn: bigint;
  /** `undefined`: a message. */
  readonly changes: readonly SoakChange[] | undefined;
  readonly message: string | undefined;
  /** What acknowledges it. */
  readonly item: AcknowledgeableEvent | Transaction;
}

interface StreamedChange {
  readonly subxid: number;
  readonly change: SoakChange;
}

/** Puts together what committed, from whatever way of consuming, and checks the numbers of the changes. */
export class UnitCollector {
  #open: { readonly xid: number; readonly changes: SoakChange[] } | undefined;
  readonly #streamed = new Map<number, StreamedChange[]>();

  /** The unit that ends with the event. */
  take(event: WalEvent): SoakUnit | undefined {
    switch (event.kind) {
      case 'begin':
        if (this.#open !== undefined) throw new Error(`begin of ${event.xid} within ${this.#open.xid}`);
        this.#open = { xid: event.xid, changes: [] };
        return undefined;
      case 'commit': {
        const open = this.#open;
        this.#open = undefined;
        if (open === undefined || open.xid !== event.xid)
          throw new Error(`commit of ${event.xid}, which has not begun`);
        checkOrdinals(open.changes);
        return { endLsn: event.commitEndLsn, changes: open.changes, message: undefined, item: event };
      }
      case 'insert':
      case 'update':
      case 'delete':
      case 'truncate':
        this.#place(event);
        return undefined;
      case 'message':
        if (event.transactional) return undefined;
        return { endLsn: event.lsn, changes: undefined, message: event.content.toString(), item: event };
      case 'streamStart':
        // Sent again from the beginning, when the connection was lost meanwhile.
        if (event.isFirst) this.#streamed.set(event.xid, []);
        else if (!this.#streamed.has(event.xid)) throw new Error(`${event.xid} goes on and has not begun`);
        return undefined;
      case 'streamAbort': {
        const { xid, subxid } = event;
        const kept = this.#streamed.get(xid)?.filter((one) => one.subxid !== subxid) ?? [];
        if (xid === subxid) this.#streamed.delete(xid);
        else this.#streamed.set(xid, kept);
        return undefined;
      }
      case 'streamCommit': {
        const streamed = this.#streamed.get(event.xid);
        if (streamed === undefined) throw new Error(`commit of ${event.xid}, which was not streamed`);
        this.#streamed.delete(event.xid);
        const changes = streamed.map(({ change }) => change);
        return { endLsn: event.commitEndLsn, changes, message: undefined, item: event };
      }
      // A connection that is lost within a block leaves it without a streamStop: changes are placed by their xid.
      case 'streamStop':
      case 'relation':
      case 'type':
      case 'origin':
        return undefined;
      case 'beginPrepare':
      case 'prepare':
      case 'commitPrepared':
      case 'rollbackPrepared':
      case 'streamPrepare':
        throw new Error(`${event.kind} without twoPhase`);
      default:
        return event satisfies never;
    }
  }

  /** The same of `transactions()`. */
  async takeItem(item: TransactionItem): Promise<SoakUnit | undefined> {
    if (item.kind === 'message') return this.take(item);
    if (item.kind !== 'transaction') throw new Error(`${item.kind} without twoPhase`);
    const changes: SoakChange[] = [];
    for await (const change of item.changes) if (change.kind !== 'message') changes.push(changeFrom(change));
    checkOrdinals(changes);
    return { endLsn: item.commitEndLsn, changes, message: undefined, item };
  }

  #place(event: RowEvent | TruncateEvent): void {
    const change = changeFrom(event);
    const { xid, subxid } = event;
    if (subxid === undefined) {
      if (this.#open?.xid !== xid) throw new Error(`${event.kind} of ${xid}, which has not begun`);
      this.#open?.changes.push(change);
      return;
    }
    const streamed = this.#streamed.get(xid ?? 0);
    if (streamed === undefined) throw new Error(`${event.kind} of ${xid}, which was not streamed`);
    streamed.push({ subxid, change });
  }
}

function changeFrom(event: Exclude<ChangeEvent, { kind: 'message' }>): SoakChange {
  const { kind, ordinal } = event;
  if (kind === 'truncate') return { kind, ordinal, tables: event.relations.map(({ table }) => table) };
  const { new: row, identity } = (event.value ?? rowChangeFrom(event)) as ReturnType<typeof rowChangeFrom>;
  return { kind, ordinal, table: event.table, new: row, identity };
}

function checkOrdinals(changes: readonly SoakChange[]): void {
  for (const [at, { ordinal }] of changes.entries()) {
    if (ordinal !== at) throw new Error(`change ${at} of its transaction has the number ${ordinal}`);
  }
}
