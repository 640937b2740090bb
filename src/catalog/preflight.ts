import { list, plainObject, refuseUnknown, text } from '../errors/option-checks.js';
import { ConfigurationError } from '../errors.js';
import { checkLsn } from '../lsn.js';
import { checkPgoutputOptions, type PgoutputOptions } from '../protocol/pgoutput-options.js';
import { quoteIdentifier } from '../protocol/quoting.js';
import { configurationFinding, type Finding, finding } from './finding.js';
import { judgeServer } from './judge-server.js';
import { judgeSlot } from './judge-slot.js';
import { type PreflightFacts, readFacts, type UnidentifiedTable } from './preflight-facts.js';
import { quoteTable } from './publication-statements.js';
import type { WantedSlot } from './slot-lifecycle.js';
import type { QueryOptions, SqlSession } from './sql-session.js';

/** What a stream is going to ask for. Without a slot or without pgoutput's options, what concerns them is not judged. */
export interface PreflightRequest {
  /** The slot, and whether the stream would create it. */
  readonly slot?: WantedSlot;
  /** What the stream asks of pgoutput: version, publications and what else the server must have. */
  readonly pgoutput?: PgoutputOptions;
  /** Where the stream would start; behind what the slot was confirmed to is a gap. */
  readonly startLsn?: bigint;
  /** Compared with wal_sender_timeout. */
  readonly feedbackIntervalMs?: number;
}

/**
 * What keeps a stream from working on this server, errors first, each with the statement that mends it.
 *
 * The session must be a replication connection like the one that is going to stream, and not that one: a walsender
 * keeps what its queries loaded of the catalog, and would decode older changes with the tables' present columns. Close
 * it, and stream over another, as `WalStream` does.
 *
 * @see https://www.postgresql.org/docs/current/logical-replication-config.html
 */
export async function preflight(
  session: SqlSession,
  request: PreflightRequest,
  options?: QueryOptions,
): Promise<Finding[]> {
  checkRequest(request);
  const publications = request.pgoutput?.publications ?? [];
  return judge(await readFacts(session, { slot: request.slot, publications }, options), request);
}

const KNOWN_OF_REQUEST = new Set(['slot', 'pgoutput', 'startLsn', 'feedbackIntervalMs']);

function checkRequest(request: PreflightRequest): void {
  refuseUnknown(plainObject(request, 'request'), KNOWN_OF_REQUEST, '');
  const { slot, pgoutput, startLsn } = request;
  if (slot !== undefined) text(plainObject(slot, 'slot', 'an object with a name').name, 'slot.name');
  if (pgoutput !== undefined) {
    const { publications } = plainObject(pgoutput, 'pgoutput', "an object of pgoutput's options");
    list(publications, 'pgoutput.publications', 'a list of names', text);
  }
  if (startLsn !== undefined) checkLsn(startLsn, 'startLsn');
}

/** The first error among findings, as what a stream throws. */
export function firstError(findings: readonly Finding[]): Error | undefined {
  return findings.find((one) => one.severity === 'error')?.error();
}

/** Judges facts: no I/O. Errors come before warnings; among them what explains the others comes first. */
export function judge(facts: PreflightFacts, request: PreflightRequest): Finding[] {
  const findings = [
    ...judgeOptions(request.pgoutput, facts.server.serverVersion),
    ...judgeServer(facts.server),
    ...judgePublications(facts, request.pgoutput?.publications ?? []),
    ...judgeWantedSlot(facts, request),
    ...judgeReplicaIdentity(facts),
    ...judgeFeedback(facts.server.walSenderTimeoutMs, request.feedbackIntervalMs),
  ];
  return [
    ...findings.filter((one) => one.severity === 'error'),
    ...findings.filter((one) => one.severity === 'warning'),
  ];
}

function judgeOptions(pgoutput: PgoutputOptions | undefined, serverVersion: number): Finding[] {
  if (pgoutput === undefined) return [];
  try {
    checkPgoutputOptions(pgoutput, serverVersion);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return [finding({ check: 'options', message: error.message }, () => error)];
  }
}

