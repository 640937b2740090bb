import assert from 'node:assert/strict';
import { WalStream } from 'pg-walstream';
import { observeMetrics } from 'pg-walstream/opentelemetry';
import { registerMetrics } from 'pg-walstream/prometheus';
import { register } from 'prom-client';

const stream = new WalStream({ connection: 'postgresql://localhost/postgres', slot: 'smoke', publications: 'smoke' });
const ends = [observeMetrics(stream), registerMetrics(stream)];
assert.match(await register.metrics(), /^pg_walstream_received_bytes_total\{slot="smoke"\} 0$/m);
for (const end of ends) end();
console.log('metrics are read');
