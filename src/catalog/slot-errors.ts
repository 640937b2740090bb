import { ConfigurationError, ServerError, SlotError } from '../errors.js';
import { Lsn } from '../lsn.js';

const HOLDER_PID = /PID\D{0,3}(\d+)/;
const INVALIDATED = /can no longer (get changes from|access) replication slot|has been invalidated/i;
const CANNOT_ADVANCE = /cannot advance replication slot/i;
const UNFIT =
  /was not created in this database|cannot use physical replication slot|cannot use replication slot|cannot be used while in recovery/i;
const ABOUT_A_PUBLICATION = /^publication /i;

/**
 * What an error of the server means for the slot that a command named: START_REPLICATION, creating, dropping or
 * advancing it. Anything else comes back as it is, so that callers can `throw slotErrorFrom(error, name)`.
 *
 * SQLSTATEs decide. Those that stand for several things are told apart by the server's English words, and are left
 * alone where it speaks another language.
 *
 * @see https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export function slotErrorFrom(error: unknown, slotName: string): unknown {
  if (!(error instanceof ServerError)) return error;
  switch (error.sqlState) {
    case '55006':
      return slotInUseError(slotName, holderPid(error.message), error);
    case '42704':
      return ABOUT_A_PUBLICATION.test(error.message) ? error : slotMissingError(slotName, error);
    case '55000':
      return notInPrerequisiteState(error, slotName);
    case '58P01':
      return new SlotError(`slot ${slotName}: the WAL asked for is no longer on the server`, {
        slotName,
        reason: 'gap',
        cause: error,
      });
    case '42710':
      return new ConfigurationError(`slot ${slotName} exists already`, { option: 'slot.name', cause: error });
    case '53400':
      return new ConfigurationError(
        `slot ${slotName} cannot be created: all max_replication_slots are in use; drop one that nobody needs, or raise it`,
        { option: 'slot.create', cause: error },
      );
    default:
      return error;
  }
}

function notInPrerequisiteState(error: ServerError, slotName: string): unknown {
  if (INVALIDATED.test(error.message) || INVALIDATED.test(error.detail ?? '')) {
    return slotInvalidatedError(slotName, error.detail, error);
  }
  if (CANNOT_ADVANCE.test(error.message)) {
    return new SlotError(`slot ${slotName} is past that position and does not go back`, {
      slotName,
      reason: 'gap',
      cause: error,
    });
  }
  if (error.message.includes('wal_level')) {
    return new ConfigurationError('wal_level of the server is too low for logical replication, which needs logical', {
      option: 'connection',
      cause: error,
    });
  }
  if (UNFIT.test(error.message)) {
    return new ConfigurationError(`slot ${slotName} cannot be used here: ${error.message}`, {
      option: 'slot.name',
      cause: error,
    });
  }
  return error;
}

/** The PID in `replication slot "s" is active for PID 123`. */
function holderPid(message: string): number | undefined {
  const match = HOLDER_PID.exec(message);
  return match === null ? undefined : Number(match[1]);
}

export function slotInUseError(slotName: string, pid: number | undefined, cause?: unknown): SlotError {
  const holder = pid === undefined ? 'another connection' : `another connection, server process (PID) ${pid}`;
  return new SlotError(`slot ${slotName} is in use by ${holder}`, { slotName, reason: 'in-use', cause });
}

export function slotMissingError(slotName: string, cause?: unknown): SlotError {
  return new SlotError(`slot ${slotName} does not exist`, { slotName, reason: 'missing', cause });
}

/** @param why the server's reason: a phrase such as `wal_removed`, or its DETAIL sentence */
export function slotInvalidatedError(slotName: string, why: string | undefined, cause?: unknown): SlotError {
  const reason = why === undefined ? '' : ` (${why.replace(/\.$/, '')})`;
  return new SlotError(
    `slot ${slotName} was invalidated by the server${reason}: its changes are lost; drop it, create it again and copy the data anew`,
    { slotName, reason: 'invalidated', cause },
  );
}

/** A new slot begins now: what lies between is lost. */
export function newSlotGapError(slotName: string, startLsn: bigint): SlotError {
  return new SlotError(
    `slot ${slotName} does not exist, and a new one cannot begin at ${Lsn.format(startLsn)}: what was committed after that is lost to it. Read the tables once, then start without startLsn`,
    { slotName, reason: 'gap' },
  );
}

/** While it was streamed. A new slot would hide that changes are missing. */
export function slotDroppedError(slotName: string, lsn: bigint): SlotError {
  return new SlotError(
    `slot ${slotName} was dropped while it was streamed: what was committed after ${Lsn.format(lsn)} is lost to this stream. Read the tables once, then stream a new slot`,
    { slotName, reason: 'missing' },
  );
}

/** The server would go on from its own position without a word: what lies between is lost. */
export function slotGapError(slotName: string, startLsn: bigint, confirmedFlushLsn: bigint): SlotError {
  return new SlotError(
    `slot ${slotName} cannot go back to ${Lsn.format(startLsn)}: it has been confirmed up to ${Lsn.format(confirmedFlushLsn)}`,
    { slotName, reason: 'gap' },
  );
}
