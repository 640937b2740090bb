import { quoteLiterals } from '../protocol/quoting.js';
import type { WantedSlot } from './slot-lifecycle.js';
import { findSlot, type SlotInfo } from './slots.js';
import { type QueryOptions, type SqlSession, selectRows } from './sql-session.js';

export type ManagedService = 'rds' | 'cloudsql' | 'azure';

/** What the server says about itself and about this session. */
export interface ServerFacts {
  readonly serverVersion: number;
  readonly database: string;
  readonly role: string;
  /** Superuser, REPLICATION, or a managed service's role for it. */
  readonly mayReplicate: boolean;
  readonly managedService: ManagedService | undefined;
  readonly backendPid: number;
  /** What the start-up of the session said; see {@link SqlSession.processId}. */
  readonly announcedBackendPid: number;
  /** Whether this session is a replication connection. */
  readonly isWalSender: boolean;
  readonly inRecovery: boolean;
  readonly hotStandbyFeedback: boolean;
  readonly walLevel: string;
  /** 0: none. */
  readonly walSenderTimeoutMs: number;
  readonly maxWalSenders: number;
  readonly walSendersInUse: number;
  readonly maxReplicationSlots: number;
  readonly replicationSlotsInUse: number;
}

export interface PublicationFacts {
  readonly name: string;
  readonly tableCount: number;
}

/** A published table whose UPDATE and DELETE the server would refuse. */
export interface UnidentifiedTable {
  readonly schema: string;
  readonly table: string;
  /** `default` without a primary key, `nothing`, or an `index` that is gone. */
  readonly replicaIdentity: 'default' | 'nothing' | 'index';
}

export interface PreflightFacts {
  readonly server: ServerFacts;
  /** The wanted slot, if it is there. */
  readonly slot: SlotInfo | undefined;
  /** Those of the wanted publications that are there. */
  readonly publications: readonly PublicationFacts[];
  /** The first of them, by name. */
  readonly unidentifiedTables: readonly UnidentifiedTable[];
  readonly unidentifiedTableCount: number;
}

/** Tables named one by one; the rest are counted. */
export const MAX_TABLES_NAMED = 20;

/** Everything that preflight judges, read in a few queries. */
export async function readFacts(
  session: SqlSession,
  wanted: { readonly slot?: WantedSlot | undefined; readonly publications: readonly string[] },
  options?: QueryOptions,
): Promise<PreflightFacts> {
  const server = await readServerFacts(session, options);
  const slot = wanted.slot === undefined ? undefined : await findSlot(session, wanted.slot.name, options);
  if (wanted.publications.length === 0) {
    return { server, slot, publications: [], unidentifiedTables: [], unidentifiedTableCount: 0 };
  }
  const names = quoteLiterals(wanted.publications, 'publications');
  const publications = await readPublicationFacts(session, names, options);
  return { server, slot, publications, ...(await readUnidentifiedTables(session, names, options)) };
}

/** pg_stat_replication, because other roles' backend_type is hidden from ours; the count is not. */
const SERVER_FACTS = `SELECT current_database() AS database, current_user AS role,
  EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = current_user AND (rolsuper OR rolreplication))
    OR EXISTS (SELECT FROM pg_catalog.pg_roles
      WHERE rolname = 'rds_replication' AND pg_has_role(current_user, oid, 'MEMBER')) AS may_replicate,
  (SELECT rolname FROM pg_catalog.pg_roles
    WHERE rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin') LIMIT 1) AS managed_role,
  pg_backend_pid() AS backend_pid,
  (SELECT backend_type FROM pg_catalog.pg_stat_activity WHERE pid = pg_backend_pid()) AS backend_type,
  pg_is_in_recovery() AS in_recovery,
  current_setting('hot_standby_feedback')::boolean AS hot_standby_feedback,
  current_setting('wal_level') AS wal_level,
  (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout') AS wal_sender_timeout_ms,
  current_setting('max_wal_senders') AS max_wal_senders,
  (SELECT count(*) FROM pg_catalog.pg_stat_replication) AS wal_senders,
  current_setting('max_replication_slots') AS max_replication_slots,
  (SELECT count(*) FROM pg_catalog.pg_replication_slots) AS replication_slots`;

