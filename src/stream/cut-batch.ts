import type { Slab } from '../connection/slab.js';
import type { OpenTransaction } from '../pgoutput/transaction-context.js';
import type { StretchFacts } from '../pgoutput/transcoder.js';
import type { BatchPosition } from '../pgoutput/wal-batch.js';
import type { TransactionPart } from './transaction-replay.js';

/** A stretch of the stream, between two messages, that is decoded as one. */
export interface CutBatch {
  readonly position: BatchPosition;
  /** Held for the batch; whoever finishes with its bytes releases it. */
  readonly slab: Slab;
  readonly start: number;
  readonly end: number;
  /** The transaction, or the streamed block of one, in which it begins. */
  readonly transaction: OpenTransaction | undefined;
  readonly facts: StretchFacts;
  readonly changeCount: number;
  /** Whether a transaction that is sent as a whole goes on after it. */
  readonly endsInTransaction: boolean;
  /** Units of acknowledgement received before its end. */
  readonly unitsThrough: number;
  readonly firstLsn: bigint;
  readonly lastLsn: bigint;
  /** Whether it is the first after the connection was lost: what was being streamed then is streamed anew. */
  readonly resumed: boolean;
  /** How often the stream had stepped back before it; what was cut before the last time is not delivered any more. */
  readonly generation: number;
  readonly ending: BatchEnding;
}

/** What has begun in a batch, or before, and has not ended. */
export interface BatchEnding {
  readonly part: TransactionPart | undefined;
  /** Transactions that are being streamed, and the one whose block is open. */
  readonly streamed: readonly number[];
  readonly block: number | undefined;
}
