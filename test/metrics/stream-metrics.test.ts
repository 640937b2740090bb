import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { Gauge, Registry } from 'prom-client';
import { ConfigurationError, WalStream, type WalStreamStats } from '../../src/index.js';
import { observeMetrics } from '../../src/metrics/opentelemetry.js';
import { registerMetrics } from '../../src/metrics/prometheus.js';
import { STREAM_METRICS } from '../../src/metrics/stream-metrics.js';
import { FakeWalSender, WalTape } from '../../src/testing/index.js';

/** Figures that are all different, so that none can be taken for another. */
const STATS: WalStreamStats = {
  uptimeMs: 61_000,
  bytesReceived: 102,
  changesReceived: 103,
  unitsReceived: 104,
  unitsUnacknowledged: 123,
  bytesPerSecond: 105,
  changesPerSecond: 106,
  reads: 107,
  readDelayMs: 108,
  connected: true,
  reconnects: 109,
  inFlightBytes: 110,
  inFlightBatches: 111,
  workers: 112,
  workerBatches: 113,
  inlineBatches: 114,
  workerRestarts: 115,
  invalidRows: 116,
  workerBusyMs: 117_000,
  mainThreadMs: 118_000,
  receivedLsn: 119n,
  flushedLsn: 120n,
  lagMs: 121_000,
  lagBytes: 122n,
};

const EXPECTED: Readonly<Record<string, number>> = {
  pg_walstream_uptime_seconds: 61,
  pg_walstream_received_bytes_total: 102,
  pg_walstream_unacknowledged: 123,
  pg_walstream_changes_total: 103,
  pg_walstream_units_total: 104,
  pg_walstream_reads_total: 107,
  pg_walstream_read_delay_seconds: 0.108,
  pg_walstream_connected: 1,
  pg_walstream_reconnects_total: 109,
  pg_walstream_in_flight_bytes: 110,
  pg_walstream_in_flight_batches: 111,
  pg_walstream_workers: 112,
  pg_walstream_worker_batches_total: 113,
  pg_walstream_inline_batches_total: 114,
  pg_walstream_worker_restarts_total: 115,
  pg_walstream_invalid_rows_total: 116,
  pg_walstream_worker_busy_seconds_total: 117,
  pg_walstream_main_thread_busy_seconds_total: 118,
  pg_walstream_received_lsn_bytes: 119,
  pg_walstream_flushed_lsn_bytes: 120,
  pg_walstream_lag_seconds: 121,
  pg_walstream_lag_wal_bytes: 122,
};

function source(slot: string, changes: Partial<WalStreamStats> = {}) {
  let asked = 0;
  return { slot, stats: () => ({ ...STATS, ...changes, asked: ++asked }), asked: () => asked };
}

