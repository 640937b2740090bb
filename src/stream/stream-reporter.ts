import type { Channel } from 'node:diagnostics_channel';
import { WalStreamError } from '../errors.js';
import { Lsn } from '../lsn.js';
import type { StreamLogger } from '../options.js';
import type { BatchFailure } from '../threads/decode-pool.js';
import type { InvalidRows } from '../threads/decode-task.js';
import type { CutBatch } from './cut-batch.js';
import type { OpenStream } from './open-stream.js';
import {
  type Acknowledged,
  type BatchDecoded,
  type Connected,
  type ConnectionLost,
  type ConnectionResumed,
  type Ended,
  type RowRefused,
  type SlotCreated,
  type Spilled,
  streamChannels,
  type Warned,
  type WorkerFailed,
} from './stream-channels.js';

/**
 * Tells what happens to a stream: to the subscribers of the channels and to the user's logger. Without either it does
 * nothing. A logger is given names, counts, positions and this library's own messages, never what users' code threw.
 */
export class StreamReporter {
  readonly #slot: string;
  readonly #logger: StreamLogger | undefined;
  #hasEnded = false;

  constructor(slot: string, logger: StreamLogger | undefined) {
    this.#slot = slot;
    this.#logger = logger;
  }

  connected(opened: OpenStream): void {
    const { serverVersion, systemIdentifier, timeline, confirmedFlushLsn: lsn, copy, slotCreated, temporary } = opened;
    if (slotCreated) {
      publish<SlotCreated>(streamChannels.slot, () => ({ slot: this.#slot, action: 'created', lsn, temporary }));
      this.#log('info', 'slot created', () => ({ lsn: Lsn.format(lsn), temporary }));
    }
    const { host } = copy;
    const server = { host, serverVersion, systemIdentifier, timeline };
    publish<Connected>(streamChannels.connect, () => ({ slot: this.#slot, ...server, lsn }));
    this.#log('info', 'connected', () => ({ ...server, lsn: Lsn.format(lsn) }));
  }

  connectionLost(error: unknown, attempt: number, delayMs: number): void {
    publish<ConnectionLost>(streamChannels.connectionLost, () => ({ slot: this.#slot, error, attempt, delayMs }));
    this.#log('warn', 'connection lost', () => ({ error: loggedError(error), attempt, delayMs: Math.round(delayMs) }));
  }

  connectionResumed(lsn: bigint): void {
    publish<ConnectionResumed>(streamChannels.connectionResumed, () => ({ slot: this.#slot, lsn }));
    this.#log('info', 'connection resumed', () => ({ lsn: Lsn.format(lsn) }));
  }

  /** Too frequent for a log. */
  batch({ position: { sequence, byteCount }, changeCount }: CutBatch): void {
    publish<BatchDecoded>(streamChannels.batch, () => ({ slot: this.#slot, sequence, byteCount, changeCount }));
  }

  /** Too frequent for a log. */
  acknowledged(lsn: bigint): void {
    publish<Acknowledged>(streamChannels.ack, () => ({ slot: this.#slot, lsn }));
  }

  spilled(xid: number, byteCount: number): void {
    publish<Spilled>(streamChannels.spill, () => ({ slot: this.#slot, xid, byteCount }));
    this.#log('debug', 'transaction spilled', () => ({ xid, byteCount }));
  }

  workerFailed(failure: BatchFailure): void {
    publish<WorkerFailed>(streamChannels.workerError, () => ({ slot: this.#slot, ...failure }));
    const { sequence, lsn, attempt } = failure;
    this.#log('warn', 'worker failed', () => ({
      sequence,
      lsn: lsn === undefined ? undefined : Lsn.format(lsn),
      attempt,
    }));
  }

  rowsRefused({ count, described }: InvalidRows): void {
    if (count === 0) return;
    for (const row of described) {
      publish<RowRefused>(streamChannels.invalidRow, () => ({ slot: this.#slot, ...row }));
    }
    const [first] = described;
    this.#log('warn', 'invalid rows dropped', () => ({
      count,
      first: first && { ...first, lsn: Lsn.format(first.lsn) },
    }));
  }

  warned(message: string): void {
    publish<Warned>(streamChannels.warning, () => ({ slot: this.#slot, message }));
    this.#log('warn', message, () => ({}));
  }

  /** Once; later ends of the same stream are not told. */
  ended(error: unknown): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    publish<Ended>(streamChannels.end, () => ({ slot: this.#slot, error }));
    if (error === undefined) this.#log('info', 'stream ended', () => ({}));
    else this.#log('error', 'stream failed', () => ({ error: loggedError(error) }));
  }

  #log(level: keyof StreamLogger, message: string, fields: () => object): void {
    const logger = this.#logger;
    if (logger === undefined) return;
    try {
      logger[level]({ slot: this.#slot, ...fields() }, message);
    } catch (error) {
      // A stream does not fail for its log; nor is that hidden. Subscribers of channels are treated so by Node.
      process.nextTick(() => {
        throw error;
      });
    }
  }
}

/** The message is not even made where nobody listens. */
function publish<Message>(channel: Channel, message: () => Message): void {
  if (channel.hasSubscribers) channel.publish(message());
}

/** Messages of this library hold no values and no secrets. Of others nobody knows. */
function loggedError(error: unknown): object {
  if (error instanceof WalStreamError) {
    const { name, code, message, retryable } = error;
    return { name, code, message, retryable };
  }
  return { name: error instanceof Error ? error.name : typeof error };
}
