import { setTimeout as delay } from 'node:timers/promises';
import {
  flag,
  MAX_TIMER_MS,
  oneOf,
  plainObject,
  refuseUnknown,
  text,
  timeLimit,
  wrong,
} from '../errors/option-checks.js';
import { ProtocolError, ServerError, SlotError, TimeoutError } from '../errors.js';
import { checkLsn, Lsn } from '../lsn.js';
import { quoteLiteral } from '../protocol/quoting.js';
import { type CreateSlot, createReplicationSlot } from '../protocol/slot-commands.js';
import { describeBlockingTransaction, listBlockingTransactions } from './blocking-transactions.js';
import { slotErrorFrom, slotInUseError, slotMissingError } from './slot-errors.js';
import { findSlot, type SlotInfo } from './slots.js';
import { type CatalogRow, type QueryOptions, type SqlSession, selectRows } from './sql-session.js';

/** How long the creation of a slot may wait for running transactions. */
export const DEFAULT_CREATE_SLOT_TIMEOUT_MS = 30_000;

/** The server's own deadline is to come first, because it leaves the session usable; then ours. */
const SERVER_DEADLINE_GRACE_MS = 2_000;

const DIAGNOSIS_TIMEOUT_MS = 5_000;
const DROP_POLL_INTERVAL_MS = 50;

/** What CREATE_REPLICATION_SLOT answers. */
export interface CreatedSlot {
  /** The slot's, as asked for. */
  readonly name: string;
  /** From here on every transaction is decoded; 0/0 for a physical slot. */
  readonly consistentPoint: bigint;
  /** With `snapshot: 'export'`: for SET TRANSACTION SNAPSHOT elsewhere, until the next command on this session. */
  readonly snapshotName: string | undefined;
}

/**
 * Creates a slot with CREATE_REPLICATION_SLOT, so the session must be a replication connection; a temporary slot
 * belongs to it.
 *
 * A logical slot waits for every transaction that is running, in all databases, for `timeoutMs` (default 30,000). The
 * server is given that bound as lock_timeout, which is reset afterwards, except with an exported or used snapshot,
 * which another command would end.
 *
 * @throws SlotError, ConfigurationError (exists already, no slot left, option unknown to the server),
 *   TimeoutError naming the transactions that are in the way
 * @see https://www.postgresql.org/docs/current/protocol-replication.html
 */
export async function createSlot(
  session: SqlSession,
  slot: CreateSlot,
  options: QueryOptions = {},
): Promise<CreatedSlot> {
  checkSlot(slot);
  const command = createReplicationSlot(slot, session.serverVersion);
  const timeoutMs = timeLimit(plainObject(options, 'options').timeoutMs, 'timeoutMs') ?? DEFAULT_CREATE_SLOT_TIMEOUT_MS;
  await session.query(`SET lock_timeout = ${Math.max(1, Math.ceil(timeoutMs))}`, options);
  const row = await runCreation(session, slot.name, command, { ...options, timeoutMs });
  if (slot.kind === 'physical' || (slot.snapshot ?? 'nothing') === 'nothing') {
    await session.query('RESET lock_timeout', options);
  }
  return {
    name: row.text('slot_name'),
    consistentPoint: row.lsn('consistent_point'),
    snapshotName: row.optionalText('snapshot_name'),
  };
}

const KNOWN_OF_SLOTS = {
  logical: new Set(['kind', 'name', 'plugin', 'temporary', 'twoPhase', 'failover', 'snapshot']),
  physical: new Set(['kind', 'name', 'temporary', 'reserveWal']),
} as const;

function checkSlot(slot: CreateSlot): void {
  const { kind } = plainObject(slot, 'slot', 'an object with kind and name');
  if (kind !== 'logical' && kind !== 'physical') throw wrong('slot.kind', "must be 'logical' or 'physical'");
  refuseUnknown(slot, KNOWN_OF_SLOTS[kind], 'slot.');
  text(slot.name, 'slot.name');
  flag(slot.temporary, 'slot.temporary');
  if (slot.kind === 'physical') {
    flag(slot.reserveWal, 'slot.reserveWal');
    return;
  }
  if (slot.plugin !== undefined) text(slot.plugin, 'slot.plugin');
  flag(slot.twoPhase, 'slot.twoPhase');
  flag(slot.failover, 'slot.failover');
  oneOf(slot.snapshot, 'slot.snapshot', ['export', 'use', 'nothing'], 'nothing');
}

async function runCreation(
  session: SqlSession,
  slotName: string,
  command: string,
  options: QueryOptions & { readonly timeoutMs: number },
): Promise<CatalogRow> {
  const { timeoutMs } = options;
  try {
    const ourDeadlineMs = Math.min(timeoutMs + SERVER_DEADLINE_GRACE_MS, MAX_TIMER_MS);
    const [row] = await selectRows(session, command, { ...options, timeoutMs: ourDeadlineMs });
    if (row === undefined) throw new ProtocolError('CREATE_REPLICATION_SLOT came back without a row', { offset: 0 });
    return row;
  } catch (error) {
    const blocking = isDeadline(error) ? await nameBlockingTransactions(session) : '';
    await session.query('RESET lock_timeout', { timeoutMs: DIAGNOSIS_TIMEOUT_MS }).catch(() => {
      // After a deadline of our own the session may be gone; why the creation failed is what matters.
    });
    if (!isDeadline(error)) throw slotErrorFrom(error, slotName);
    throw new TimeoutError(
      `slot ${slotName} was not created within ${timeoutMs} ms: it waits until every running transaction has ended${blocking}`,
      { host: session.host, phase: 'query', timeoutMs, cause: error },
    );
  }
}

