import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Backlog } from './backlog.js';
import type { BenchContext, WrittenBacklog } from './bench-context.js';
import {
  type Contestant,
  type ContestResult,
  changesPerSecond,
  cpuUsPerChange,
  drainInTurn,
  megabytes,
  PACKED,
  rateRatio,
  spreadOfKnown,
  TYPED,
} from './contest.js';
import {
  type BacklogSource,
  type Drain,
  drainInServer,
  drainWithPgLogicalReplication,
  drainWithPgRecvlogical,
  drainWithWalStream,
  findPgRecvlogical,
} from './drain.js';
import type { TableRow } from './report.js';
import { ROW_SHAPES, type ShapeName } from './row-shape.js';
import { type Spread, spreadOf } from './spread.js';

const PG_RECVLOGICAL = 'pg_recvlogical, thrown away';
const SERVER = 'the server for itself';

const MAX_CPU_US: Readonly<Record<ShapeName, number>> = { narrow: 1, mixed: 2 };
const MIN_BYTES_PER_READ = 256 * 1024;

const execute = promisify(execFile);

/** The same backlog, drained in turn by everyone. */
export async function benchLive(context: BenchContext): Promise<void> {
  for (const { name } of Object.values(ROW_SHAPES)) {
    await benchBacklog(context, name, await context.backlog(name));
  }
}

/**
 * The same of backlogs that are one transaction each: larger than logical_decoding_work_mem, so the server writes it
 * to disk first and reads it back, for whomever it decodes.
 */
export async function benchLargeTransaction(context: BenchContext): Promise<void> {
  for (const shape of Object.values(ROW_SHAPES)) {
    const title = `${shape.name} in one transaction`;
    const backlog = await Backlog.create(context.client, shape, {
      table: `${shape.name}_large`,
      rowsPerTransaction: Number.MAX_SAFE_INTEGER,
    });
    const end = await backlog.writeUpTo(context.rowCounts[shape.name]);
    await benchBacklog(context, title, { backlog, end });
    await backlog.drop();
  }
}

async function benchBacklog(context: BenchContext, title: string, { backlog, end }: WrittenBacklog): Promise<void> {
  const { client, connection, workers, rounds, progress } = context;
  const pgRecvlogical = await findPgRecvlogical();
  const { notes } = context.report;
  const note =
    pgRecvlogical === undefined
      ? 'SKIPPED: pg_recvlogical is not installed; its ratio is not judged.'
      : `Installed: ${await versionOf(pgRecvlogical)}.`;
  if (!notes.includes(note)) notes.push(note);
  const source: BacklogSource = { client, connection, backlog, end };
  const contestants: Contestant[] = [
    [TYPED, () => drainWithWalStream(source, { read: 'rows', workers })],
    [PACKED, () => drainWithWalStream(source, { read: 'packed', workers })],
    ['pg-logical-replication', () => drainWithPgLogicalReplication(source)],
    [SERVER, () => drainInServer(source)],
  ];
  if (pgRecvlogical !== undefined) {
    contestants.splice(2, 0, [PG_RECVLOGICAL, () => drainWithPgRecvlogical(pgRecvlogical, source)]);
  }
  const drains = await drainInTurn(title, contestants, rounds, progress);
  const rows = [...drains].map(([name, results]) => rowOf(name, results));
  context.report.tables.push({ title: `live drain, ${end.rowCount} rows, ${title}`, rows });
  judge(context, title, backlog.shape.name, drains);
}

async function versionOf(program: string): Promise<string> {
  const { stdout } = await execute(program, ['--version']);
  return stdout.trim();
}

function rowOf(name: string, drains: readonly Drain[]): TableRow {
  const figures: Record<string, Spread | undefined> = {
    'wall s': spreadOf(drains.map(({ streamMs }) => streamMs / 1000)),
    '1000 changes/s': spreadOf(drains.map((drain) => changesPerSecond(drain) / 1000)),
    'CPU µs/change': name === SERVER ? undefined : spreadOf(drains.map(cpuUsPerChange)),
    'of it start-up': spreadOfKnown(
      drains.map(({ startCpuMs, rowCount }) => startCpuMs && (startCpuMs * 1000) / rowCount),
    ),
    'RSS peak MB': spreadOfKnown(drains.map(({ peakRssBytes }) => megabytes(peakRssBytes))),
    'KiB/read': spreadOfKnown(drains.map(({ bytesPerRead }) => bytesPerRead && bytesPerRead / 1024)),
  };
  return { name, figures };
}

function judge(context: BenchContext, title: string, shape: ShapeName, drains: ContestResult): void {
  const { verdicts } = context.report;
  const own = drains.get(TYPED) ?? [];
  if (drains.has(PG_RECVLOGICAL)) {
    verdicts.push({
      name: `${title}: rate, as a multiple of pg_recvlogical's`,
      value: rateRatio(drains, TYPED, PG_RECVLOGICAL).median,
      bound: 'at least',
      target: 1.5,
      unit: '',
    });
  }
  verdicts.push(
    {
      name: `${title}: rate, as a share of the server's own`,
      value: rateRatio(drains, TYPED, SERVER).median,
      bound: 'at least',
      target: 0.8,
      unit: '',
    },
    {
      name: `${title}: CPU of the client process per change`,
      value: spreadOf(own.map(cpuUsPerChange)).median,
      bound: 'at most',
      target: MAX_CPU_US[shape],
      unit: 'µs',
    },
    {
      name: `${title}: bytes per socket read`,
      value: spreadOf(own.map(({ bytesPerRead }) => bytesPerRead ?? 0)).median / 1024,
      bound: 'at least',
      target: MIN_BYTES_PER_READ / 1024,
      unit: 'KiB',
    },
  );
}
