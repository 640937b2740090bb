import { Backlog, type BacklogEnd } from './backlog.js';
import type { BenchContext } from './bench-context.js';
import { type Drain, drainWithWalStream, type WalStreamDrainOptions } from './drain.js';
import type { TableRow } from './report.js';
import { ROW_SHAPES } from './row-shape.js';
import { spreadOf } from './spread.js';

const SHORT = 100_000;
const MIDDLE = 1_000_000;
const LONG = 5_000_000;
const STALL_MS = 20_000;
/** Longer than the server takes to send a batch. */
const PAUSE_MS = 50;
const MAX_RSS_MB = 200;
/** What "flat" is: the longest drain's peak as a multiple of the one a fifth as long. */
const FLAT_RATIO = 1.1;

/** Peak memory by length of the stream, and behind a consumer that stops. */
export async function benchMemory(context: BenchContext): Promise<void> {
  const { client, connection, workers, report, progress } = context;
  const backlog = await Backlog.create(client, ROW_SHAPES.narrow, { table: 'narrow_long' });
  const rows: TableRow[] = [];
  const peaksMb: number[] = [];
  const measure = async (name: string, end: BacklogEnd, options: Partial<WalStreamDrainOptions>) => {
    const drain: Drain = await drainWithWalStream(
      { client, connection, backlog, end },
      { read: 'rows', workers, ...options },
    );
    const peakMb = (drain.peakRssBytes ?? Number.NaN) / 1e6;
    peaksMb.push(peakMb);
    progress(`memory: ${name}: ${peakMb.toFixed(0)} MB`);
    rows.push({ name, figures: { 'RSS peak MB': spreadOf([peakMb]), 'wall s': spreadOf([drain.streamMs / 1000]) } });
    return peakMb;
  };
  await measure(`${SHORT} narrow rows`, await backlog.writeUpTo(SHORT), {});
  const middle = await backlog.writeUpTo(MIDDLE);
  const middleMb = await measure(`${MIDDLE} narrow rows`, middle, {});
  await measure(`${MIDDLE} narrow rows, consumer stops for ${STALL_MS / 1000} s`, middle, {
    stallAfterRows: MIDDLE / 2,
    stallMs: STALL_MS,
  });
  await measure(`${MIDDLE} narrow rows, consumer rests ${PAUSE_MS} ms after each batch`, middle, { pauseMs: PAUSE_MS });
  const longMb = await measure(`${LONG} narrow rows`, await backlog.writeUpTo(LONG), {});
  await backlog.drop();
  report.tables.push({ title: 'memory', rows });
  report.verdicts.push(
    {
      name: 'RSS peak, the largest of all',
      value: Math.max(...peaksMb),
      bound: 'at most',
      target: MAX_RSS_MB,
      unit: 'MB',
    },
    {
      name: `RSS peak, ${LONG} rows as a multiple of ${MIDDLE} rows`,
      value: longMb / middleMb,
      bound: 'at most',
      target: FLAT_RATIO,
      unit: '',
    },
  );
}
