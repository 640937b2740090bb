import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { EmbeddedServer } from '../src/cli/embedded-server.js';
import { findClientTool, toolMajor } from '../test/support/client-tools.js';
import { type BackupKind, type BackupPlace, type BackupRun, backUpWithPostgres, backUpWithUs } from './backup-runs.js';
import { chosenFrom } from './chosen-from.js';
import { addSmallFiles, fillTables } from './cluster-content.js';
import { megabytes, spreadOfKnown } from './contest.js';
import { countFrom } from './count-from.js';
import { QUIET_SETTINGS } from './quiet-settings.js';
import { describeMachine, formatReport, type Report } from './report.js';
import { type Spread, spreadOf } from './spread.js';

const USAGE = `npm run bench:backup -- [large] [small-files] [option ...]

  --rounds N        rounds in turn (3)
  --megabytes N     of tables, in the large cluster (1600)
  --small-files N   in the other one (100000)
  --json FILE       write everything measured to a file
`;

/** That of Debian's pg_verifybackup, which judges backups of its own major only. */
const MAJOR = 15;
const US = 'pg-walstream, verified while it arrives';
const THEM = 'pg_basebackup && pg_verifybackup';
/** Clusters whose backups show what memory does with the size; the last of them has had time to warm up. */
const SMALLER_MEGABYTES = [100, 400] as const;
const MAX_RSS_MB = 150;
/** What "flat" is: the peak of the large cluster as a multiple of the one before. */
const FLAT_RATIO = 1.1;
const MAX_LOOP_DELAY_MS = 10;
const MAX_WALL_RATIO = { SHA256: 0.8, CRC32C: 1.0 } as const;

const PARTS = ['large', 'small-files'] as const;

