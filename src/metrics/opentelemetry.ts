/**
 * The figures of a stream for OpenTelemetry. It needs `@opentelemetry/api`, an optional peer dependency.
 *
 * @module pg-walstream/opentelemetry
 */
import { type Attributes, type BatchObservableResult, type MeterProvider, metrics } from '@opentelemetry/api';
import { STREAM_METRICS, type StatsSource } from './stream-metrics.js';

export type { StatsSource } from './stream-metrics.js';

/** Options of {@link observeMetrics}. */
export interface OpenTelemetryOptions {
  /** Default: the global one, as it is when this is called. */
  readonly meterProvider?: MeterProvider;
  /** Added to `pg_walstream.slot`, for example to tell databases apart. */
  readonly attributes?: Attributes;
}

/**
 * Has OpenTelemetry read the figures of a stream whenever it collects: `pg_walstream.received`, `pg_walstream.lag` and so
 * on, of the meter `pg-walstream`. Works with any version 1 of `@opentelemetry/api` that has batch observers (1.3).
 *
 * @returns ends it; call it when the stream has ended
 * @see https://opentelemetry.io/docs/specs/otel/metrics/api/#asynchronous-counter
 */
export function observeMetrics(stream: StatsSource, options: OpenTelemetryOptions = {}): () => void {
  const meter = (options.meterProvider ?? metrics.getMeterProvider()).getMeter('pg-walstream');
  const attributes = { ...options.attributes, 'pg_walstream.slot': stream.slot };
  const observed = STREAM_METRICS.map(({ name, kind, unit, description, value }) => {
    const about = { unit, description };
    const instrument =
      kind === 'counter' ? meter.createObservableCounter(name, about) : meter.createObservableGauge(name, about);
    return { instrument, value };
  });
  const instruments = observed.map(({ instrument }) => instrument);
  const observe = (result: BatchObservableResult) => {
    const stats = stream.stats();
    for (const { instrument, value } of observed) {
      const now = value(stats);
      if (now !== undefined) result.observe(instrument, now, attributes);
    }
  };
  meter.addBatchObservableCallback(observe, instruments);
  return () => meter.removeBatchObservableCallback(observe, instruments);
}
