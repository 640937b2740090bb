import { channel } from 'node:diagnostics_channel';

/** A connection was lost, or could not be made again, and will be tried again. */
export interface ConnectionLost {
  readonly slot: string;
  readonly error: unknown;
  /** The attempt that follows, counted from 1 since the stream last got on, and the pause before it. */
  readonly attempt: number;
  readonly delayMs: number;
}

/** A lost connection was made again. */
export interface ConnectionResumed {
  readonly slot: string;
  /** Where the stream goes on. */
  readonly lsn: bigint;
}

/**
 * What a stream tells those who listen, by `node:diagnostics_channel`:
 * `pg-walstream:connection-lost` ({@link ConnectionLost}) and `pg-walstream:connection-resumed`
 * ({@link ConnectionResumed}).
 */
export const streamChannels = {
  connectionLost: channel('pg-walstream:connection-lost'),
  connectionResumed: channel('pg-walstream:connection-resumed'),
} as const;
