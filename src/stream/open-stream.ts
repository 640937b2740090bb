import { findingText } from '../catalog/finding.js';
import { firstError, judge } from '../catalog/preflight.js';
import { readFacts } from '../catalog/preflight-facts.js';
import { publicationErrorFrom } from '../catalog/publications.js';
import { newSlotGapError, slotDroppedError, slotErrorFrom, slotGapError } from '../catalog/slot-errors.js';
import { ensureSlot, type WantedSlot } from '../catalog/slot-lifecycle.js';
import { readPublishedTypes } from '../catalog/type-catalog.js';
import { CopyBoth, type CopyBothHandler } from '../connection/copy-both.js';
import { PgConnection } from '../connection/pg-connection.js';
import type { SystemIdentity } from '../connection/system-identity.js';
import { ConnectionError, ServerError, SlotError, WalStreamError } from '../errors.js';
import { Lsn } from '../lsn.js';
import type { ResolvedStreamOptions } from '../options.js';
import { startLogicalReplication } from '../protocol/commands.js';
import { checkPgoutputOptions } from '../protocol/pgoutput-options.js';
import type { TypeDescriptor } from '../types/type-descriptor.js';
import { feedbackIntervalMs } from './feedback.js';
import { judgeResume, type ResumePoint, resumeLsn } from './resume-point.js';

/** What takes a stream from its first byte on. */
export interface StreamReceiver extends CopyBothHandler {
  /** Types of the published tables, which are about to come. */
  learnTypes(types: readonly TypeDescriptor[]): void;
}

const TYPES_TIMEOUT_MS = 5_000;

/** A stream that the server has begun to send. */
export interface OpenStream {
  readonly copy: CopyBoth;
  readonly feedbackIntervalMs: number;
  /** 0: none. */
  readonly walSenderTimeoutMs: number;
  /** Where the slot is. */
  readonly confirmedFlushLsn: bigint;
  /** What is not wrong enough to keep the stream from starting, with the statements that mend it. */
  readonly warnings: readonly string[];
  readonly serverVersion: number;
  /** Of the cluster; the same on its standbys. */
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** Whether the slot was created for it, and whether it goes with the connection. */
  readonly slotCreated: boolean;
  readonly temporary: boolean;
}

/**
 * Connects, checks, creates the slot when that is asked for, and has the server start.
 *
 * What is checked is checked in a session of its own: a walsender keeps what its queries loaded of the catalog, and would
 * decode older changes with the tables' and publications' present form instead of the one that they had then.
 */
export async function openStream(
  options: ResolvedStreamOptions,
  receiver: StreamReceiver,
  signal: AbortSignal,
  resume?: ResumePoint,
): Promise<OpenStream> {
  const timeoutMs = options.livenessTimeoutMs;
  const slot = wantedSlot(options, resume);
  const startLsn = startLsnOf(options, resume?.lsn ?? 0n);
  const checked = await check(options, slot, { startLsn, resume }, signal);
  const { host, walSenderTimeoutMs, warnings } = checked;
  receiver.learnTypes(checked.types);
  const connection = await PgConnection.connect(options.connection, { mode: 'logical', signal });
  try {
    if (connection.host !== host) {
      const message = `${host} was checked, and now ${connection.host} answers`;
      throw new ConnectionError(message, { host: connection.host, phase: 'startup' });
    }
    const { serverVersion } = connection;
    const system = await connection.identifySystem({ timeoutMs, signal });
    const goOnLsn =
      resume === undefined
        ? 0n
        : await checkSystem(connection, system, checked.inRecovery, resume, { slotName: slot.name, timeoutMs, signal });
    if (!checked.slotExists && startLsn !== 0n && startLsn < system.xLogPos) {
      throw newSlotGapError(slot.name, startLsn);
    }
    const ensured = await ensureSlot(connection, slot, { timeoutMs: options.createSlotTimeoutMs, signal });
    const { pgoutput, maxMessageBytes } = options;
    const fromLsn = startLsnOf(options, goOnLsn);
    // Checked before, but for a position that was further then; the server would go on from its own in silence.
    const { confirmedFlushLsn = 0n } = ensured.slot;
    const hasStart = resume !== undefined || fromLsn !== 0n;
    if (hasStart && confirmedFlushLsn > fromLsn) throw slotGapError(slot.name, fromLsn, confirmedFlushLsn);
    const command = startLogicalReplication({ slot: slot.name, startLsn: fromLsn, pgoutput }, serverVersion);
    return {
      copy: await CopyBoth.start(connection, command, receiver, { timeoutMs, signal, maxMessageBytes }),
      feedbackIntervalMs: feedbackIntervalMs(options.feedbackIntervalMs, walSenderTimeoutMs),
      walSenderTimeoutMs,
      confirmedFlushLsn,
      warnings,
      serverVersion,
      systemIdentifier: system.systemId,
      timeline: system.timeline,
      slotCreated: ensured.created,
      temporary: slot.temporary,
    };
  } catch (error) {
    await connection.close();
    if (!(error instanceof ServerError)) throw error;
    throw publicationErrorFrom(error) ?? slotErrorFrom(error, options.slot.name);
  }
}

