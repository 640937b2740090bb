import type { WalStreamStats } from '../index.js';

/** What metrics need of a `WalStream`. */
export interface StatsSource {
  /** Name of the slot. */
  readonly slot: string;
  /** The figures of now. */
  stats(): WalStreamStats;
}

/** One figure as monitoring systems want it: counters only grow, and time is in seconds. */
export interface StreamMetric {
  /** As in OpenTelemetry. */
  readonly name: string;
  /** The same to Prometheus, with unit. */
  readonly prometheusName: string;
  readonly kind: 'counter' | 'gauge';
  /** By UCUM. */
  readonly unit: string;
  readonly description: string;
  /** `undefined`: not known now. */
  readonly value: (stats: WalStreamStats) => number | undefined;
}

const seconds = (milliseconds: number | undefined) => (milliseconds === undefined ? undefined : milliseconds / 1000);

/** By the figure that it is made of. Of the two rates there is none: the systems make them of the counters. */
const METRIC_OF = {
  uptimeMs: gauge('uptime', 's', 'Time since the stream started.', (stats) => seconds(stats.uptimeMs)),
  bytesReceived: counter('received', 'By', 'Bytes read from the server.', (stats) => stats.bytesReceived),
  changesReceived: counter(
    'changes',
    '{change}',
    'Row changes and truncates received.',
    (stats) => stats.changesReceived,
  ),
  unitsReceived: counter(
    'units',
    '{unit}',
    'Transactions and stand-alone messages received.',
    (stats) => stats.unitsReceived,
  ),
  unitsUnacknowledged: gauge(
    'unacknowledged',
    '{unit}',
    'Transactions and stand-alone messages received and not yet acknowledged.',
    (stats) => stats.unitsUnacknowledged,
  ),
  bytesPerSecond: undefined,
  changesPerSecond: undefined,
  reads: counter('reads', '{read}', 'Reads in which the kernel gave bytes.', (stats) => stats.reads),
  readDelayMs: gauge('read_delay', 's', 'Pause between two reads now.', (stats) => seconds(stats.readDelayMs)),
  connected: gauge('connected', '1', '1 while there is a connection, else 0.', (stats) => Number(stats.connected)),
  reconnects: counter(
    'reconnects',
    '{reconnect}',
    'Times that a lost connection was made again.',
    (stats) => stats.reconnects,
  ),
  inFlightBytes: gauge(
    'in_flight',
    'By',
    'Bytes received and not yet taken by the consumer.',
    (stats) => stats.inFlightBytes,
  ),
  inFlightBatches: gauge(
    'in_flight_batches',
    '{batch}',
    'Batches received and not yet taken by the consumer.',
    (stats) => stats.inFlightBatches,
  ),
  workers: gauge('workers', '{thread}', 'Threads that decode.', (stats) => stats.workers),
  workerBatches: counter('worker_batches', '{batch}', 'Batches decoded by workers.', (stats) => stats.workerBatches),
  inlineBatches: counter(
    'inline_batches',
    '{batch}',
    'Batches decoded on the main thread.',
    (stats) => stats.inlineBatches,
  ),
  workerRestarts: counter(
    'worker_restarts',
    '{batch}',
    'Batches decoded again because their worker failed.',
    (stats) => stats.workerRestarts,
  ),
  invalidRows: counter(
    'invalid_rows',
    '{row}',
    'Row changes dropped because a validator refused them.',
    (stats) => stats.invalidRows,
  ),
  workerBusyMs: counter('worker_busy', 's', 'Time that workers spent decoding, all together.', (stats) =>
    seconds(stats.workerBusyMs),
  ),
  mainThreadMs: counter('main_thread_busy', 's', 'Time that the main thread spent on what arrived.', (stats) =>
    seconds(stats.mainThreadMs),
  ),
  receivedLsn: gauge('received_lsn', 'By', 'Furthest position received, as bytes of WAL.', (stats) =>
    Number(stats.receivedLsn),
  ),
  flushedLsn: gauge('flushed_lsn', 'By', 'Position acknowledged to the server, as bytes of WAL.', (stats) =>
    Number(stats.flushedLsn),
  ),
  lagMs: gauge('lag', 's', 'Age of the latest transaction when its commit was received.', (stats) =>
    seconds(stats.lagMs),
  ),
  lagBytes: gauge('lag_wal', 'By', "WAL between what is acknowledged and the end of the server's.", (stats) =>
    stats.lagBytes === undefined ? undefined : Number(stats.lagBytes),
  ),
} as const satisfies Record<keyof WalStreamStats, StreamMetric | undefined>;

export const STREAM_METRICS: readonly StreamMetric[] = Object.values(METRIC_OF).filter(
  (metric) => metric !== undefined,
);

type ValueOf = StreamMetric['value'];

function counter(name: string, unit: string, description: string, value: ValueOf): StreamMetric {
  return {
    name: `pg_walstream.${name}`,
    prometheusName: `${prometheusName(name, unit)}_total`,
    kind: 'counter',
    unit,
    description,
    value,
  };
}

function gauge(name: string, unit: string, description: string, value: ValueOf): StreamMetric {
  return {
    name: `pg_walstream.${name}`,
    prometheusName: prometheusName(name, unit),
    kind: 'gauge',
    unit,
    description,
    value,
  };
}

/** @see https://prometheus.io/docs/practices/naming/ */
function prometheusName(name: string, unit: string): string {
  const suffix = unit === 's' ? '_seconds' : unit === 'By' ? '_bytes' : '';
  return `pg_walstream_${name}${suffix}`;
}
