import type { ChangeEvent, WalEvent } from '../index.js';
import type { TableName } from './table-name.js';

/**
 * Which events `--table` lets through: those of the tables, and the begin, origin and commit (or prepare) of the
 * transactions that have one. A begin is held back until it is known whether its transaction does; so is the start of
 * each streamed block. What became of a transaction that was streamed or prepared is shown always: whether anything of
 * it was, only a memory of every transaction in progress could say.
 */
export class TableFilter {
  readonly #tables: ReadonlySet<string>;
  #held: WalEvent[] = [];
  #inShownTransaction = false;

  constructor(tables: readonly TableName[]) {
    this.#tables = new Set(tables.map(keyOf));
  }

  /** What is to be shown now, in order, that this event has come. */
  take(event: WalEvent): readonly WalEvent[] {
    switch (event.kind) {
      case 'begin':
      case 'beginPrepare':
      case 'streamStart':
        this.#held = [event];
        this.#inShownTransaction = false;
        return [];
      case 'origin':
        if (this.#inShownTransaction) return [event];
        this.#held.push(event);
        return [];
      case 'commit':
      case 'prepare':
      case 'streamStop': {
        const shown = this.#inShownTransaction;
        this.#held = [];
        this.#inShownTransaction = false;
        return shown ? [event] : [];
      }
      case 'insert':
      case 'update':
      case 'delete':
      case 'truncate':
      case 'message':
        return this.has(event) ? this.#release(event) : [];
      case 'relation':
      case 'type':
        return [];
      case 'streamCommit':
      case 'streamAbort':
      case 'streamPrepare':
      case 'commitPrepared':
      case 'rollbackPrepared':
        return [event];
      default:
        return event satisfies never;
    }
  }

  /** Whether it is a change of one of the tables. */
  has(change: ChangeEvent): boolean {
    switch (change.kind) {
      case 'message':
        return false;
      case 'truncate':
        return change.relations.some((relation) => this.#tables.has(keyOf(relation)));
      default:
        return this.#tables.has(keyOf(change));
    }
  }

  #release(event: WalEvent): readonly WalEvent[] {
    const released = [...this.#held, event];
    this.#held = [];
    this.#inShownTransaction = true;
    return released;
  }
}

function keyOf({ schema, table }: TableName): string {
  return JSON.stringify([schema, table]);
}