/** A slot is created at the first start only: one that is made anew begins after a gap. */
function wantedSlot({ slot, pgoutput }: ResolvedStreamOptions, resume: ResumePoint | undefined): WantedSlot {
  if (resume === undefined) return { ...slot, twoPhase: pgoutput.twoPhase };
  if (slot.temporary) {
    throw new SlotError(
      `slot ${slot.name} was temporary and went with its connection: what was committed after ${Lsn.format(resume.lsn)} is lost to this stream`,
      { slotName: slot.name, reason: 'gap' },
    );
  }
  return { ...slot, create: 'never', twoPhase: pgoutput.twoPhase };
}

/** A stream that is lost before it got on still begins where it was told to. */
function startLsnOf({ startLsn }: ResolvedStreamOptions, goOnLsn: bigint): bigint {
  return goOnLsn > startLsn ? goOnLsn : startLsn;
}

/** Where to go on, when this is where the stream was; SlotError when it is not. */
async function checkSystem(
  connection: PgConnection,
  { systemId: systemIdentifier, timeline, xLogPos: walEnd }: SystemIdentity,
  inRecovery: boolean,
  resume: ResumePoint,
  { slotName, ...options }: { slotName: string; timeoutMs: number; signal: AbortSignal },
): Promise<bigint> {
  const isPromoted = systemIdentifier === resume.systemIdentifier && timeline !== resume.timeline;
  const history = isPromoted ? await connection.timelineHistory(timeline, options) : [];
  const found = { systemIdentifier, timeline, walEnd, inRecovery, history };
  const error = judgeResume(resume, found, slotName);
  if (error !== undefined) throw error;
  return resumeLsn(resume, found);
}

interface Checked {
  readonly host: string;
  readonly walSenderTimeoutMs: number;
  readonly warnings: readonly string[];
  readonly types: readonly TypeDescriptor[];
  readonly inRecovery: boolean;
  readonly slotExists: boolean;
}

async function check(
  options: ResolvedStreamOptions,
  slot: WantedSlot,
  { startLsn, resume }: { readonly startLsn: bigint; readonly resume: ResumePoint | undefined },
  signal: AbortSignal,
): Promise<Checked> {
  const { pgoutput, feedbackIntervalMs, livenessTimeoutMs: timeoutMs } = options;
  await using session = await PgConnection.connect(options.connection, { mode: 'logical', signal });
  checkPgoutputOptions(pgoutput, session.serverVersion);
  const { publications } = pgoutput;
  const facts = await readFacts(session, { slot, publications }, { timeoutMs, signal });
  if (facts.slot === undefined && resume !== undefined) throw slotDroppedError(slot.name, resume.lsn);
  const findings = judge(facts, {
    slot,
    pgoutput,
    startLsn: startLsn === 0n ? undefined : startLsn,
    feedbackIntervalMs,
  });
  const error = firstError(findings);
  if (error !== undefined) throw error;
  const { walSenderTimeoutMs, inRecovery } = facts.server;
  const warnings = findings.map(findingText);
  return {
    host: session.host,
    walSenderTimeoutMs,
    inRecovery,
    slotExists: facts.slot !== undefined,
    warnings,
    types: await publishedTypes(session, publications, signal),
  };
}

/** A head start only: what is not learned here is asked when a relation with such a type is described. */
async function publishedTypes(
  session: PgConnection,
  publications: readonly string[],
  signal: AbortSignal,
): Promise<TypeDescriptor[]> {
  try {
    return await readPublishedTypes(session, publications, { timeoutMs: TYPES_TIMEOUT_MS, signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof WalStreamError) return [];
    throw error;
  }
}