const KINDS: readonly BackupKind[] = [
  { walMethod: 'stream', manifestChecksums: 'SHA256', sync: false },
  { walMethod: 'stream', manifestChecksums: 'CRC32C', sync: false },
  { walMethod: 'stream', manifestChecksums: 'SHA256', sync: true },
  { walMethod: 'stream', manifestChecksums: 'CRC32C', sync: true },
];

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '3' },
      megabytes: { type: 'string', default: '1600' },
      'small-files': { type: 'string', default: '100000' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const parts = chosenFrom(positionals, PARTS, USAGE);
  const rounds = countFrom('--rounds', values.rounds);
  const largeMb = countFrom('--megabytes', values.megabytes);
  const smallFiles = countFrom('--small-files', values['small-files']);
  const report: Report = {
    machine: await describeMachine(`${MAJOR}`),
    tables: [],
    verdicts: [],
    notes: ['The clients, their server and this bench share the cores and the disk.'],
  };
  const bench = await BackupBench.make(rounds, report);
  const directory = await mkdtemp(join(tmpdir(), 'backup-bench-'));
  try {
    if (parts.includes('large')) {
      const ours = new Map<string, readonly BackupRun[]>();
      for (const size of SMALLER_MEGABYTES) {
        const title = `${size} MB of tables`;
        await inCluster(
          (client) => fillTables(client, size),
          async (connection) => ours.set(title, await bench.ours(title, { connection, directory })),
        );
      }
      const title = `${largeMb} MB of tables`;
      await inCluster(
        (client) => fillTables(client, largeMb),
        async (connection) => ours.set(title, await bench.contest(title, { connection, directory })),
      );
      bench.judgeFlatness(ours);
    }
    if (parts.includes('small-files')) {
      await inCluster(
        (_client, server) => addSmallFiles(server.dataDirectory, smallFiles),
        (connection) => bench.contest(`${smallFiles} small files`, { connection, directory, keep: true }),
      );
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  console.log(formatReport(report));
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(report, undefined, 2)}\n`);
}

/** A server of its own with some content. */
async function inCluster<T>(
  fill: (client: pg.Client, server: EmbeddedServer) => Promise<void>,
  work: (connection: string) => Promise<T>,
): Promise<T> {
  await using server = await EmbeddedServer.start({ major: MAJOR, settings: QUIET_SETTINGS });
  const client = new pg.Client({ connectionString: server.connectionString() });
  await client.connect();
  try {
    await fill(client, server);
  } finally {
    await client.end();
  }
  return await work(server.connectionString());
}

type Contestant = readonly [name: string, run: (place: BackupPlace, kind: BackupKind) => Promise<BackupRun>];

class BackupBench {
  readonly #rounds: number;
  readonly #report: Report;
  readonly #contestants: readonly Contestant[];

  static async make(rounds: number, report: Report): Promise<BackupBench> {
    const contestants: Contestant[] = [[US, backUpWithUs]];
    const pgBaseBackup = findClientTool('pg_basebackup');
    const pgVerifyBackup = findClientTool('pg_verifybackup');
    if (pgBaseBackup === undefined || pgVerifyBackup === undefined || (await toolMajor(pgVerifyBackup)) !== MAJOR) {
      report.notes.push(`SKIPPED: pg_basebackup and pg_verifybackup ${MAJOR} are not installed; nothing is compared.`);
    } else {
      contestants.push([THEM, (place, kind) => backUpWithPostgres(place, kind, { pgBaseBackup, pgVerifyBackup })]);
    }
    return new BackupBench(rounds, report, contestants);
  }

  private constructor(rounds: number, report: Report, contestants: readonly Contestant[]) {
    this.#rounds = rounds;
    this.#report = report;
    this.#contestants = contestants;
  }

  /** Ours alone, of the first kind. */
  async ours(title: string, place: BackupPlace): Promise<BackupRun[]> {
    const runs: BackupRun[] = [];
    for (let round = 1; round <= this.#rounds; round++) {
      runs.push(await this.#run(title, round, [US, backUpWithUs], place, KINDS[0]));
    }
    return runs;
  }

  /** Every kind of backup by everybody in turn; gives ours of the first kind. */
  async contest(title: string, place: BackupPlace): Promise<readonly BackupRun[]> {
    let ofFirstKind: readonly BackupRun[] | undefined;
    // Everything is read once before: the cluster is in the system's cache for whoever comes first.
    for (const contestant of this.#contestants) await this.#run(`${title}, warm-up`, 0, contestant, place, KINDS[0]);
    for (const kind of KINDS) {
      const name = `${title}, ${describeKind(kind)}`;
      const runs = new Map<string, BackupRun[]>(this.#contestants.map(([contestant]) => [contestant, []]));
      for (let round = 1; round <= this.#rounds; round++) {
        for (const contestant of this.#contestants) {
          runs.get(contestant[0])?.push(await this.#run(name, round, contestant, place, kind));
        }
      }
      this.#addTable(name, runs);
      this.#judge(name, kind, runs);
      ofFirstKind ??= runs.get(US);
    }
    return ofFirstKind ?? [];
  }

  /** Our memory by what was backed up, from the smallest to the largest. */
  judgeFlatness(runs: ReadonlyMap<string, readonly BackupRun[]>): void {
    this.#addTable(`pg-walstream, ${describeKind(KINDS[0])}`, runs);
    const peaks = Array.from(runs, ([name, of]) => ({ name, peak: medianPeakRss(of) }));
    const before = peaks.at(-2);
    const last = peaks.at(-1);
    if (before === undefined || last === undefined) return;
    this.#report.verdicts.push({
      name: `RSS peak, ${last.name}, as a multiple of ${before.name}`,
      value: last.peak / before.peak,
      bound: 'at most',
      target: FLAT_RATIO,
      unit: '',
    });
  }

  async #run(title: string, round: number, [name, run]: Contestant, place: BackupPlace, kind: BackupKind) {
    const result = await run(place, kind);
    process.stderr.write(`${title}, round ${round}: ${name}: ${(result.wallMs / 1000).toFixed(2)} s\n`);
    return result;
  }

  #addTable(title: string, runs: ReadonlyMap<string, readonly BackupRun[]>): void {
    this.#report.tables.push({ title, rows: [...runs].map(([name, of]) => ({ name, figures: figures(of) })) });
  }

  #judge(name: string, kind: BackupKind, runs: ReadonlyMap<string, readonly BackupRun[]>): void {
    const ours = runs.get(US) ?? [];
    const theirs = runs.get(THEM) ?? [];
    const { verdicts } = this.#report;
    if (theirs.length > 0) {
      const ratios = ours.map(({ wallMs }, round) => wallMs / (theirs[round]?.wallMs ?? Number.NaN));
      verdicts.push({
        name: `${name}: wall, as a multiple of theirs`,
        value: spreadOf(ratios).median,
        bound: 'at most',
        target: MAX_WALL_RATIO[kind.manifestChecksums as keyof typeof MAX_WALL_RATIO],
        unit: '',
      });
    }
    verdicts.push(
      { name: `${name}: RSS peak`, value: medianPeakRss(ours) / 1e6, bound: 'at most', target: MAX_RSS_MB, unit: 'MB' },
      {
        name: `${name}: event-loop delay, 99th percentile`,
        value: spreadOf(ours.map(({ loopDelayP99Ms }) => loopDelayP99Ms ?? Number.NaN)).median,
        bound: 'at most',
        target: MAX_LOOP_DELAY_MS,
        unit: 'ms',
      },
    );
  }
}

function describeKind({ manifestChecksums, sync }: BackupKind): string {
  return `${manifestChecksums}, ${sync ? 'with' : 'without'} fsync`;
}

function medianPeakRss(runs: readonly BackupRun[]): number {
  return spreadOf(runs.map(({ peakRssBytes }) => peakRssBytes ?? Number.NaN)).median;
}

function figures(runs: readonly BackupRun[]): Record<string, Spread | undefined> {
  return {
    'wall s': spreadOf(runs.map(({ wallMs }) => wallMs / 1000)),
    'CPU s': spreadOf(runs.map(({ cpuMs }) => cpuMs / 1000)),
    'RSS peak MB': spreadOfKnown(runs.map(({ peakRssBytes }) => megabytes(peakRssBytes))),
    'loop delay p99 ms': spreadOfKnown(runs.map(({ loopDelayP99Ms }) => loopDelayP99Ms)),
  };
}

await main();