/** `name{labels}` and value of each sample, as a scraper reads them. */
async function scrape(registry: Registry): Promise<Record<string, number>> {
  const lines = (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

suite('Prometheus', () => {
  test('every figure, by name, kind and unit', async () => {
    const registry = new Registry();
    const stream = source('s');
    registerMetrics(stream, { registry });
    const expected = Object.entries(EXPECTED).map(([name, value]) => [`${name}{slot="s"}`, value]);
    assert.deepEqual(await scrape(registry), Object.fromEntries(expected));
    // One look at the figures for each scrape.
    assert.equal(stream.asked(), 1);
    assert.deepEqual(await scrape(registry), Object.fromEntries(expected));
    assert.equal(stream.asked(), 2);
    const text = await registry.metrics();
    for (const { prometheusName, kind, description } of STREAM_METRICS) {
      assert.ok(
        text.includes(`# HELP ${prometheusName} ${description}\n# TYPE ${prometheusName} ${kind}\n`),
        prometheusName,
      );
      assert.equal(prometheusName.endsWith('_total'), kind === 'counter');
    }
  });

  test('several streams, each until it is taken away; figures that are not known are left out', async () => {
    const registry = new Registry();
    new Gauge({ name: 'of_the_user', help: 'kept', registers: [registry] }).set(7);
    const labels = (database: string) => ({ registry, labels: { database } });
    const endFirst = registerMetrics(source('s'), labels('a'));
    const endSecond = registerMetrics(source('s', { lagMs: undefined, connected: false }), labels('b'));
    const both = await scrape(registry);
    assert.equal(both['pg_walstream_connected{database="a",slot="s"}'], 1);
    assert.equal(both['pg_walstream_connected{database="b",slot="s"}'], 0);
    assert.equal(both['pg_walstream_lag_seconds{database="a",slot="s"}'], 121);
    assert.ok(!('pg_walstream_lag_seconds{database="b",slot="s"}' in both));
    endFirst();
    assert.ok(
      Object.keys(await scrape(registry)).every((name) => name === 'of_the_user' || name.includes('database="b"')),
    );
    endSecond();
    assert.deepEqual(await scrape(registry), { of_the_user: 7 });
    assert.throws(() => registerMetrics(source('s'), { registry }), ConfigurationError);
    assert.throws(() => registerMetrics(source('s'), { registry, labels: { slot: 'x' } }), ConfigurationError);
  });

  test('a registry that was cleared takes streams again', async () => {
    const registry = new Registry();
    registerMetrics(source('s'), { registry });
    registry.clear();
    registerMetrics(source('again'), { registry, labels: { a: 'b' } });
    assert.equal((await scrape(registry))['pg_walstream_workers{a="b",slot="again"}'], 112);
  });
});

suite('OpenTelemetry', () => {
  test('every figure, with unit and attributes, until it is ended', async (t) => {
    const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
    const meterProvider = new MeterProvider({ readers: [reader] });
    t.after(() => meterProvider.shutdown());
    const stream = source('s');
    const end = observeMetrics(stream, { meterProvider, attributes: { database: 'a' } });
    await reader.forceFlush();
    const found = new Map<string, { value: unknown; unit: string; attributes: unknown }>();
    for (const { metrics } of exporter.getMetrics()[0]?.scopeMetrics ?? []) {
      for (const { descriptor, dataPoints } of metrics) {
        const [point] = dataPoints;
        assert.equal(dataPoints.length, 1);
        found.set(descriptor.name, { value: point?.value, unit: descriptor.unit, attributes: point?.attributes });
      }
    }
    for (const { name, prometheusName, unit } of STREAM_METRICS) {
      const attributes = { database: 'a', 'pg_walstream.slot': 's' };
      assert.deepEqual(found.get(name), { value: EXPECTED[prometheusName], unit, attributes });
    }
    assert.equal(found.size, STREAM_METRICS.length);
    assert.equal(stream.asked(), 1);
    end();
    await reader.forceFlush();
    assert.equal(stream.asked(), 1);
  });

  test('without a provider it does nothing', () => {
    observeMetrics(source('s'))();
  });
});

test('both read a real stream', async (t) => {
  const wal = new WalTape();
  const item = wal.relation({ table: 'item', columns: { id: 'int8' }, key: ['id'] });
  for (let id = 0; id < 5; id++) wal.transaction([item.insert({ id })]);
  const sender = await FakeWalSender.listen({ wal, slots: ['measured'], publications: ['p'] });
  t.after(() => sender.close());
  const stream = new WalStream({
    connection: sender.connectionString(),
    slot: 'measured',
    publications: 'p',
    stopLsn: wal.endLsn,
  });
  const registry = new Registry();
  registerMetrics(stream, { registry });
  for await (const _ of stream);
  const found = await scrape(registry);
  assert.equal(found['pg_walstream_changes_total{slot="measured"}'], 5);
  assert.equal(found['pg_walstream_units_total{slot="measured"}'], 5);
  assert.equal(found['pg_walstream_flushed_lsn_bytes{slot="measured"}'], Number(wal.endLsn));
  // What `stats()` has is what the tests above know.
  assert.deepEqual(Object.keys(stream.stats()).sort(), Object.keys(STATS).sort());
});
