import type { BenchContext } from './bench-context.js';
import { type Drain, drainWithWalStream } from './drain.js';
import { ROW_SHAPES } from './row-shape.js';
import { spreadOf } from './spread.js';

const MAX_MAIN_THREAD_PERCENT = 20;

/** How busy the main thread is when rows stay in the workers. */
export async function benchTransform(context: BenchContext): Promise<void> {
  const { client, connection, workers, rounds, report, progress } = context;
  const rows = [];
  for (const { name } of Object.values(ROW_SHAPES)) {
    const { backlog, end } = await context.backlog(name);
    const drains: Drain[] = [];
    for (let round = 1; round <= rounds; round++) {
      const drain = await drainWithWalStream({ client, connection, backlog, end }, { read: 'transform', workers });
      drains.push(drain);
      progress(`transform, ${name}, round ${round}: main thread ${((drain.mainThreadShare ?? 0) * 100).toFixed(1)} %`);
    }
    const share = spreadOf(drains.map(({ mainThreadShare }) => (mainThreadShare ?? 1) * 100));
    rows.push({
      name,
      figures: {
        'main thread busy %': share,
        '1000 changes/s': spreadOf(drains.map(({ rowCount, streamMs }) => rowCount / streamMs)),
        'CPU µs/change': spreadOf(drains.map(({ cpuMs, rowCount }) => (cpuMs * 1000) / rowCount)),
      },
    });
    report.verdicts.push({
      name: `${name}: main thread busy while a transform keeps rows in the workers`,
      value: share.median,
      bound: 'at most',
      target: MAX_MAIN_THREAD_PERCENT,
      unit: '%',
    });
  }
  report.tables.push({ title: 'transform in the workers', rows });
}
