import { SlotError } from '../errors.js';
import { quoteLiteral } from '../protocol/quoting.js';
import { configurationFinding, type Finding, finding } from './finding.js';
import type { ServerFacts } from './preflight-facts.js';
import { slotGapError, slotInUseError, slotInvalidatedError, slotMissingError } from './slot-errors.js';
import type { WantedSlot } from './slot-lifecycle.js';
import { isInvalidated, type SlotInfo } from './slots.js';

export interface SlotUse {
  /** Whether the stream asks pgoutput for prepared transactions. */
  readonly twoPhase: boolean;
  /** Where the stream wants to start; absent or 0: where the slot is. */
  readonly startLsn?: bigint | undefined;
}

/** Whether a stream can use the slot that it names, or have it created. */
export function judgeSlot(
  slot: SlotInfo | undefined,
  wanted: WantedSlot,
  use: SlotUse,
  server: ServerFacts,
): Finding[] {
  if (slot === undefined) return wanted.create === 'never' ? [missing(wanted, server)] : judgeCreation(wanted, server);
  const unfit = judgeKind(slot, server);
  if (unfit !== undefined) return [unfit];
  return [...judgeState(slot, server), ...judgeTwoPhase(slot, use.twoPhase), ...judgeStart(slot, use.startLsn ?? 0n)];
}

function missing(wanted: WantedSlot, server: ServerFacts): Finding {
  const error = slotMissingError(wanted.name);
  const flags = [wanted.temporary, wanted.twoPhase, ...(server.serverVersion >= 170_000 ? [wanted.failover] : [])];
  const remedy = `SELECT pg_create_logical_replication_slot(${quoteLiteral(wanted.name, 'slot.name')}, 'pgoutput', ${flags.join(', ')})`;
  const details = {
    check: 'slot-missing',
    message: `${error.message}, and the stream creates it only with slot: { name: '${wanted.name}', create: 'if-missing' }`,
    // Made by another session, a temporary slot would be gone at once.
    remedy: wanted.temporary ? undefined : remedy,
  } as const;
  return finding(details, (message) => new SlotError(message, { slotName: wanted.name, reason: 'missing' }));
}

function judgeCreation(wanted: WantedSlot, server: ServerFacts): Finding[] {
  const findings: Finding[] = [];
  if (server.replicationSlotsInUse >= server.maxReplicationSlots) {
    findings.push(
      configurationFinding('slot.create', {
        check: 'replication-slots',
        message: `slot ${wanted.name} cannot be created: all ${server.maxReplicationSlots} max_replication_slots are in use; drop one that nobody needs, or raise it, which takes a restart`,
        remedy: `ALTER SYSTEM SET max_replication_slots = ${server.maxReplicationSlots + 10}`,
      }),
    );
  }
  if (server.inRecovery) {
    findings.push(
      configurationFinding('slot.create', {
        severity: 'warning',
        check: 'standby',
        message: `slot ${wanted.name} is to be created on a standby: that waits for a record which an idle primary writes only when asked`,
        remedy: 'SELECT pg_log_standby_snapshot()',
      }),
    );
  }
  return findings;
}

/** What kind of slot it is never changes, so nothing else matters when it is the wrong one. */
function judgeKind(slot: SlotInfo, server: ServerFacts): Finding | undefined {
  if (slot.slotType === 'physical') {
    return configurationFinding('slot.name', {
      check: 'slot-type',
      message: `slot ${slot.name} is a physical slot, and logical replication needs a logical one`,
    });
  }
  if (slot.database !== server.database) {
    return configurationFinding('slot.name', {
      check: 'slot-database',
      message: `slot ${slot.name} belongs to database ${JSON.stringify(slot.database)}, and this connection is to ${JSON.stringify(server.database)}`,
    });
  }
  if (slot.plugin !== 'pgoutput') {
    return configurationFinding('slot.name', {
      check: 'slot-plugin',
      message: `slot ${slot.name} decodes with the plugin ${slot.plugin}, not with pgoutput`,
    });
  }
  return undefined;
}

function judgeState(slot: SlotInfo, server: ServerFacts): Finding[] {
  const findings: Finding[] = [];
  if (isInvalidated(slot)) {
    const error = slotInvalidatedError(slot.name, slot.invalidationReason);
    const details = {
      check: 'slot-invalidated',
      message: error.message,
      remedy: `SELECT pg_drop_replication_slot(${quoteLiteral(slot.name, 'slot.name')})`,
    } as const;
    findings.push(
      finding(details, (message) => new SlotError(message, { slotName: slot.name, reason: 'invalidated' })),
    );
  }
  if (slot.activePid !== undefined && slot.activePid !== server.backendPid) {
    const error = slotInUseError(slot.name, slot.activePid);
    const details = {
      check: 'slot-in-use',
      message: error.message,
      remedy: `SELECT pg_terminate_backend(${slot.activePid})`,
    } as const;
    findings.push(finding(details, (message) => new SlotError(message, { slotName: slot.name, reason: 'in-use' })));
  }
  if (slot.synced && server.inRecovery) {
    findings.push(
      configurationFinding('slot.name', {
        check: 'slot-synced',
        message: `slot ${slot.name} is synchronized from the primary: it can be used here only after this standby was promoted`,
      }),
    );
  }
  return findings;
}

/**
 * A slot with two_phase sends prepared transactions at PREPARE whether or not the stream asked for them, in any
 * protocol version; a slot without it gets it for good when a stream asks.
 */
function judgeTwoPhase(slot: SlotInfo, twoPhase: boolean): Finding[] {
  if (slot.twoPhase === twoPhase) return [];
  if (slot.twoPhase) {
    return [
      configurationFinding('twoPhase', {
        check: 'slot-two-phase',
        message: `slot ${slot.name} decodes prepared transactions at PREPARE (two_phase), and the stream does not ask for twoPhase`,
      }),
    ];
  }
  return [
    configurationFinding('twoPhase', {
      severity: 'warning',
      check: 'slot-two-phase',
      message: `slot ${slot.name} was created without two_phase: this stream turns it on for good`,
    }),
  ];
}

function judgeStart(slot: SlotInfo, startLsn: bigint): Finding[] {
  const { confirmedFlushLsn } = slot;
  if (startLsn === 0n || confirmedFlushLsn === undefined || startLsn >= confirmedFlushLsn) return [];
  const error = slotGapError(slot.name, startLsn, confirmedFlushLsn);
  return [finding({ check: 'slot-gap', message: error.message }, () => error)];
}
