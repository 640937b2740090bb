import type { ShapeName } from '../row-shape.js';

/** What a client of the bench is to do; its only argument, as JSON. */
export interface DrainRequest {
  readonly connection: string;
  readonly slot: string;
  readonly publication: string;
  readonly stopLsn: string;
  readonly shape: ShapeName;
  /** `rows`: every column of every row. `packed`: events only, rows untouched. `transform`: few rows leave the workers. */
  readonly read: 'rows' | 'packed' | 'transform';
  readonly workers?: number;
  /** Drained first, in the same process, and not measured. */
  readonly warmUpSlot?: string;
  /** Reads nothing for `stallMs` once so many rows have come. */
  readonly stallAfterRows?: number;
  readonly stallMs?: number;
  /** Rests for so long after each batch. */
  readonly pauseMs?: number;
}

/** What it tells at its end; its only output, as JSON. */
export interface DrainReport {
  /** From the server's answer to START_REPLICATION to the last commit in the consumer's hands. */
  readonly streamMs: number;
  /** User and system time of the process before that. */
  readonly startCpuMs: number;
  /** The same from then on. */
  readonly streamCpuMs: number;
  readonly rowCount: number;
  /** Sum of the ids of all rows that were read. */
  readonly idSum: number;
  readonly bytesPerRead?: number;
  /** Busy share of the main thread's event loop over the same time. */
  readonly mainThreadShare?: number;
}

export function readDrainRequest(): DrainRequest {
  return JSON.parse(process.argv[2] ?? '{}') as DrainRequest;
}

/** User and system time of this process so far. */
export function cpuMsSoFar(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
