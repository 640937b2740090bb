import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Backlog } from './backlog.js';
import type { BenchContext, WrittenBacklog } from './bench-context.js';
import type { DrainRequest } from './clients/drain-request.js';
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
import { type Drain, drainOf, type NodeClient, runDrain } from './drain.js';
import { ReplayServer, recordBacklog } from './replay-server.js';
import type { TableRow } from './report.js';
import { ROW_SHAPES, type RowShape } from './row-shape.js';
import { spreadOf } from './spread.js';

const TRANSFORM = 'pg-walstream, transform in the workers';
const OTHER = 'pg-logical-replication';

/** How many times as fast as the other client. */
const TARGETS = [
  [TYPED, 4],
  [PACKED, 6],
] as const;

interface Entrant {
  readonly name: string;
  readonly file: NodeClient;
  readonly read: DrainRequest['read'];
}

const ENTRANTS: readonly Entrant[] = [
  { name: TYPED, file: 'walstream.js', read: 'rows' },
  { name: PACKED, file: 'walstream.js', read: 'packed' },
  { name: TRANSFORM, file: 'walstream.js', read: 'transform' },
  { name: OTHER, file: 'pg-logical-replication.js', read: 'rows' },
];

/** What clients can do when the server is not the limit: a recorded stream, sent as fast as the socket takes it. */
export async function benchReplay(context: BenchContext): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'walstream-replay-'));
  try {
    for (const shape of Object.values(ROW_SHAPES)) await benchShape(context, shape, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function benchShape(context: BenchContext, shape: RowShape, folder: string): Promise<void> {
  const { rounds, workers, progress, report } = context;
  const path = join(folder, `${shape.name}.rec`);
  const written = await record(context, shape, path);
  const { end } = written;
  progress(`replay: ${end.rowCount} ${shape.name} rows recorded, ${((await stat(path)).size / 1e6).toFixed(0)} MB`);
  const slots = new ReplaySlots(rounds * ENTRANTS.length);
  const server = await ReplayServer.start(path, slots.names);
  try {
    const contestants = ENTRANTS.map(({ name, file, read }): Contestant => {
      const drain = async (): Promise<Drain> => {
        const request = requestFor(context, written, server, read, slots);
        const { report, usage } = await runDrain(file, request, workers, end.rowCount);
        return { ...drainOf(report, end.rowCount), peakRssBytes: usage.peakRssBytes };
      };
      return [name, drain];
    });
    const title = `replay, ${end.rowCount} rows, ${shape.name}`;
    const drains = await drainInTurn(title, contestants, rounds, progress);
    report.tables.push({ title, rows: [...drains].map(([name, results]) => rowOf(name, results)) });
    judge(context, shape, drains);
  } finally {
    await server.close();
    await rm(path);
  }
}

/** All rows of a backlog, which the server then forgets. */
async function record({ client, connection, replayRowCounts }: BenchContext, shape: RowShape, path: string) {
  const backlog = await Backlog.create(client, shape, { table: `${shape.name}_replay` });
  const end = await backlog.writeUpTo(replayRowCounts[shape.name]);
  await recordBacklog({ client, connection, backlog, end }, path);
  await backlog.drop();
  return { backlog, end };
}

/** Two slots for each drain: what was confirmed while it warmed up is not to end the one that is measured. */
class ReplaySlots {
  readonly names: readonly string[];
  #taken = 0;

  constructor(drainCount: number) {
    this.names = Array.from({ length: drainCount * 2 }, (_, index) => `replay_${index + 1}`);
  }

  take(): string {
    const name = this.names[this.#taken++];
    if (name === undefined) throw new Error('more drains than slots');
    return name;
  }
}

function requestFor(
  { connection }: BenchContext,
  { backlog, end }: WrittenBacklog,
  { port }: ReplayServer,
  read: DrainRequest['read'],
  slots: ReplaySlots,
): DrainRequest {
  const url = new URL(connection);
  url.port = String(port);
  return {
    connection: url.href,
    warmUpSlot: slots.take(),
    slot: slots.take(),
    publication: backlog.publication,
    stopLsn: end.stopLsn,
    shape: backlog.shape.name,
    read,
  };
}

function rowOf(name: string, drains: readonly Drain[]): TableRow {
  return {
    name,
    figures: {
      'wall s': spreadOf(drains.map(({ streamMs }) => streamMs / 1000)),
      '1000 changes/s': spreadOf(drains.map((drain) => changesPerSecond(drain) / 1000)),
      'CPU µs/change': spreadOf(drains.map(cpuUsPerChange)),
      'main thread busy %': spreadOfKnown(
        drains.map(({ mainThreadShare }) => mainThreadShare && mainThreadShare * 100),
      ),
      'RSS peak MB': spreadOfKnown(drains.map(({ peakRssBytes }) => megabytes(peakRssBytes))),
    },
  };
}

function judge({ report }: BenchContext, shape: RowShape, drains: ContestResult): void {
  for (const [name, target] of TARGETS) {
    report.verdicts.push({
      name: `replay, ${shape.name}: rate of ${name}, as a multiple of ${OTHER}'s`,
      value: rateRatio(drains, name, OTHER).median,
      bound: 'at least',
      target,
      unit: '',
    });
  }
}
