import { ConfigurationError } from '../errors.js';
import { Lsn } from '../lsn.js';
import { checkPgoutputOptions, type PgoutputOptions, protoVersionFor } from './pgoutput-options.js';
import { quoteIdentifier, quoteReplicationLiteral, quoteSlotName } from './quoting.js';

const MAX_LSN = 0xffff_ffff_ffff_ffffn;
const MAX_TIMELINE = 0xffff_ffff;

export interface StartLogicalReplication {
  readonly slot: string;
  /** 0/0: from the slot's confirmed_flush_lsn. Behind it, the server goes on from its own position without a word. */
  readonly startLsn: bigint;
  readonly pgoutput: PgoutputOptions;
}

/**
 * `START_REPLICATION SLOT "s" LOGICAL X/Y ("proto_version" '1', "publication_names" '"p","q"', ...)`. Options that
 * have pgoutput's default value are left out: older servers do not know them.
 *
 * @throws ConfigurationError for a name, position or option that this server would not take
 * @see https://www.postgresql.org/docs/current/protocol-replication.html
 */
export function startLogicalReplication(request: StartLogicalReplication, serverVersion: number): string {
  checkPgoutputOptions(request.pgoutput, serverVersion);
  const slot = quoteSlotName(request.slot, 'slot.name');
  const startLsn = formatPosition(request.startLsn, 'startLsn');
  const options = pgoutputArguments(request.pgoutput, serverVersion).map(([name, value]) => {
    return `"${name}" ${quoteReplicationLiteral(value, name)}`;
  });
  return `START_REPLICATION SLOT ${slot} LOGICAL ${startLsn} (${options.join(', ')})`;
}

function pgoutputArguments(
  options: PgoutputOptions,
  serverVersion: number,
): (readonly [name: string, value: string])[] {
  const given: (readonly [string, string])[] = [
    ['proto_version', String(protoVersionFor(options, serverVersion))],
    ['publication_names', publicationNames(options.publications)],
  ];
  if (options.binary) given.push(['binary', 'true']);
  if (options.messages) given.push(['messages', 'true']);
  if (options.streaming !== 'off') given.push(['streaming', options.streaming]);
  if (options.twoPhase) given.push(['two_phase', 'on']);
  if (options.origin !== 'any') given.push(['origin', options.origin]);
  return given;
}

/** One string that pgoutput splits as a list of identifiers, so each is quoted by itself. */
function publicationNames(publications: readonly string[]): string {
  return publications.map((name) => quoteIdentifier(name, 'publications')).join(',');
}

export interface StartPhysicalReplication {
  readonly slot?: string;
  readonly startLsn: bigint;
  readonly timeline?: number;
}

/**
 * `START_REPLICATION [SLOT "s"] PHYSICAL X/Y [TIMELINE n]`
 *
 * @see https://www.postgresql.org/docs/current/protocol-replication.html
 */
export function startPhysicalReplication(request: StartPhysicalReplication): string {
  const slot = request.slot === undefined ? '' : `SLOT ${quoteSlotName(request.slot, 'slot.name')} `;
  const timeline = request.timeline === undefined ? '' : ` TIMELINE ${formatTimeline(request.timeline)}`;
  return `START_REPLICATION ${slot}PHYSICAL ${formatPosition(request.startLsn, 'startLsn')}${timeline}`;
}

/** `TIMELINE_HISTORY n`: one row with the file's name and its content. Timeline 1 has no history file. */
export function timelineHistory(timeline: number): string {
  return `TIMELINE_HISTORY ${formatTimeline(timeline)}`;
}

function formatPosition(lsn: bigint, option: string): string {
  if (lsn < 0n || lsn > MAX_LSN) throw new ConfigurationError(`${option} ${lsn} is no 64-bit position`, { option });
  return Lsn.format(lsn);
}

function formatTimeline(timeline: number): string {
  if (!Number.isInteger(timeline) || timeline < 1 || timeline > MAX_TIMELINE) {
    throw new ConfigurationError(`timeline ${timeline} is not between 1 and ${MAX_TIMELINE}`, { option: 'timeline' });
  }
  return String(timeline);
}
