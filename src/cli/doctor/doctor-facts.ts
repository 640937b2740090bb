import {
  type ConnectionConfig,
  type Finding,
  listPublications,
  listSlots,
  preflight,
  ReplicationConnection,
  type SlotInfo,
} from '../../index.js';
import { resolvePgoutputOptions } from '../../protocol/pgoutput-options.js';

/** What the doctor is asked about. */
export interface DoctorRequest {
  readonly dsn?: string;
  readonly slot?: string;
  /** Default: all publications of the database. */
  readonly publication?: readonly string[];
}

/** What the doctor judges: everything that was measured or read. */
export interface DoctorFacts {
  readonly nodeVersion: string;
  readonly server: DoctorServerFacts;
  /** Why no replication connection could be made; `undefined` when one could. */
  readonly replicationFailure: string | undefined;
  /** What keeps a stream from working, by the very checks that a stream starts with. */
  readonly findings: readonly Finding[];
  readonly wantedSlot: string | undefined;
  readonly slots: readonly SlotInfo[];
  /** Those that were asked about or, when none were, all. */
  readonly publications: readonly string[];
}

export interface DoctorServerFacts {
  readonly serverVersion: number;
  readonly host: string;
  readonly encrypted: boolean;
  readonly database: string;
  readonly role: string;
  readonly walLevel: string;
  readonly maxWalSenders: number;
  /** The doctor's own is not among them. */
  readonly walSendersInUse: number;
  readonly maxReplicationSlots: number;
  /** -1: no bound on what a slot keeps. */
  readonly maxSlotWalKeepSizeMb: number;
  /** Median of some queries that do nothing. */
  readonly roundTripMs: number;
  /** The server's clock before ours; half a round trip is the error. */
  readonly clockAheadMs: number;
}

const ROUND_TRIPS = 5;
/** Bound on each question. */
const QUERY_OPTIONS = { timeoutMs: 10_000 };

/** Reads and measures it all, on a session for SQL and, where one can be made, on a replication connection. */
export async function readDoctorFacts(
  session: ReplicationConnection,
  config: ConnectionConfig,
  request: DoctorRequest,
): Promise<DoctorFacts> {
  const server = await readServer(session);
  const slots = await listSlots(session, QUERY_OPTIONS);
  const publications =
    request.publication ?? (await listPublications(session, QUERY_OPTIONS)).map((publication) => publication.name);
  const wanted = {
    ...(request.slot !== undefined && {
      slot: { name: request.slot, create: 'never', temporary: false, failover: false, twoPhase: false } as const,
    }),
    // Without any there is nothing to ask pgoutput for.
    ...(publications.length > 0 && { pgoutput: resolvePgoutputOptions({ publications }) }),
  };
  const common = { nodeVersion: process.versions.node, server, slots, publications, wantedSlot: request.slot };
  let replication: ReplicationConnection;
  try {
    replication = await ReplicationConnection.connect(config, { mode: 'logical' });
  } catch (error) {
    // What an ordinary session can tell is told all the same; that it is one is known.
    const findings = (await preflight(session, wanted, QUERY_OPTIONS)).filter(({ check }) => check !== 'pooler');
    return { ...common, findings, replicationFailure: error instanceof Error ? error.message : String(error) };
  }
  await using _ = replication;
  return { ...common, findings: await preflight(replication, wanted, QUERY_OPTIONS), replicationFailure: undefined };
}

const SERVER_QUERY = `SELECT current_database(), current_user, current_setting('wal_level'),
  current_setting('max_wal_senders'), (SELECT count(*) FROM pg_catalog.pg_stat_replication),
  current_setting('max_replication_slots'),
  (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size')`;

async function readServer(session: ReplicationConnection): Promise<DoctorServerFacts> {
  const [result] = await session.query(SERVER_QUERY, QUERY_OPTIONS);
  const [database, role, walLevel, senders, sendersInUse, slots, keepSize] = (result?.rows[0] ?? []).map(String);
  const { serverVersion, host, encrypted } = session;
  return {
    serverVersion,
    host,
    encrypted,
    database: database ?? '',
    role: role ?? '',
    walLevel: walLevel ?? '',
    maxWalSenders: Number(senders),
    walSendersInUse: Number(sendersInUse),
    maxReplicationSlots: Number(slots),
    maxSlotWalKeepSizeMb: Number(keepSize),
    ...(await measureClock(session)),
  };
}

/** The quickest answer tells most about the clock. */
async function measureClock(
  session: ReplicationConnection,
): Promise<Pick<DoctorServerFacts, 'roundTripMs' | 'clockAheadMs'>> {
  const trips: { readonly tookMs: number; readonly clockAheadMs: number }[] = [];
  for (let trip = 0; trip < ROUND_TRIPS; trip++) {
    const sentAt = Date.now();
    const startedAt = performance.now();
    const [result] = await session.query('SELECT extract(epoch FROM clock_timestamp()) * 1000', QUERY_OPTIONS);
    const tookMs = performance.now() - startedAt;
    trips.push({ tookMs, clockAheadMs: Number(result?.rows[0]?.[0]) - (sentAt + tookMs / 2) });
  }
  trips.sort((a, b) => a.tookMs - b.tookMs);
  return {
    roundTripMs: trips[ROUND_TRIPS >> 1]?.tookMs ?? 0,
    clockAheadMs: trips[0]?.clockAheadMs ?? 0,
  };
}
