import assert from 'node:assert/strict';
import type {
  ChangeEvent,
  MessageEvent,
  PreparedTransaction,
  RowEvent,
  Transaction,
  TransactionItem,
  TruncateEvent,
  WalEvent,
} from '../../src/index.js';

/** A committed transaction, or a message that stands alone, in a form that can be compared. */
export interface CommittedUnit {
  readonly xid: number | undefined;
  readonly commitLsn: bigint | undefined;
  readonly endLsn: bigint;
  readonly commitTime: Date | undefined;
  readonly changes: readonly Change[];
}

export type Change = Readonly<Record<string, unknown>>;

interface StreamedChange {
  readonly subxid: number;
  readonly change: Change;
}

/**
 * What is left of a stream when everything has committed that will: streamed and prepared transactions as if they had
 * been sent at their commit. Checks on the way that every event says of its transaction what can be known there.
 */
export class CommittedView {
  readonly units: CommittedUnit[] = [];
  readonly counts: Record<string, number> = {};
  /** Most streamed transactions that were in progress at once. */
  mostInProgress = 0;
  readonly #streamed = new Map<number, StreamedChange[]>();
  readonly #prepared = new Map<string, Change[]>();
  #open:
    | { readonly kind: string; readonly xid: number; readonly position: bigint; readonly changes: Change[] }
    | undefined;
  #block: { readonly xid: number; readonly changes: StreamedChange[] } | undefined;

