import { Lsn } from '../lsn.js';
import type { FakeResult, Report } from './backend-bytes.js';
import type { FakeSlot } from './fake-slot.js';

/** What the sender's catalogue holds, and who asks. */
export interface CatalogState {
  readonly slots: ReadonlyMap<string, FakeSlot>;
  readonly publications: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
  readonly database: string;
  readonly user: string;
  readonly processId: number;
  /** Whether the session asked for replication. */
  readonly isWalSender: boolean;
  readonly walEnd: bigint;
  readonly walSenders: number;
  /** The answer to the query for types that are not built in, where there is one. */
  readonly types: FakeResult | undefined;
  dropSlot(name: string): Report | undefined;
}

export type CatalogAnswer = FakeResult | { readonly error: Report };

export const DEFAULT_SETTINGS: Readonly<Record<string, string>> = {
  wal_level: 'logical',
  wal_sender_timeout: '60000',
  max_wal_senders: '10',
  max_replication_slots: '10',
  hot_standby_feedback: 'off',
  wal_segment_size: '16MB',
  data_directory_mode: '0700',
};

/** A string constant of SQL, `E''` or not. */
const LITERAL = "E?'((?:[^']|'')*)'";
const SLOT_LITERAL = new RegExp(`slot_name = ${LITERAL}`);
const DROP_SLOT = new RegExp(`pg_drop_replication_slot\\(${LITERAL}\\)`);
const ADVANCE_SLOT = new RegExp(`pg_replication_slot_advance\\(${LITERAL}, *'([0-9A-F/]+)'`);
const NAMES_IN = /pubname IN \(([^)]*)\)/;

/**
 * Answers the SQL that clients send before they stream, told by what is peculiar to each statement; `undefined` for
 * any other.
 */
export function answerSql(sql: string, state: CatalogState): CatalogAnswer | undefined {
  if (/^(?:SET|RESET)\b/i.test(sql)) return { columns: [], rows: [], command: sql.slice(0, 5).trim().toUpperCase() };
  if (sql.includes('set_config(')) return one({ set_config: '' });
  if (sql.includes(' AS may_replicate')) return serverFacts(state);
  if (sql.includes('pg_drop_replication_slot(')) return dropSlot(sql, state);
  if (sql.includes('pg_replication_slot_advance(')) return advanceSlot(sql, state);
  if (sql.includes('pg_backend_pid() AS ours')) return slotHolder(sql, state);
  if (sql.includes('confirmed_flush_lsn') && sql.includes('pg_replication_slots')) return slotRows(sql, state);
  if (sql.includes(' AS table_count')) return publicationRows(sql, state);
  if (sql.includes('relreplident AS identity')) return none('schema', 'table', 'identity', 'total');
  if (sql.includes('WITH RECURSIVE wanted (oid)')) return state.types;
  if (sql.includes('pg_prepared_xacts')) return none('pid', 'gid', 'age_ms', 'application_name', 'state');
  if (sql.includes('pg_current_wal_flush_lsn()')) return one({ pg_current_wal_flush_lsn: Lsn.format(state.walEnd) });
  if (/^SELECT pg_(?:catalog\.)?is_in_recovery\(\)/i.test(sql)) return one({ pg_is_in_recovery: 'f' });
  return undefined;
}

function serverFacts(state: CatalogState): FakeResult {
  const setting = (name: string) => state.settings[name] ?? '';
  return one({
    database: state.database,
    role: state.user,
    may_replicate: 't',
    managed_role: null,
    backend_pid: String(state.processId),
    backend_type: state.isWalSender ? 'walsender' : 'client backend',
    in_recovery: 'f',
    hot_standby_feedback: setting('hot_standby_feedback') === 'on' ? 't' : 'f',
    wal_level: setting('wal_level'),
    wal_sender_timeout_ms: setting('wal_sender_timeout'),
    max_wal_senders: setting('max_wal_senders'),
    wal_senders: String(state.walSenders),
    max_replication_slots: setting('max_replication_slots'),
    replication_slots: String(state.slots.size),
  });
}

