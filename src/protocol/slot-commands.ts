import { ConfigurationError } from '../errors.js';
import { quoteIdentifier, quoteReplicationLiteral, quoteSlotName } from './quoting.js';
import { requireServerVersion } from './server-version.js';

/**
 * What becomes of the snapshot that belongs to the start of a logical slot: `export` for other sessions while this one
 * stays idle, `use` in this session's transaction, or `nothing`.
 */
export type SlotSnapshot = 'export' | 'use' | 'nothing';

/** A slot that decodes WAL, of the connection's database. */
export interface CreateLogicalSlot {
  readonly kind: 'logical';
  /** Lower-case letters, digits and underscores. */
  readonly name: string;
  /** Default `pgoutput`. */
  readonly plugin?: string;
  /** Gone with its connection. */
  readonly temporary?: boolean;
  /** Decode prepared transactions at PREPARE; 15 and later. */
  readonly twoPhase?: boolean;
  /** Copied to standbys, so that it survives a failover; 17 and later. */
  readonly failover?: boolean;
  /** Default `nothing`. */
  readonly snapshot?: SlotSnapshot;
}

/** A slot that only keeps WAL: for standbys, backups and archives. */
export interface CreatePhysicalSlot {
  readonly kind: 'physical';
  /** Lower-case letters, digits and underscores. */
  readonly name: string;
  /** Gone with its connection. */
  readonly temporary?: boolean;
  /** Keep WAL from now on, not from the first connection. */
  readonly reserveWal?: boolean;
}

/** What `createSlot` creates, told apart by `kind`. */
export type CreateSlot = CreateLogicalSlot | CreatePhysicalSlot;

/**
 * ```
 * 14:  CREATE_REPLICATION_SLOT "s" [TEMPORARY] LOGICAL "plugin" {EXPORT_SNAPSHOT | USE_SNAPSHOT | NOEXPORT_SNAPSHOT}
 *      CREATE_REPLICATION_SLOT "s" [TEMPORARY] PHYSICAL [RESERVE_WAL]
 * 15+: CREATE_REPLICATION_SLOT "s" [TEMPORARY] LOGICAL "plugin" (SNAPSHOT '...' [, TWO_PHASE] [, FAILOVER])
 *      CREATE_REPLICATION_SLOT "s" [TEMPORARY] PHYSICAL [(RESERVE_WAL)]
 * ```
 *
 * @throws ConfigurationError
 * @see https://www.postgresql.org/docs/current/protocol-replication.html
 */
export function createReplicationSlot(slot: CreateSlot, serverVersion: number): string {
  const head = `CREATE_REPLICATION_SLOT ${quoteSlotName(slot.name, 'slot.name')}${slot.temporary ? ' TEMPORARY' : ''}`;
  switch (slot.kind) {
    case 'logical': {
      const plugin = quoteIdentifier(slot.plugin ?? 'pgoutput', 'slot.plugin');
      return `${head} LOGICAL ${plugin} ${logicalSlotOptions(slot, serverVersion)}`;
    }
    case 'physical': {
      if (!slot.reserveWal) return `${head} PHYSICAL`;
      return `${head} PHYSICAL ${serverVersion < 150_000 ? 'RESERVE_WAL' : '(RESERVE_WAL)'}`;
    }
    default:
      return slot satisfies never;
  }
}

const SNAPSHOT_KEYWORDS: Readonly<Record<SlotSnapshot, string>> = {
  export: 'EXPORT_SNAPSHOT',
  use: 'USE_SNAPSHOT',
  nothing: 'NOEXPORT_SNAPSHOT',
};

function logicalSlotOptions(slot: CreateLogicalSlot, serverVersion: number): string {
  const snapshot = slot.snapshot ?? 'nothing';
  if (slot.twoPhase) requireServerVersion(serverVersion, 150_000, 'slot.twoPhase', 'slot.twoPhase');
  if (slot.failover) {
    requireServerVersion(serverVersion, 170_000, 'slot.failover', 'slot.failover');
    if (slot.temporary) {
      throw new ConfigurationError(
        'slot.failover does not go with slot.temporary: such a slot ends with its connection',
        {
          option: 'slot.failover',
        },
      );
    }
  }
  if (serverVersion < 150_000) return SNAPSHOT_KEYWORDS[snapshot];
  const options = [`SNAPSHOT ${quoteReplicationLiteral(snapshot, 'slot.snapshot')}`];
  if (slot.twoPhase) options.push('TWO_PHASE');
  if (slot.failover) options.push('FAILOVER');
  return `(${options.join(', ')})`;
}

/** `DROP_REPLICATION_SLOT "s" [WAIT]`; with WAIT an active slot is waited for, without it that is an error 55006. */
export function dropReplicationSlot(name: string, options: { readonly wait?: boolean } = {}): string {
  return `DROP_REPLICATION_SLOT ${quoteSlotName(name, 'slot.name')}${options.wait ? ' WAIT' : ''}`;
}

export interface AlterSlot {
  readonly failover?: boolean;
  /** 18 and later. */
  readonly twoPhase?: boolean;
}

/** `ALTER_REPLICATION_SLOT "s" (FAILOVER true, TWO_PHASE false)`; 17 and later. */
export function alterReplicationSlot(name: string, change: AlterSlot, serverVersion: number): string {
  requireServerVersion(serverVersion, 170_000, 'ALTER_REPLICATION_SLOT', 'slot');
  const options: string[] = [];
  if (change.failover !== undefined) options.push(`FAILOVER ${change.failover ? 'true' : 'false'}`);
  if (change.twoPhase !== undefined) {
    requireServerVersion(serverVersion, 180_000, 'changing slot.twoPhase', 'slot.twoPhase');
    options.push(`TWO_PHASE ${change.twoPhase ? 'true' : 'false'}`);
  }
  if (options.length === 0) {
    throw new ConfigurationError('nothing to alter: give failover or twoPhase', { option: 'slot' });
  }
  return `ALTER_REPLICATION_SLOT ${quoteSlotName(name, 'slot.name')} (${options.join(', ')})`;
}

/** `READ_REPLICATION_SLOT "s"`: slot_type, restart_lsn and restart_tli of a physical slot, or nulls; 15 and later. */
export function readReplicationSlot(name: string, serverVersion: number): string {
  requireServerVersion(serverVersion, 150_000, 'READ_REPLICATION_SLOT', 'slot');
  return `READ_REPLICATION_SLOT ${quoteSlotName(name, 'slot.name')}`;
}