  /** Streamed and prepared transactions of which the end has not come. */
  get unfinished(): readonly (number | string)[] {
    return [...this.#streamed.keys(), ...this.#prepared.keys()];
  }

  take(event: WalEvent): void {
    this.counts[event.kind] = (this.counts[event.kind] ?? 0) + 1;
    switch (event.kind) {
      case 'begin':
        this.#begin(event.kind, event.xid, event.commitLsn);
        break;
      case 'beginPrepare':
        this.#begin(event.kind, event.xid, event.prepareLsn);
        break;
      case 'commit':
        assert.equal(event.xid, this.#open?.xid);
        this.#commit(event, this.#close('begin', event.commitLsn));
        break;
      case 'prepare':
        this.#prepared.set(event.gid, this.#close('beginPrepare', event.prepareLsn));
        break;
      case 'streamStart': {
        // After a lost connection blocks may come before the rest of a transaction that was received half-way.
        assert.ok(this.#block === undefined, 'a block lies in no other');
        assert.equal(event.isFirst, !this.#streamed.has(event.xid), 'isFirst says whether it is');
        const changes = this.#streamed.get(event.xid) ?? [];
        this.#streamed.set(event.xid, changes);
        this.mostInProgress = Math.max(this.mostInProgress, this.#streamed.size);
        this.#block = { xid: event.xid, changes };
        break;
      }
      case 'streamStop':
        assert.equal(event.xid, this.#block?.xid);
        this.#block = undefined;
        break;
      case 'streamAbort':
        this.#abort(event.xid, event.subxid);
        break;
      case 'streamCommit':
        this.#commit(event, this.#end(event.xid));
        break;
      case 'streamPrepare':
        this.#prepared.set(event.gid, this.#end(event.xid));
        break;
      case 'commitPrepared': {
        const changes = this.#prepared.get(event.gid);
        assert.ok(changes !== undefined, `${event.gid} was prepared`);
        this.#prepared.delete(event.gid);
        this.#commit(event, changes);
        break;
      }
      case 'rollbackPrepared':
        assert.ok(this.#prepared.delete(event.gid), `${event.gid} was prepared`);
        break;
      case 'insert':
      case 'update':
      case 'delete':
        this.#change(event, changeFrom(event));
        break;
      case 'truncate':
        this.#change(event, changeFrom(event));
        break;
      case 'message': {
        const change = changeFrom(event);
        if (event.transactional) {
          this.#place(event, change);
        } else {
          this.units.push({
            xid: undefined,
            commitLsn: undefined,
            endLsn: event.lsn,
            commitTime: undefined,
            changes: [change],
          });
        }
        break;
      }
      case 'relation':
      case 'type':
        assert.equal(event.xid, this.#block?.xid);
        assert.equal(event.subxid === undefined, this.#block === undefined);
        break;
      case 'origin':
        break;
      default:
        event satisfies never;
    }
  }

  /** The same from `transactions()`. */
  async takeItem(item: TransactionItem): Promise<void> {
    switch (item.kind) {
      case 'transaction':
        this.#commit(item, await changesOf(item, item.commitLsn, undefined));
        break;
      case 'prepared':
        this.counts.prepared = (this.counts.prepared ?? 0) + 1;
        this.#prepared.set(item.gid, await changesOf(item, undefined, item.prepareLsn));
        break;
      default:
        this.take(item);
    }
  }

  #begin(kind: string, xid: number, position: bigint): void {
    assert.ok(this.#open === undefined && this.#block === undefined, 'a transaction lies in nothing else');
    this.#open = { kind, xid, position, changes: [] };
  }

  #close(kind: string, position: bigint): Change[] {
    const open = this.#open;
    assert.ok(open !== undefined && open.kind === kind && open.position === position, `${kind} came before`);
    this.#open = undefined;
    return open.changes;
  }

  #end(xid: number): Change[] {
    const changes = this.#streamed.get(xid);
    assert.ok(changes !== undefined, `${xid} was streamed`);
    this.#streamed.delete(xid);
    return changes.map(({ change }) => change);
  }

  #abort(xid: number, subxid: number): void {
    const changes = this.#streamed.get(xid);
    assert.ok(changes !== undefined, `${xid}, of which ${subxid} is aborted, was streamed`);
    if (xid === subxid) {
      this.#streamed.delete(xid);
      return;
    }
    const kept = changes.filter((one) => one.subxid !== subxid);
    changes.length = 0;
    for (const one of kept) changes.push(one);
  }

  #commit(
    event: { xid: number | undefined; commitLsn: bigint; commitEndLsn: bigint; commitTime: Date },
    changes: readonly Change[],
  ): void {
    const { xid, commitLsn, commitEndLsn: endLsn, commitTime } = event;
    // PostgreSQL 14 sends transactions of which nothing is published.
    if (changes.length > 0) this.units.push({ xid, commitLsn, endLsn, commitTime, changes });
  }

  #change(event: RowEvent | TruncateEvent, change: Change): void {
    const changes = this.#open?.changes.filter(({ kind }) => kind !== 'message');
    assert.equal(event.ordinal, changes?.length, 'row changes are numbered, except where that is not known');
    this.#place(event, change);
  }

  #place(event: RowEvent | TruncateEvent | MessageEvent, change: Change): void {
    const { xid, subxid, commitLsn, prepareLsn, gid } = event;
    if (this.#block !== undefined) {
      assert.ok(subxid !== undefined && xid === this.#block.xid, 'a streamed change names its transactions');
      assert.ok(commitLsn === undefined && prepareLsn === undefined && gid === undefined);
      this.#block.changes.push({ subxid, change });
      return;
    }
    assert.ok(this.#open !== undefined, 'a change lies in a transaction');
    assert.equal(xid, this.#open.xid);
    assert.equal(subxid, undefined);
    assert.equal(this.#open.kind === 'begin' ? commitLsn : prepareLsn, this.#open.position);
    assert.equal(gid !== undefined, this.#open.kind === 'beginPrepare');
    this.#open.changes.push(change);
  }
}

/** Checks on the way that every change says of its transaction what is known now, and that the numbers have no gap. */
async function changesOf(
  { xid, changes }: Transaction | PreparedTransaction,
  commitLsn: bigint | undefined,
  prepareLsn: bigint | undefined,
): Promise<Change[]> {
  const taken: Change[] = [];
  let ordinal = 0;
  for await (const change of changes) {
    assert.deepEqual([change.xid, change.commitLsn, change.prepareLsn], [xid, commitLsn, prepareLsn]);
    assert.equal(change.subxid, undefined);
    if (change.kind !== 'message') assert.equal(change.ordinal, ordinal++);
    taken.push(changeFrom(change));
  }
  return taken;
}

function changeFrom(event: ChangeEvent): Change {
  if (event.kind === 'message') {
    const { kind, lsn, prefix, content } = event;
    return { kind, lsn, prefix, content: content.toString() };
  }
  if (event.kind === 'truncate') {
    const { kind, lsn, relations, cascade, restartIdentity } = event;
    return { kind, lsn, relations, cascade, restartIdentity };
  }
  const { kind, lsn, schema, table, relation, identity } = event;
  return {
    kind,
    lsn,
    table: `${schema}.${table}`,
    columns: relation.columns.map(({ name, typeOid }) => `${name} ${typeOid}`),
    new: kind === 'delete' ? undefined : event.new,
    old: kind === 'insert' ? undefined : event.old,
    key: kind === 'insert' ? undefined : event.key,
    identity,
  };
}

/** The first unit that differs, instead of thousands that do not. */
export function assertSameUnits(actual: readonly CommittedUnit[], expected: readonly CommittedUnit[]): void {
  for (let at = 0; at < Math.min(actual.length, expected.length); at++) {
    const [got, wanted] = [actual[at], expected[at]];
    assert.deepStrictEqual({ ...got, changes: got.changes.length }, { ...wanted, changes: wanted.changes.length });
    for (let change = 0; change < got.changes.length; change++) {
      assert.deepStrictEqual(got.changes[change], wanted.changes[change], `unit ${at}, change ${change}`);
    }
  }
  assert.equal(actual.length, expected.length);
}