const SLOT_COLUMNS = [
  'slot_name',
  'plugin',
  'slot_type',
  'database',
  'temporary',
  'active',
  'active_pid',
  'restart_lsn',
  'confirmed_flush_lsn',
  'wal_status',
  'safe_wal_size',
  'two_phase',
  'conflicting',
  'invalidation_reason',
  'failover',
  'synced',
  'inactive_since_ms',
  'retained_bytes',
  'nothing_reserved',
];

function slotRows(sql: string, state: CatalogState): FakeResult {
  const wanted = sql.includes('slot_name = ') ? literal(SLOT_LITERAL, sql) : undefined;
  const slots = [...state.slots.values()].filter(({ name }) => wanted === undefined || name === wanted);
  const flag = (value: boolean) => (value ? 't' : 'f');
  return {
    columns: SLOT_COLUMNS,
    rows: slots.map((slot) => {
      const lost = slot.invalidationReason !== undefined;
      const confirmed = Lsn.format(slot.confirmedFlushLsn);
      const retained = state.walEnd > slot.confirmedFlushLsn ? state.walEnd - slot.confirmedFlushLsn : 0n;
      return [
        slot.name,
        slot.plugin,
        'logical',
        slot.database,
        flag(slot.temporary),
        flag(slot.activePid !== undefined),
        slot.activePid === undefined ? null : String(slot.activePid),
        lost ? null : confirmed,
        confirmed,
        lost ? 'lost' : 'reserved',
        null,
        flag(slot.twoPhase),
        'f',
        slot.invalidationReason ?? null,
        flag(slot.failover),
        'f',
        null,
        String(retained),
        flag(lost),
      ];
    }),
  };
}

function slotHolder(sql: string, state: CatalogState): FakeResult {
  const slot = state.slots.get(literal(SLOT_LITERAL, sql));
  if (slot === undefined) return none('active_pid', 'ours');
  const { activePid } = slot;
  if (activePid === undefined) return one({ active_pid: null, ours: null });
  return one({ active_pid: String(activePid), ours: activePid === state.processId ? 't' : 'f' });
}

function dropSlot(sql: string, state: CatalogState): CatalogAnswer {
  const error = state.dropSlot(literal(DROP_SLOT, sql));
  return error === undefined ? one({ pg_drop_replication_slot: '' }) : { error };
}

function advanceSlot(sql: string, state: CatalogState): CatalogAnswer {
  const [, name = '', position = '0/0'] = ADVANCE_SLOT.exec(sql) ?? [];
  const slot = state.slots.get(name);
  if (slot === undefined) return { error: slotDoesNotExist(name) };
  const lsn = Lsn.parse(position);
  if (lsn < slot.confirmedFlushLsn) {
    const minimum = Lsn.format(slot.confirmedFlushLsn);
    const message = `cannot advance replication slot to ${position}, minimum is ${minimum}`;
    return { error: { sqlState: '55000', message } };
  }
  if (lsn > state.walEnd) slot.confirm(state.walEnd);
  else slot.confirm(lsn);
  return one({ end_lsn: Lsn.format(slot.confirmedFlushLsn) });
}

function publicationRows(sql: string, state: CatalogState): FakeResult {
  const [, names = ''] = NAMES_IN.exec(sql) ?? [];
  const wanted = [...names.matchAll(new RegExp(LITERAL, 'g'))].map(([, name = '']) => name.replaceAll("''", "'"));
  const rows = state.publications.filter((name) => wanted.includes(name)).map((name) => [name, '1']);
  return { columns: ['pubname', 'table_count'], rows };
}

export function slotDoesNotExist(name: string): Report {
  return { sqlState: '42704', message: `replication slot "${name}" does not exist` };
}

export function slotIsActive(name: string, pid: number): Report {
  return { sqlState: '55006', message: `replication slot "${name}" is active for PID ${pid}` };
}

function literal(pattern: RegExp, sql: string): string {
  return (pattern.exec(sql)?.[1] ?? '').replaceAll("''", "'");
}

/** One row, its values by column name. */
export function one(row: Readonly<Record<string, string | null>>): FakeResult {
  return { columns: Object.keys(row), rows: [Object.values(row)] };
}

function none(...columns: string[]): FakeResult {
  return { columns, rows: [] };
}