const MANAGED_SERVICES: Readonly<Record<string, ManagedService>> = {
  rds_superuser: 'rds',
  cloudsqlsuperuser: 'cloudsql',
  azure_pg_admin: 'azure',
};

async function readServerFacts(session: SqlSession, options: QueryOptions | undefined): Promise<ServerFacts> {
  const [row] = await selectRows(session, SERVER_FACTS, options);
  if (row === undefined) throw new TypeError('a SELECT without FROM came back without a row');
  return {
    serverVersion: session.serverVersion,
    database: row.text('database'),
    role: row.text('role'),
    mayReplicate: row.boolean('may_replicate'),
    managedService: MANAGED_SERVICES[row.optionalText('managed_role') ?? ''],
    backendPid: row.number('backend_pid'),
    announcedBackendPid: session.processId,
    isWalSender: row.optionalText('backend_type') === 'walsender',
    inRecovery: row.boolean('in_recovery'),
    hotStandbyFeedback: row.boolean('hot_standby_feedback'),
    walLevel: row.text('wal_level'),
    walSenderTimeoutMs: row.number('wal_sender_timeout_ms'),
    maxWalSenders: row.number('max_wal_senders'),
    walSendersInUse: row.number('wal_senders'),
    maxReplicationSlots: row.number('max_replication_slots'),
    replicationSlotsInUse: row.number('replication_slots'),
  };
}

async function readPublicationFacts(
  session: SqlSession,
  names: string,
  options: QueryOptions | undefined,
): Promise<PublicationFacts[]> {
  const sql = `SELECT pubname,
  (SELECT count(*) FROM pg_catalog.pg_publication_tables t WHERE t.pubname = p.pubname) AS table_count
FROM pg_catalog.pg_publication p WHERE pubname IN (${names})`;
  const rows = await selectRows(session, sql, options);
  return rows.map((row) => ({ name: row.text('pubname'), tableCount: row.number('table_count') }));
}

const REPLICA_IDENTITIES: Readonly<Record<string, UnidentifiedTable['replicaIdentity']>> = {
  d: 'default',
  i: 'index',
  n: 'nothing',
};

/**
 * The identity that counts is the one of the table that is written to: a partition, also where the publication shows
 * its root. A deferrable primary key is none.
 *
 * @see https://www.postgresql.org/docs/current/logical-replication-publication.html#LOGICAL-REPLICATION-PUBLICATION-REPLICA-IDENTITY
 */
async function readUnidentifiedTables(
  session: SqlSession,
  names: string,
  options: QueryOptions | undefined,
): Promise<Pick<PreflightFacts, 'unidentifiedTables' | 'unidentifiedTableCount'>> {
  const sql = `WITH published AS (
  SELECT c.oid FROM pg_catalog.pg_publication p
  JOIN pg_catalog.pg_publication_tables t ON t.pubname = p.pubname
  JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
  WHERE p.pubname IN (${names}) AND (p.pubupdate OR p.pubdelete)
), written AS (
  SELECT oid FROM published UNION SELECT relid FROM published, pg_partition_tree(oid) WHERE isleaf
)
SELECT n.nspname AS schema, c.relname AS table, c.relreplident AS identity, count(*) OVER () AS total
FROM written JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND CASE c.relreplident
  WHEN 'f' THEN false
  WHEN 'd' THEN NOT EXISTS (
    SELECT FROM pg_catalog.pg_index WHERE indrelid = c.oid AND indisprimary AND indimmediate AND indisvalid)
  WHEN 'i' THEN NOT EXISTS (SELECT FROM pg_catalog.pg_index WHERE indrelid = c.oid AND indisreplident)
  ELSE true END
ORDER BY 1, 2 LIMIT ${MAX_TABLES_NAMED}`;
  const rows = await selectRows(session, sql, options);
  return {
    unidentifiedTables: rows.map((row) => ({
      schema: row.text('schema'),
      table: row.text('table'),
      replicaIdentity: REPLICA_IDENTITIES[row.text('identity')] ?? 'nothing',
    })),
    unidentifiedTableCount: rows[0]?.number('total') ?? 0,
  };
}
