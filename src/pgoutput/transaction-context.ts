import { POSTGRES_EPOCH_MS } from '../protocol/timestamp.js';
import type { Begin, Origin } from './control-message.js';

/** The committed transaction that events belong to. */
export class TransactionContext {
  readonly xid: number;
  /** LSN of the commit record. */
  readonly commitLsn: bigint;
  /** Microseconds since 2000-01-01 UTC. */
  readonly commitTimeUs: bigint;
  /** Where the transaction was first committed, when it was replicated from another server. */
  origin: Origin | undefined;

  constructor(begin: Begin) {
    this.xid = begin.xid;
    this.commitLsn = begin.commitLsn;
    this.commitTimeUs = begin.commitTimeUs;
  }

  get commitTime(): Date {
    return dateFromTimestamp(this.commitTimeUs);
  }
}

/** Wire timestamp → `Date`, which has milliseconds. */
export function dateFromTimestamp(timestampUs: bigint): Date {
  return new Date(POSTGRES_EPOCH_MS + Math.floor(Number(timestampUs) / 1000));
}

/** Where in a transaction a batch begins. */
export interface BatchStart {
  /** `undefined` between transactions. */
  readonly transaction: TransactionContext | undefined;
  /** Row changes and truncates of the transaction before the batch. */
  readonly ordinal: number;
}
