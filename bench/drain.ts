import { access, readdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import type { Backlog, BacklogEnd } from './backlog.js';
import { type ProcessUsage, runClient } from './client-process.js';
import type { DrainReport, DrainRequest } from './clients/drain-request.js';
import { KEPT_OF } from './keep-few.js';
import { withSlotCopy } from './slot-copies.js';

/** One drain of a backlog by one client. */
export interface Drain {
  readonly rowCount: number;
  /** From the start of the stream to the last commit; connecting and starting the process are not in it. */
  readonly streamMs: number;
  /** User and system time of the whole client process, its start included; 0 for the server itself. */
  readonly cpuMs: number;
  /** The part of it before the stream began: loading modules, connecting, starting workers. */
  readonly startCpuMs: number | undefined;
  readonly peakRssBytes: number | undefined;
  readonly bytesPerRead: number | undefined;
  readonly mainThreadShare: number | undefined;
}

export interface BacklogSource {
  /** An open session, for slots. */
  readonly client: pg.Client;
  readonly connection: string;
  readonly backlog: Backlog;
  readonly end: BacklogEnd;
}

export interface WalStreamDrainOptions {
  readonly read: DrainRequest['read'];
  readonly workers?: number | undefined;
  readonly stallAfterRows?: number;
  readonly stallMs?: number;
  readonly pauseMs?: number;
}

/** Drains with this engine. */
export function drainWithWalStream(source: BacklogSource, options: WalStreamDrainOptions): Promise<Drain> {
  return drainWithNode('walstream.js', source, options);
}

export function drainWithPgLogicalReplication(source: BacklogSource): Promise<Drain> {
  return drainWithNode('pg-logical-replication.js', source, { read: 'rows' });
}

async function drainWithNode(file: NodeClient, source: BacklogSource, options: WalStreamDrainOptions): Promise<Drain> {
  const { client, connection, backlog, end } = source;
  return withSlotCopy(client, backlog.slot, async (slot) => {
    const { publication, shape } = backlog;
    const { stopLsn, rowCount } = end;
    const { workers, ...rest } = options;
    const request = { connection, slot, publication, stopLsn, shape: shape.name, ...rest };
    const { report, usage } = await runDrain(file, request, workers, rowCount);
    return { ...drainOf(report, rowCount), cpuMs: usage.cpuMs, peakRssBytes: usage.peakRssBytes };
  });
}

export type NodeClient = 'walstream.js' | 'pg-logical-replication.js';

/** Has a client drain in a process of its own, and checks that it had every row. */
export async function runDrain(
  file: NodeClient,
  request: DrainRequest,
  workers: number | undefined,
  rowCount: number,
): Promise<{ readonly report: DrainReport; readonly usage: ProcessUsage }> {
  const usage = await runClient({
    program: process.execPath,
    args: [
      fileURLToPath(new URL(`clients/${file}`, import.meta.url)),
      JSON.stringify({ ...request, ...(workers !== undefined && { workers }) } satisfies DrainRequest),
    ],
  });
  const report = JSON.parse(usage.output) as DrainReport;
  checkComplete(file, request.read, report, rowCount);
  return { report, usage };
}

/** As the client itself has seen it. */
export function drainOf(report: DrainReport, rowCount: number): Omit<Drain, 'peakRssBytes'> {
  const { streamMs, startCpuMs, streamCpuMs, bytesPerRead, mainThreadShare } = report;
  return { rowCount, streamMs, cpuMs: streamCpuMs, startCpuMs, bytesPerRead, mainThreadShare };
}

/** A fast client that loses rows proves nothing. */
function checkComplete(client: string, read: DrainRequest['read'], report: DrainReport, rowCount: number): void {
  const step = read === 'transform' ? KEPT_OF : 1;
  const expectedRows = Math.floor(rowCount / step);
  const expectedSum = read === 'packed' ? 0 : (step * expectedRows * (expectedRows + 1)) / 2;
  if (report.rowCount !== expectedRows || report.idSum !== expectedSum) {
    throw new Error(
      `${client}: ${report.rowCount} rows with ids of sum ${report.idSum}, expected ${expectedRows} and ${expectedSum}`,
    );
  }
}

/** Drains with PostgreSQL's own client; it throws everything away, at two writes to /dev/null a message. */
export async function drainWithPgRecvlogical(program: string, source: BacklogSource): Promise<Drain> {
  const { client, connection, backlog, end } = source;
  return withSlotCopy(client, backlog.slot, async (slot) => {
    let startedAt: number | undefined;
    const usage = await runClient({
      program,
      args: [
        ...['--dbname', connection, '--slot', slot, '--start', '--file', '/dev/null', '--no-loop', '--verbose'],
        ...['--endpos', end.stopLsn],
        ...['--option', 'proto_version=1', '--option', `publication_names=${backlog.publication}`],
      ],
      onStderrLine: (line) => {
        if (line.includes('streaming initiated')) startedAt = performance.now();
      },
    });
    if (startedAt === undefined) throw new Error('pg_recvlogical did not say when streaming began');
    return {
      rowCount: end.rowCount,
      streamMs: usage.endedAt - startedAt,
      cpuMs: usage.cpuMs,
      startCpuMs: undefined,
      peakRssBytes: usage.peakRssBytes,
      bytesPerRead: undefined,
      mainThreadShare: undefined,
    };
  });
}

/** The server decodes the same WAL for itself: nothing is sent to anybody. The result has room in memory. */
export async function drainInServer(source: BacklogSource): Promise<Drain> {
  const { client, backlog, end } = source;
  return withSlotCopy(client, backlog.slot, async (slot) => {
    await client.query("SET work_mem = '2GB'");
    const startedAt = performance.now();
    const { rows } = await client.query<{ count: number }>(
      `SELECT count(*)::integer AS count FROM pg_logical_slot_peek_binary_changes($1, $2::pg_lsn, NULL,
         'proto_version', '1', 'publication_names', $3)`,
      [slot, end.stopLsn, backlog.publication],
    );
    const streamMs = performance.now() - startedAt;
    if ((rows[0]?.count ?? 0) < end.rowCount - 1) throw new Error(`the server decoded ${rows[0]?.count} messages only`);
    return {
      rowCount: end.rowCount,
      streamMs,
      cpuMs: 0,
      startCpuMs: undefined,
      peakRssBytes: undefined,
      bytesPerRead: undefined,
      mainThreadShare: undefined,
    };
  });
}

/** Debian keeps every major's programs in a folder of its own and puts a wrapper into PATH; the newest comes first. */
const DEBIAN_ROOT = '/usr/lib/postgresql';

/** The installed pg_recvlogical, or `undefined`. */
export async function findPgRecvlogical(): Promise<string | undefined> {
  const majors = await readdir(DEBIAN_ROOT).catch(() => []);
  const folders = [
    ...majors.toSorted((a, b) => Number(b) - Number(a)).map((major) => join(DEBIAN_ROOT, major, 'bin')),
    ...(process.env.PATH ?? '').split(delimiter),
  ];
  for (const folder of folders) {
    const program = join(folder, 'pg_recvlogical');
    const found = await access(program).then(
      () => true,
      () => false,
    );
    if (found) return program;
  }
  return undefined;
}
