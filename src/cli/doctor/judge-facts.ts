import {
  AuthenticationError,
  type CheckName,
  ConfigurationError,
  type Finding,
  type SlotInfo,
  type WalStreamError,
} from '../../index.js';
import { formatServerVersion } from '../../protocol/server-version.js';
import { formatBytes } from '../rate-line.js';
import type { Diagnosis } from './diagnosis.js';
import type { DoctorFacts, DoctorServerFacts } from './doctor-facts.js';

const OLDEST_NODE_MAJOR = 20;
/** The newest that the tests run with. */
const NEWEST_SERVER_MAJOR = 18;
const SLOW_ROUND_TRIP_MS = 100;
const MAX_CLOCK_DIFFERENCE_MS = 1_000;
/** WAL kept for one slot, from which on it is worth a warning. */
const MUCH_WAL_BYTES = 1024n ** 3n;
/** One for the stream, one for when it connects again before the server has noticed that the first is gone. */
const SENDERS_WANTED = 2;

/** Judges facts: no I/O. In the order in which a stream comes upon things. */
export function judgeFacts(facts: DoctorFacts): Diagnosis[] {
  const { server } = facts;
  return [
    judgeNode(facts.nodeVersion),
    judgeServerVersion(server),
    judgeRoundTrip(server),
    judgeClock(server),
    judgeReplicationConnection(facts),
    ...judgeSetUp(facts),
    judgeSenders(server),
    judgeSlotsLeft(facts),
    ...judgePublications(facts),
    ...judgeWantedSlot(facts),
    ...judgeSlots(facts),
  ];
}

/** What there is to say when not even an ordinary connection could be made. */
export function judgeWithoutConnection(nodeVersion: string, error: WalStreamError): Diagnosis[] {
  const { message } = error;
  return [judgeNode(nodeVersion), { status: 'problem', check: 'connection', message, remedy: connectionRemedy(error) }];
}

function connectionRemedy(error: WalStreamError): string {
  if (error instanceof AuthenticationError) return 'look at the role, its password and the lines of pg_hba.conf';
  if (error instanceof ConfigurationError) return `look at ${error.option}`;
  return 'look at host and port, listen_addresses and firewalls, and whether the server runs';
}

function judgeNode(nodeVersion: string): Diagnosis {
  if (Number.parseInt(nodeVersion, 10) >= OLDEST_NODE_MAJOR) return ok('node', `Node.js ${nodeVersion}`);
  return {
    status: 'problem',
    check: 'node',
    message: `Node.js ${nodeVersion} is too old`,
    remedy: `install Node.js ${OLDEST_NODE_MAJOR} or later`,
  };
}

function judgeServerVersion({ serverVersion, host, encrypted, database, role }: DoctorServerFacts): Diagnosis {
  const where = `PostgreSQL ${formatServerVersion(serverVersion)} at ${host}, database ${database}, role ${role}, ${encrypted ? 'encrypted' : 'not encrypted'}`;
  if (serverVersion < (NEWEST_SERVER_MAJOR + 1) * 10_000) return ok('server', where);
  return {
    status: 'warning',
    check: 'server',
    message: `${where}: newer than what this version was tested with (${NEWEST_SERVER_MAJOR})`,
  };
}

function judgeRoundTrip({ roundTripMs }: DoctorServerFacts): Diagnosis {
  const message = `a round trip takes ${roundTripMs.toFixed(1)} ms`;
  if (roundTripMs <= SLOW_ROUND_TRIP_MS) return ok('round-trip', message);
  return {
    status: 'warning',
    check: 'round-trip',
    message: `${message}: changes come that much later, and a slow link may be too slow for a busy server`,
    remedy: 'run the consumer nearer to the server',
  };
}

function judgeClock({ clockAheadMs, roundTripMs }: DoctorServerFacts): Diagnosis {
  if (Math.abs(clockAheadMs) <= MAX_CLOCK_DIFFERENCE_MS + roundTripMs) {
    return ok('clock', `the clocks differ by ${Math.round(Math.abs(clockAheadMs))} ms`);
  }
  const seconds = (Math.abs(clockAheadMs) / 1_000).toFixed(1);
  return {
    status: 'warning',
    check: 'clock',
    message: `the server's clock is ${seconds} s ${clockAheadMs > 0 ? 'ahead of' : 'behind'} this machine's: lag in time is wrong by as much`,
    remedy: 'have both set by NTP',
  };
}

/** What a stream's own start says of the server itself. */
const SET_UP_CHECKS: readonly CheckName[] = ['privilege', 'wal-level', 'standby', 'options'];

function judgeReplicationConnection({ replicationFailure, findings }: DoctorFacts): Diagnosis {
  if (replicationFailure !== undefined) {
    return {
      status: 'problem',
      check: 'replication-connection',
      message: `an ordinary connection works, a replication connection does not: ${replicationFailure}`,
      remedy:
        'a role with REPLICATION, a line for it in pg_hba.conf, no pooler in between, a free one of max_wal_senders',
    };
  }
  const pooler = findings.find(({ check }) => check === 'pooler');
  if (pooler !== undefined) return fromFinding(pooler);
  return ok('replication-connection', 'replication connections come to the server itself');
}

function judgeSetUp({ findings, server }: DoctorFacts): Diagnosis[] {
  const found = findings.filter(({ check }) => SET_UP_CHECKS.includes(check)).map(fromFinding);
  const good = [
    ok('wal-level', `wal_level is ${server.walLevel}`),
    ok('privilege', `role ${server.role} may replicate`),
  ];
  return [...good.filter(({ check }) => !found.some((bad) => bad.check === check)), ...found];
}

