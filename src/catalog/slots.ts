import { text } from '../errors/option-checks.js';
import { quoteLiteral } from '../protocol/quoting.js';
import { type CatalogRow, type QueryOptions, type SqlSession, selectRows } from './sql-session.js';

/**
 * A replication slot. What a version does not know has the value that is true there: no slot of 16 is a failover slot.
 *
 * @see https://www.postgresql.org/docs/current/view-pg-replication-slots.html
 */
export interface SlotInfo {
  /** Unique in the cluster. */
  readonly name: string;
  /** Absent for physical slots. */
  readonly plugin: string | undefined;
  /** Only logical slots can be streamed with pgoutput. */
  readonly slotType: 'logical' | 'physical';
  /** Absent for physical slots. */
  readonly database: string | undefined;
  /** Dropped when the connection that created it ends. */
  readonly temporary: boolean;
  /** Whether a connection holds it now. */
  readonly active: boolean;
  /** Of the process that holds it now. */
  readonly activePid: number | undefined;
  /** The oldest WAL that it keeps. */
  readonly restartLsn: bigint | undefined;
  /** Up to where its consumer has confirmed; absent for physical slots. */
  readonly confirmedFlushLsn: bigint | undefined;
  /** `reserved`, `extended`, `unreserved` or `lost`; absent while nothing is reserved. */
  readonly walStatus: string | undefined;
  /** Bytes that can still be written before it is in danger of being lost; absent without max_slot_wal_keep_size. */
  readonly safeWalSize: bigint | undefined;
  /** Whether it decodes prepared transactions when they are prepared; 15 and later. */
  readonly twoPhase: boolean;
  /** Invalidated by a conflict with recovery on a standby; 16 and later. */
  readonly conflicting: boolean;
  /** The server's (17 and later: `wal_removed`, `rows_removed`, ...); before 17 `wal_removed` or `conflict`. */
  readonly invalidationReason: string | undefined;
  /** Whether it is synchronized to standbys; 17 and later. */
  readonly failover: boolean;
  /** Copied from the primary, and not usable until promotion; 17 and later. */
  readonly synced: boolean;
  /** 17 and later. */
  readonly inactiveSince: Date | undefined;
  /** WAL on disk for its sake: from restartLsn to the end of WAL or, on a standby, of what was replayed. */
  readonly retainedBytes: bigint | undefined;
}

/** All slots of the cluster, by name. */
export async function listSlots(session: SqlSession, options?: QueryOptions): Promise<SlotInfo[]> {
  const rows = await selectRows(session, `${slotQuery(session.serverVersion)} ORDER BY slot_name`, options);
  return rows.map(slotFromRow);
}

/** The slot of that name; `undefined` when there is none. */
export async function findSlot(
  session: SqlSession,
  name: string,
  options?: QueryOptions,
): Promise<SlotInfo | undefined> {
  const where = `WHERE slot_name = ${quoteLiteral(text(name, 'slot.name'), 'slot.name')}`;
  const [row] = await selectRows(session, `${slotQuery(session.serverVersion)} ${where}`, options);
  return row === undefined ? undefined : slotFromRow(row);
}

/** Whether the server has given it up: it can only be dropped. */
export function isInvalidated(slot: SlotInfo): boolean {
  return slot.invalidationReason !== undefined;
}

function slotQuery(serverVersion: number): string {
  const since17 = serverVersion >= 170_000;
  return `SELECT slot_name, plugin, slot_type, database, temporary, active, active_pid, restart_lsn,
  confirmed_flush_lsn, wal_status, safe_wal_size, two_phase,
  ${conflicting(serverVersion)} AS conflicting,
  ${since17 ? 'invalidation_reason' : INVALIDATION_BEFORE_17} AS invalidation_reason,
  ${since17 ? 'failover, synced' : 'false AS failover, false AS synced'},
  ${since17 ? 'floor(extract(epoch FROM inactive_since) * 1000)' : 'NULL'} AS inactive_since_ms,
  greatest(0, pg_wal_lsn_diff(
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)
  ) AS retained_bytes,
  restart_lsn IS NULL AS nothing_reserved
FROM pg_catalog.pg_replication_slots`;
}

/** 16 says `conflicting` of every invalidated logical slot; the one whose WAL was removed has no position any more. */
function conflicting(serverVersion: number): string {
  if (serverVersion >= 170_000) return 'conflicting';
  return serverVersion >= 160_000 ? 'conflicting AND restart_lsn IS NOT NULL' : 'false';
}

const INVALIDATION_BEFORE_17 = `CASE WHEN wal_status = 'lost' THEN
    CASE WHEN restart_lsn IS NULL THEN 'wal_removed' ELSE 'conflict' END END`;

function slotFromRow(row: CatalogRow): SlotInfo {
  const inactiveSinceMs = row.optionalNumber('inactive_since_ms');
  return {
    name: row.text('slot_name'),
    plugin: row.optionalText('plugin'),
    slotType: row.text('slot_type') === 'logical' ? 'logical' : 'physical',
    database: row.optionalText('database'),
    temporary: row.boolean('temporary'),
    active: row.boolean('active'),
    activePid: row.optionalNumber('active_pid'),
    restartLsn: row.optionalLsn('restart_lsn'),
    confirmedFlushLsn: row.optionalLsn('confirmed_flush_lsn'),
    walStatus: row.optionalText('wal_status'),
    safeWalSize: row.optionalBigint('safe_wal_size'),
    twoPhase: row.boolean('two_phase'),
    conflicting: row.boolean('conflicting'),
    invalidationReason: row.optionalText('invalidation_reason'),
    failover: row.boolean('failover'),
    synced: row.boolean('synced'),
    inactiveSince: inactiveSinceMs === undefined ? undefined : new Date(inactiveSinceMs),
    // greatest() skips nulls, so that a slot without restart_lsn would seem to keep nothing instead of being unknown.
    retainedBytes: row.boolean('nothing_reserved') ? undefined : row.optionalBigint('retained_bytes'),
  };
}
