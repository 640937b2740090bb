import { Lsn, type WalEvent } from '../../index.js';
import { DEMO_PREFIX, END_OF_DEMO } from './writer-messages.js';

/** Watches that every event comes where it belongs. Keeps the first thing that is wrong. */
export class OrderCheck {
  transactions = 0;
  changes = 0;
  #problem: string | undefined;
  #open: { readonly xid: number; readonly commitLsn: bigint } | undefined;
  #ordinal = 0;
  #commitEndLsn = 0n;

  /** What is wrong with the order; `undefined` while nothing is. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Nothing more is to come. */
  get complete(): boolean {
    return false;
  }

  see(event: WalEvent): void {
    switch (event.kind) {
      case 'begin':
        if (this.#open !== undefined) this.fail(`transaction ${event.xid} begins within ${this.#open.xid}`);
        if (event.commitLsn < this.#commitEndLsn) this.fail(`transaction ${event.xid} comes after a later one`);
        this.#open = event;
        this.#ordinal = 0;
        return;
      case 'commit':
        if (event.commitLsn !== this.#open?.commitLsn) this.fail(`transaction ${event.xid} commits without a begin`);
        if (event.commitEndLsn <= this.#commitEndLsn) {
          this.fail(`commit ${Lsn.format(event.commitEndLsn)} comes after ${Lsn.format(this.#commitEndLsn)}`);
        }
        this.#commitEndLsn = event.commitEndLsn;
        this.#open = undefined;
        this.transactions++;
        return;
      case 'insert':
      case 'update':
      case 'delete':
      case 'truncate':
        if (event.ordinal !== this.#ordinal || event.commitLsn !== this.#open?.commitLsn) {
          this.fail(`change ${event.ordinal} at ${Lsn.format(event.lsn)} comes where ${this.#ordinal} was due`);
        }
        this.#ordinal++;
        this.changes++;
        return;
    }
  }

  protected get inTransaction(): boolean {
    return this.#open !== undefined;
  }

  protected fail(problem: string): void {
    this.#problem ??= problem;
  }
}

/** The same for the demo's own writers, whose rows are numbered: nothing may be missing, doubled or out of place. */
export class DemoOrderCheck extends OrderCheck {
  readonly #sequences: number[];
  readonly #versions = new Map<unknown, bigint>();
  #ended = false;

  constructor(writers: number) {
    super();
    this.#sequences = Array<number>(writers).fill(0);
  }

  /** The last message of the writers, and with its commit everything that they wrote, has come. */
  override get complete(): boolean {
    return this.#ended && !this.inTransaction;
  }

  /** Numbered rows that came. */
  get rows(): number {
    return this.#sequences.reduce((sum, sequence) => sum + sequence, 0);
  }

  override see(event: WalEvent): void {
    super.see(event);
    switch (event.kind) {
      case 'insert':
        this.#seeNumbered(event.new);
        return;
      case 'update':
        if (event.table === 'accounts') this.#seeVersion(event.new);
        return;
      case 'message':
        if (event.prefix === DEMO_PREFIX && event.content.toString() === END_OF_DEMO) this.#ended = true;
        return;
    }
  }

  /** Compares what came with what the writers say that they wrote. */
  seeAll(lastSequences: readonly number[]): void {
    for (const [writer, last] of lastSequences.entries()) {
      const seen = this.#sequences[writer] ?? 0;
      if (seen !== last) this.fail(`${last - seen} rows of writer ${writer} are missing`);
    }
  }

  #seeNumbered({ writer, sequence }: Readonly<Record<string, unknown>>): void {
    if (typeof writer !== 'number' || typeof sequence !== 'bigint') {
      this.fail('a row has no number');
      return;
    }
    const due = (this.#sequences[writer] ?? 0) + 1;
    if (Number(sequence) !== due) this.fail(`row ${sequence} of writer ${writer} comes where ${due} was due`);
    this.#sequences[writer] = Number(sequence);
  }

  #seeVersion({ id, version }: Readonly<Record<string, unknown>>): void {
    const due = (this.#versions.get(id) ?? 0n) + 1n;
    if (version !== due) this.fail(`version ${version} of account ${id} comes where ${due} was due`);
    this.#versions.set(id, due);
  }
}
