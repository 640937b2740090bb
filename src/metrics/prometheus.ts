/**
 * The figures of a stream for Prometheus. It needs `prom-client`, an optional peer dependency.
 *
 * @module pg-walstream/prometheus
 */
import { Counter, Gauge, type Registry, register } from 'prom-client';
import { ConfigurationError, type WalStreamStats } from '../index.js';
import { STREAM_METRICS, type StatsSource } from './stream-metrics.js';

export type { StatsSource } from './stream-metrics.js';

/** Options of {@link registerMetrics}. */
export interface PrometheusOptions {
  /** Default: prom-client's own. */
  readonly registry?: Registry;
  /** Added to `slot`, for example to tell databases apart: the same names for every stream of a registry. */
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * Adds the figures of a stream to a registry of prom-client, which reads them whenever it is scraped:
 * `pg_walstream_received_bytes_total`, `pg_walstream_lag_seconds` and so on. Of several streams each has its samples.
 *
 * @returns takes the samples away again; call it when the stream has ended
 * @throws ConfigurationError for other names of labels than the streams before
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */
export function registerMetrics(stream: StatsSource, options: PrometheusOptions = {}): () => void {
  const { registry = register, labels = {} } = options;
  if ('slot' in labels)
    throw new ConfigurationError('labels has slot, which is the name of the slot', { option: 'labels' });
  let streams = registries.get(registry);
  // A registry that was cleared knows nothing of them any more.
  if (streams === undefined || registry.getSingleMetric(STREAM_METRICS[0].prometheusName) === undefined) {
    streams = new RegisteredStreams(registry, Object.keys(labels));
    registries.set(registry, streams);
  }
  return streams.add(stream, labels);
}

const registries = new WeakMap<Registry, RegisteredStreams>();

interface Sampled {
  readonly labels: Readonly<Record<string, string>>;
  readonly stats: WalStreamStats;
}

/** The streams of one registry: prom-client knows a metric once. */
class RegisteredStreams {
  readonly #labelNames: readonly string[];
  readonly #streams = new Map<object, () => Sampled>();
  /** One look at the figures for all metrics of a scrape, which asks for all at once. */
  #sampled: readonly Sampled[] | undefined;

  constructor(registry: Registry, labelNames: readonly string[]) {
    this.#labelNames = [...labelNames].sort();
    for (const { prometheusName: name, kind, description: help, value } of STREAM_METRICS) {
      const about = { name, help, labelNames: ['slot', ...labelNames], registers: [registry] };
      const samples = () =>
        this.#sample().flatMap(({ labels, stats }) => {
          const now = value(stats);
          return now === undefined ? [] : [{ labels, now }];
        });
      if (kind === 'counter') {
        new Counter({
          ...about,
          collect() {
            this.reset();
            for (const { labels, now } of samples()) this.inc(labels, now);
          },
        });
      } else {
        new Gauge({
          ...about,
          collect() {
            this.reset();
            for (const { labels, now } of samples()) this.set(labels, now);
          },
        });
      }
    }
  }

  add(stream: StatsSource, labels: Readonly<Record<string, string>>): () => void {
    const names = Object.keys(labels).sort();
    if (names.join() !== this.#labelNames.join()) {
      const others = this.#labelNames.length === 0 ? 'none' : this.#labelNames.join(', ');
      throw new ConfigurationError(`labels must have the names of the registry's other streams: ${others}`, {
        option: 'labels',
      });
    }
    const key = {};
    this.#streams.set(key, () => ({ labels: { ...labels, slot: stream.slot }, stats: stream.stats() }));
    return () => {
      this.#streams.delete(key);
    };
  }

  #sample(): readonly Sampled[] {
    if (this.#sampled === undefined) {
      this.#sampled = Array.from(this.#streams.values(), (sample) => sample());
      queueMicrotask(() => {
        this.#sampled = undefined;
      });
    }
    return this.#sampled;
  }
}