/** 55P03: lock_timeout. */
function isDeadline(error: unknown): boolean {
  return error instanceof TimeoutError || (error instanceof ServerError && error.sqlState === '55P03');
}

async function nameBlockingTransactions(session: SqlSession): Promise<string> {
  try {
    const blocking = await listBlockingTransactions(session, { timeoutMs: DIAGNOSIS_TIMEOUT_MS });
    return blocking.length === 0 ? '' : `. Running: ${blocking.map(describeBlockingTransaction).join('; ')}`;
  } catch {
    return '';
  }
}

/** The logical slot that a stream wants. */
export interface WantedSlot {
  /** Lower-case letters, digits and underscores. */
  readonly name: string;
  /** `never`: a missing slot is an error. `if-missing`: the stream would create it. */
  readonly create: 'never' | 'if-missing';
  /** If it is created: for the stream's connection only. */
  readonly temporary: boolean;
  /** If it is created: synchronized to standbys; 17 and later. */
  readonly failover: boolean;
  /** Whether prepared transactions come when they are prepared; 15 and later. */
  readonly twoPhase: boolean;
}

export interface EnsuredSlot {
  /** A slot that was just created starts here and now: what happened before is not in it. */
  readonly created: boolean;
  readonly slot: SlotInfo;
}

/** Finds the slot or, where `create` allows it, creates it for pgoutput. Whether it fits is preflight's to say. */
export async function ensureSlot(
  session: SqlSession,
  wanted: WantedSlot,
  options: QueryOptions = {},
): Promise<EnsuredSlot> {
  const found = await findSlot(session, wanted.name, options);
  if (found !== undefined) return { created: false, slot: found };
  if (wanted.create === 'never') throw slotMissingError(wanted.name);
  const { name, temporary, failover, twoPhase } = wanted;
  await createSlot(session, { kind: 'logical', name, temporary, failover, twoPhase }, options);
  const slot = await findSlot(session, wanted.name, options);
  if (slot === undefined) throw slotMissingError(wanted.name);
  return { created: true, slot };
}

/** How {@link dropSlot} goes about it. */
export interface DropSlotOptions extends QueryOptions {
  /** How long to wait for a connection that holds the slot. Default 0: an error at once. */
  readonly waitMs?: number;
}

/**
 * Drops a slot, and with it the WAL that it keeps. Works in any session on the cluster.
 *
 * @throws SlotError missing, or in-use with the PID when it is still held after `waitMs`
 * @see https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-REPLICATION
 */
export async function dropSlot(session: SqlSession, name: string, options: DropSlotOptions = {}): Promise<void> {
  const literal = quoteLiteral(text(name, 'slot.name'), 'slot.name');
  const deadline = performance.now() + (timeLimit(plainObject(options, 'options').waitMs, 'waitMs') ?? 0);
  for (;;) {
    const error = await tryDropSlot(session, name, literal, options);
    if (error === undefined) return;
    if (performance.now() >= deadline) throw error;
    await delay(DROP_POLL_INTERVAL_MS, undefined, { signal: options.signal });
  }
}

/** Looks before it drops: an error would end this session's temporary slots. */
async function tryDropSlot(
  session: SqlSession,
  name: string,
  literal: string,
  options: QueryOptions,
): Promise<SlotError | undefined> {
  const [row] = await selectRows(
    session,
    `SELECT active_pid, active_pid = pg_backend_pid() AS ours FROM pg_catalog.pg_replication_slots WHERE slot_name = ${literal}`,
    options,
  );
  if (row === undefined) throw slotMissingError(name);
  const pid = row.optionalNumber('active_pid');
  if (pid !== undefined && !row.boolean('ours')) return slotInUseError(name, pid);
  try {
    await session.query(`SELECT pg_drop_replication_slot(${literal})`, options);
    return undefined;
  } catch (error) {
    const mapped = slotErrorFrom(error, name);
    if (mapped instanceof SlotError && mapped.reason === 'in-use') return mapped;
    throw mapped;
  }
}

/**
 * Moves a slot forward: what lies before the position will not be sent any more. A position beyond the end of WAL
 * moves it to that end.
 *
 * @returns where the slot is now
 * @throws SlotError missing, in-use, invalidated, or gap for a position that it has passed
 * @see https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-REPLICATION
 */
export async function advanceSlot(
  session: SqlSession,
  name: string,
  lsn: bigint,
  options?: QueryOptions,
): Promise<bigint> {
  const literal = quoteLiteral(text(name, 'slot.name'), 'slot.name');
  checkLsn(lsn, 'lsn');
  if (lsn === 0n) throw wrong('lsn', 'must be a position to advance to: 0/0 is none');
  try {
    const [row] = await selectRows(
      session,
      `SELECT end_lsn FROM pg_replication_slot_advance(${literal}, '${Lsn.format(lsn)}')`,
      options,
    );
    if (row === undefined) throw slotMissingError(name);
    return row.lsn('end_lsn');
  } catch (error) {
    throw slotErrorFrom(error, name);
  }
}
