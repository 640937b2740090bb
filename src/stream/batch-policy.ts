/** A batch of this size is worth a worker's attention; larger ones would only delay the first of its events. */
export const BATCH_TARGET_BYTES = 256 * 1024;
/** Behind so many batches the first of its events waits anyway, and each batch costs this thread and a worker a round. */
export const BACKLOG_BATCHES = 4;
export const BACKLOG_TARGET_BYTES = 512 * 1024;
/** Up to here decoding takes the main thread less than handing over would. */
export const INLINE_MAX_BYTES = 16 * 1024;
/** What a batch costs in memory besides its bytes. */
export const BATCH_OVERHEAD_BYTES = 4096;

/** What is known when bytes may be cut into a batch. */
export interface CutFacts {
  readonly pendingBytes: number;
  /** Whether the socket has no more for now. */
  readonly drained: boolean;
  /** Batches that were cut and that the consumer has not taken. */
  readonly batchesAhead: number;
}

/** How large a batch is to become behind so many others. */
export function batchTargetBytes(batchesAhead: number): number {
  return batchesAhead < BACKLOG_BATCHES ? BATCH_TARGET_BYTES : BACKLOG_TARGET_BYTES;
}

/**
 * Whether to cut now: when there is enough, or when everything that has come can go at once. Behind a busy consumer
 * small pieces gather into one batch.
 */
export function shouldCut(facts: CutFacts): boolean {
  if (facts.pendingBytes === 0) return false;
  return facts.pendingBytes >= batchTargetBytes(facts.batchesAhead) || (facts.drained && facts.batchesAhead === 0);
}

/** Whether a batch is decoded on the main thread: when it is small and nothing is ahead of it. */
export function shouldDecodeInline(byteCount: number, batchesAhead: number, hasTransform: boolean): boolean {
  return !hasTransform && batchesAhead === 0 && byteCount <= INLINE_MAX_BYTES;
}

/** Whether reading goes on: it stops at the bound and starts again at half of it. */
export function shouldRead(inFlightBytes: number, maxInFlightBytes: number, reading: boolean): boolean {
  return inFlightBytes < (reading ? maxInFlightBytes : maxInFlightBytes / 2);
}