function judgeSenders({ maxWalSenders, walSendersInUse }: DoctorServerFacts): Diagnosis {
  const left = maxWalSenders - walSendersInUse;
  const message = `${left} of ${maxWalSenders} max_wal_senders are free`;
  if (left >= SENDERS_WANTED) return ok('wal-senders', message);
  return {
    status: left > 0 ? 'warning' : 'problem',
    check: 'wal-senders',
    message: `${message}; raising it takes a restart`,
    remedy: `ALTER SYSTEM SET max_wal_senders = ${maxWalSenders + 10}`,
  };
}

function judgeSlotsLeft({ server, slots, wantedSlot }: DoctorFacts): Diagnosis {
  const left = server.maxReplicationSlots - slots.length;
  const message = `${left} of ${server.maxReplicationSlots} max_replication_slots are free`;
  if (left > 0) return ok('replication-slots', message);
  const isThere = slots.some(({ name }) => name === wantedSlot);
  return {
    status: isThere ? 'warning' : 'problem',
    check: 'replication-slots',
    message: `${message}; drop one that nobody needs, or raise it, which takes a restart`,
    remedy: `ALTER SYSTEM SET max_replication_slots = ${server.maxReplicationSlots + 10}`,
  };
}

function judgePublications({ publications, findings, server }: DoctorFacts): Diagnosis[] {
  if (publications.length === 0) {
    return [
      {
        status: 'warning',
        check: 'publication-missing',
        message: `database ${server.database} has no publication, and a stream needs one`,
        remedy: 'CREATE PUBLICATION my_publication FOR ALL TABLES',
      },
    ];
  }
  const found = findings.filter(({ check }) => check.startsWith('publication-') || check === 'replica-identity');
  if (found.length > 0) return found.map(fromFinding);
  return [ok('publication', `${publications.join(', ')}: published, and every table has a replica identity`)];
}

function judgeWantedSlot({ findings, wantedSlot }: DoctorFacts): Diagnosis[] {
  if (wantedSlot === undefined) return [];
  const found = findings.filter(({ check }) => check.startsWith('slot-'));
  return found.length > 0 ? found.map(fromFinding) : [ok('slot', `slot ${wantedSlot} can be streamed from`)];
}

/** Every slot of the server counts: whichever keeps WAL, it is the same disk. */
function judgeSlots({ slots, server, wantedSlot }: DoctorFacts): Diagnosis[] {
  const judged = slots.flatMap((slot) => {
    const diagnosis = judgeSlot(slot, server);
    // That the wanted one is invalidated has been said.
    return diagnosis === undefined || (diagnosis.check === 'slot-lost' && slot.name === wantedSlot) ? [] : [diagnosis];
  });
  if (judged.length > 0) return judged;
  return [
    ok('slot-health', slots.length === 0 ? 'there are no slots' : `all slots are in good health: ${slotList(slots)}`),
  ];
}

/** How many there are, and those that nobody reads now. */
function slotList(slots: readonly SlotInfo[]): string {
  const inactive = slots.filter(({ active }) => !active).map(({ name }) => name);
  return `${slots.length}${inactive.length === 0 ? '' : `, of which nobody reads ${inactive.join(', ')}`}`;
}

function judgeSlot(slot: SlotInfo, { maxSlotWalKeepSizeMb }: DoctorServerFacts): Diagnosis | undefined {
  const { name, invalidationReason, walStatus, safeWalSize, active, retainedBytes = 0n } = slot;
  const drop = `SELECT pg_drop_replication_slot('${name}')`;
  if (invalidationReason !== undefined) {
    return {
      status: 'warning',
      check: 'slot-lost',
      message: `slot ${name} is lost (${invalidationReason}): it can only be dropped`,
      remedy: drop,
    };
  }
  const kept = formatBytes(Number(retainedBytes));
  if (walStatus === 'unreserved') {
    return {
      status: 'warning',
      check: 'slot-danger',
      message: `slot ${name} keeps ${kept} of WAL, more than max_slot_wal_keep_size: it is lost at the next checkpoint unless its consumer comes along`,
      remedy: `ALTER SYSTEM SET max_slot_wal_keep_size = '${maxSlotWalKeepSizeMb * 2}MB'`,
    };
  }
  if (retainedBytes < MUCH_WAL_BYTES) return undefined;
  const bound =
    safeWalSize === undefined
      ? 'and will until the disk is full (max_slot_wal_keep_size is -1)'
      : `and is lost after ${formatBytes(Number(safeWalSize))} more`;
  if (active) {
    return {
      status: 'warning',
      check: 'slot-behind',
      message: `slot ${name} keeps ${kept} of WAL although it is read, ${bound}`,
      remedy: 'look at its consumer, which is slow or acknowledges nothing, and for transactions that stay open',
    };
  }
  return {
    status: 'warning',
    check: 'slot-inactive',
    message: `slot ${name} keeps ${kept} of WAL for nobody${since(slot)}, ${bound}: start its consumer, or drop it`,
    remedy: drop,
  };
}

function since({ inactiveSince }: SlotInfo): string {
  return inactiveSince === undefined ? '' : ` since ${inactiveSince.toISOString()}`;
}

function fromFinding({ severity, check, message, remedy }: Pick<Finding, 'severity' | 'check' | 'message' | 'remedy'>) {
  const status = severity === 'error' ? 'problem' : 'warning';
  return { status, check, message, ...(remedy !== undefined && { remedy }) } satisfies Diagnosis;
}

function ok(check: string, message: string): Diagnosis {
  return { status: 'ok', check, message };
}
