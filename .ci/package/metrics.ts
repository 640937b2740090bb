import { WalStream } from 'pg-walstream';
import { observeMetrics } from 'pg-walstream/opentelemetry';
import { registerMetrics } from 'pg-walstream/prometheus';

const stream = new WalStream({ slot: 'smoke', publications: ['smoke'] });
export const ends: (() => void)[] = [
  observeMetrics(stream),
  registerMetrics(stream, { labels: { database: 'smoke' } }),
];
