import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { EmbeddedServer } from '../src/cli/embedded-server.js';
import { Backlog } from './backlog.js';
import type { BenchContext, WrittenBacklog } from './bench-context.js';
import { chosenFrom } from './chosen-from.js';
import { countFrom } from './count-from.js';
import { benchLatency } from './latency-bench.js';
import { benchLargeTransaction, benchLive } from './live-bench.js';
import { benchMemory } from './memory-bench.js';
import { QUIET_SETTINGS } from './quiet-settings.js';
import { benchReplay } from './replay-bench.js';
import { describeMachine, formatReport, type Report } from './report.js';
import { ROW_SHAPES, type ShapeName } from './row-shape.js';
import { benchTransform } from './transform-bench.js';

const BENCHES = {
  live: benchLive,
  large: benchLargeTransaction,
  transform: benchTransform,
  latency: benchLatency,
  memory: benchMemory,
  replay: benchReplay,
} satisfies Record<string, (context: BenchContext) => Promise<void>>;
type BenchName = keyof typeof BENCHES;
const BENCH_NAMES = Object.keys(BENCHES) as BenchName[];

const USAGE = `npm run bench -- [${BENCH_NAMES.join(' | ')} ...] [option ...]

  --rounds N               rounds in turn, of the live drain, the transform and the replay (3)
  --rows-narrow N          rows of three columns (1000000)
  --rows-mixed N           rows of nine columns (500000)
  --rows-replay-narrow N   the same of the replay (3000000)
  --rows-replay-mixed N    (1500000)
  --workers N              worker threads of pg-walstream (its own default)
  --json FILE              write everything measured to a file
`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '3' },
      'rows-narrow': { type: 'string', default: '1000000' },
      'rows-mixed': { type: 'string', default: '500000' },
      'rows-replay-narrow': { type: 'string', default: '3000000' },
      'rows-replay-mixed': { type: 'string', default: '1500000' },
      workers: { type: 'string' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const selected = chosenFrom(positionals, BENCH_NAMES, USAGE);
  const rowCounts: Record<ShapeName, number> = {
    narrow: countFrom('--rows-narrow', values['rows-narrow']),
    mixed: countFrom('--rows-mixed', values['rows-mixed']),
  };
  const replayRowCounts: Record<ShapeName, number> = {
    narrow: countFrom('--rows-replay-narrow', values['rows-replay-narrow']),
    mixed: countFrom('--rows-replay-mixed', values['rows-replay-mixed']),
  };
  const rounds = countFrom('--rounds', values.rounds);
  const workers = values.workers === undefined ? undefined : countFrom('--workers', values.workers);

  await using server = await EmbeddedServer.start({ settings: QUIET_SETTINGS });
  const connection = server.connectionString();
  const client = new pg.Client({ connectionString: connection });
  await client.connect();
  try {
    const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
    const report: Report = {
      machine: await describeMachine(rows[0]?.server_version ?? 'unknown'),
      tables: [],
      verdicts: [],
      notes: ['The clients, their server and this bench share the cores.'],
    };
    const backlogs = new Map<ShapeName, Promise<WrittenBacklog>>();
    const context: BenchContext = {
      client,
      connection,
      backlog(shape) {
        const backlog = backlogs.get(shape) ?? writeBacklog(client, shape, rowCounts[shape]);
        backlogs.set(shape, backlog);
        return backlog;
      },
      rounds,
      rowCounts,
      replayRowCounts,
      workers,
      report,
      progress: (line) => process.stderr.write(`${line}\n`),
    };
    for (const name of selected) await BENCHES[name](context);
    console.log(formatReport(report));
    if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(report, undefined, 2)}\n`);
  } finally {
    await client.end();
  }
}

async function writeBacklog(client: pg.Client, shape: ShapeName, rowCount: number): Promise<WrittenBacklog> {
  const backlog = await Backlog.create(client, ROW_SHAPES[shape], { table: shape });
  return { backlog, end: await backlog.writeUpTo(rowCount) };
}

await main();
