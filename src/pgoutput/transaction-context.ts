import { POSTGRES_EPOCH_MS } from '../protocol/timestamp.js';
import type { Begin, Origin } from './control-message.js';
import type { EventJson } from './event-base.js';
import { jsonFromLsn } from './event-json.js';
import type { Prepared } from './prepared-message.js';

/**
 * The transaction that messages belong to, as the message that opened it says: Begin, Begin Prepare or, for the block
 * that is being sent of a transaction in progress, Stream Start. Plain data: it crosses threads.
 */
export type OpenTransaction =
  | { readonly kind: 'committed'; readonly begin: Pick<Begin, 'xid' | 'commitLsn'> }
  | { readonly kind: 'prepared'; readonly prepared: Pick<Prepared, 'xid' | 'gid' | 'prepareLsn'> }
  | { readonly kind: 'streamed'; readonly xid: number };

/** The transaction that events belong to. One shape for every kind: rows ask it for their xid. */
export class TransactionContext {
  readonly kind: OpenTransaction['kind'];
  /** Of the top-level transaction. */
  readonly xid: number;
  /** LSN of the commit record; known of a committed transaction only. */
  readonly commitLsn: bigint | undefined;
  /** Name and LSN of the prepare record; of a prepared transaction only. */
  readonly gid: string | undefined;
  readonly prepareLsn: bigint | undefined;
  /** Where the transaction was first committed, when it was replicated from another server. */
  origin: Origin | undefined;

  constructor(open: OpenTransaction) {
    this.kind = open.kind;
    this.xid = xidOf(open);
    this.commitLsn = open.kind === 'committed' ? open.begin.commitLsn : undefined;
    this.gid = open.kind === 'prepared' ? open.prepared.gid : undefined;
    this.prepareLsn = open.kind === 'prepared' ? open.prepared.prepareLsn : undefined;
    this.origin = undefined;
  }
}

function xidOf(open: OpenTransaction): number {
  switch (open.kind) {
    case 'committed':
      return open.begin.xid;
    case 'prepared':
      return open.prepared.xid;
    case 'streamed':
      return open.xid;
    default:
      return open satisfies never;
  }
}

/** What an event says of a transaction that has not committed. */
export interface UncommittedFields {
  /** The subtransaction of a change that was streamed: what Stream Abort names. The xid itself outside of any. */
  readonly subxid?: number | undefined;
  readonly gid?: string | undefined;
  readonly prepareLsn?: bigint | undefined;
}

/** The fields that only events of a streamed or a prepared transaction have; none in a committed one. */
export function uncommittedFields({ subxid, gid, prepareLsn }: UncommittedFields): UncommittedFields {
  if (subxid !== undefined) return { subxid };
  return gid === undefined ? {} : { gid, prepareLsn };
}

/** The same in the JSON form. */
export function uncommittedJson({ subxid, gid, prepareLsn }: UncommittedFields): EventJson {
  if (subxid !== undefined) return { subxid };
  return gid === undefined ? {} : { gid, prepareLsn: jsonFromLsn(prepareLsn) };
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