function judgePublications(facts: PreflightFacts, wanted: readonly string[]): Finding[] {
  const empty = facts.publications.filter(({ name, tableCount }) => wanted.includes(name) && tableCount === 0);
  return [
    ...judgeMissingPublications(facts, wanted),
    ...empty.map(({ name }) =>
      configurationFinding('publications', {
        severity: 'warning',
        check: 'publication-empty',
        message: `publication ${JSON.stringify(name)} publishes no table: nothing but messages would come`,
        remedy: `ALTER PUBLICATION ${quoteIdentifier(name, 'publications')} ADD TABLE ...`,
      }),
    ),
  ];
}

/** One finding for all of them: a stream throws the first error alone. */
function judgeMissingPublications(facts: PreflightFacts, wanted: readonly string[]): Finding[] {
  const missing = [...new Set(wanted)].filter((name) => facts.publications.every((one) => one.name !== name));
  if (missing.length === 0) return [];
  const [subject, verb] = missing.length === 1 ? ['publication', 'does'] : ['publications', 'do'];
  const names = missing.map((name) => JSON.stringify(name)).join(', ');
  const create = (name: string) => `CREATE PUBLICATION ${quoteIdentifier(name, 'publications')} FOR ALL TABLES`;
  return [
    configurationFinding('publications', {
      check: 'publication-missing',
      message: `${subject} ${names} ${verb} not exist in database ${JSON.stringify(facts.server.database)}; FOR TABLE instead of FOR ALL TABLES publishes some`,
      remedy: missing.map(create).join('; '),
    }),
  ];
}

function judgeWantedSlot(facts: PreflightFacts, request: PreflightRequest): Finding[] {
  if (request.slot === undefined) return [];
  const twoPhase = request.pgoutput?.twoPhase ?? request.slot.twoPhase;
  return judgeSlot(facts.slot, request.slot, { twoPhase, startLsn: request.startLsn }, facts.server);
}

const WHY_UNIDENTIFIED: Readonly<Record<UnidentifiedTable['replicaIdentity'], string>> = {
  default: 'no primary key',
  nothing: 'REPLICA IDENTITY NOTHING',
  index: 'lost the index of its replica identity',
};

/** The stream itself works; it is the application's UPDATE and DELETE that the server refuses. */
function judgeReplicaIdentity(facts: PreflightFacts): Finding[] {
  const findings = facts.unidentifiedTables.map(({ schema, table, replicaIdentity }) => {
    const name = quoteTable(schema, table, 'publications');
    return configurationFinding('publications', {
      severity: 'warning',
      check: 'replica-identity',
      message: `table ${name} has ${WHY_UNIDENTIFIED[replicaIdentity]}: while it is published, the server refuses its UPDATE and DELETE; a primary key mends that too`,
      remedy: `ALTER TABLE ${name} REPLICA IDENTITY FULL`,
    });
  });
  const unnamed = facts.unidentifiedTableCount - findings.length;
  if (unnamed > 0) {
    findings.push(
      configurationFinding('publications', {
        severity: 'warning',
        check: 'replica-identity',
        message: `${unnamed} more published tables have no usable replica identity`,
      }),
    );
  }
  return findings;
}

/** The server asks for a sign of life at half its timeout and hangs up at the end of it. */
function judgeFeedback(walSenderTimeoutMs: number, feedbackIntervalMs: number | undefined): Finding[] {
  if (feedbackIntervalMs === undefined || walSenderTimeoutMs === 0) return [];
  if (feedbackIntervalMs * 2 <= walSenderTimeoutMs) return [];
  return [
    configurationFinding('feedbackIntervalMs', {
      severity: 'warning',
      check: 'wal-sender-timeout',
      message: `feedbackIntervalMs ${feedbackIntervalMs} is more than half of the server's wal_sender_timeout (${walSenderTimeoutMs} ms): a delay could end the connection`,
    }),
  ];
}
