/**
 * Figures of a stream, at the moment they are asked for. Counters start at 0 when the stream starts. When it has ended and
 * is closed, those of that moment for good: what was counted, not connected, nothing in flight, rates and read delay 0.
 */
export interface WalStreamStats {
  /** Since the stream started. */
  readonly uptimeMs: number;
  /** Bytes read from the server, protocol overhead included. */
  readonly bytesReceived: number;
  /** Row changes and truncates received. */
  readonly changesReceived: number;
  /** Transactions and stand-alone messages received. */
  readonly unitsReceived: number;
  /** Of those, the ones that are not acknowledged yet, or not in the run that is: each costs 4⅛ bytes until it is. */
  readonly unitsUnacknowledged: number;
  /** Bytes read, over the last seconds. */
  readonly bytesPerSecond: number;
  /** Row changes and truncates received, over the last seconds. */
  readonly changesPerSecond: number;
  /** Reads in which the kernel gave bytes; `bytesReceived / reads` says how large they are. */
  readonly reads: number;
  /** Milliseconds between reads now; 0 when every byte is read at once. */
  readonly readDelayMs: number;
  /** Whether there is a connection now. */
  readonly connected: boolean;
  /** How often a lost connection was made again. */
  readonly reconnects: number;
  /** Bytes received that the consumer has not taken, or has not come back from. */
  readonly inFlightBytes: number;
  /** Batches received and not yet taken by the consumer. */
  readonly inFlightBatches: number;
  /** Threads that decode: the option, or what it is by default on this machine. */
  readonly workers: number;
  /** Batches decoded by workers. */
  readonly workerBatches: number;
  /** Batches decoded on the main thread. */
  readonly inlineBatches: number;
  /** Batches that had to be decoded again because their worker failed. */
  readonly workerRestarts: number;
  /** Row changes dropped because a validator refused them (`validate.onInvalid: 'drop'`). */
  readonly invalidRows: number;
  /** Time that workers spent decoding, all together. */
  readonly workerBusyMs: number;
  /** Time that the main thread spent in this library on what arrived. */
  readonly mainThreadMs: number;
  /** Furthest position received. */
  readonly receivedLsn: bigint;
  /** Position that the server was told is done with. */
  readonly flushedLsn: bigint;
  /** How old the latest transaction was when its commit was received; `undefined` before the first. */
  readonly lagMs: number | undefined;
  /**
   * Bytes of WAL between what was acknowledged and the end of the server's WAL, a second ago at most. Asked for every second
   * over a connection of its own, from when stats are first read until nobody has read them for five minutes: `undefined`
   * until the first answer, and while there is none.
   */
  readonly lagBytes: bigint | undefined;
}
