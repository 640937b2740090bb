import { firstError, judge } from '../catalog/preflight.js';
import { readFacts } from '../catalog/preflight-facts.js';
import { publicationErrorFrom } from '../catalog/publications.js';
import { slotErrorFrom } from '../catalog/slot-errors.js';
import { ensureSlot, type WantedSlot } from '../catalog/slot-lifecycle.js';
import { readPublishedTypes } from '../catalog/type-catalog.js';
import { CopyBoth, type CopyBothHandler } from '../connection/copy-both.js';
import { PgConnection } from '../connection/pg-connection.js';
import { ConnectionError, ServerError, WalStreamError } from '../errors.js';
import type { ResolvedStreamOptions } from '../options.js';
import { startLogicalReplication } from '../protocol/commands.js';
import { checkPgoutputOptions } from '../protocol/pgoutput-options.js';
import type { TypeDescriptor } from '../types/type-descriptor.js';
import { feedbackIntervalMs } from './feedback.js';

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
  /** Where the slot is. */
  readonly confirmedFlushLsn: bigint;
  /** What is not wrong enough to keep the stream from starting. */
  readonly warnings: readonly string[];
  readonly serverVersion: number;
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
): Promise<OpenStream> {
  const timeoutMs = options.livenessTimeoutMs;
  const slot: WantedSlot = { ...options.slot, twoPhase: options.pgoutput.twoPhase };
  const { host, walSenderTimeoutMs, warnings, types } = await check(options, slot, signal);
  receiver.learnTypes(types);
  const connection = await PgConnection.connect(options.connection, { mode: 'logical', signal });
  try {
    if (connection.host !== host) {
      const message = `${host} was checked, and now ${connection.host} answers`;
      throw new ConnectionError(message, { host: connection.host, phase: 'startup' });
    }
    const { serverVersion } = connection;
    const ensured = await ensureSlot(connection, slot, { timeoutMs: options.createSlotTimeoutMs, signal });
    const { startLsn, pgoutput, maxMessageBytes } = options;
    const command = startLogicalReplication({ slot: slot.name, startLsn, pgoutput }, serverVersion);
    return {
      copy: await CopyBoth.start(connection, command, receiver, { timeoutMs, signal, maxMessageBytes }),
      feedbackIntervalMs: feedbackIntervalMs(options.feedbackIntervalMs, walSenderTimeoutMs),
      confirmedFlushLsn: ensured.slot.confirmedFlushLsn ?? 0n,
      warnings,
      serverVersion,
    };
  } catch (error) {
    await connection.close();
    if (!(error instanceof ServerError)) throw error;
    throw publicationErrorFrom(error) ?? slotErrorFrom(error, options.slot.name);
  }
}

interface Checked {
  readonly host: string;
  readonly walSenderTimeoutMs: number;
  readonly warnings: readonly string[];
  readonly types: readonly TypeDescriptor[];
}

async function check(options: ResolvedStreamOptions, slot: WantedSlot, signal: AbortSignal): Promise<Checked> {
  const { startLsn, pgoutput, feedbackIntervalMs, livenessTimeoutMs: timeoutMs } = options;
  await using session = await PgConnection.connect(options.connection, { mode: 'logical', signal });
  checkPgoutputOptions(pgoutput, session.serverVersion);
  const { publications } = pgoutput;
  const facts = await readFacts(session, { slot, publications }, { timeoutMs, signal });
  const findings = judge(facts, {
    slot,
    pgoutput,
    startLsn: startLsn === 0n ? undefined : startLsn,
    feedbackIntervalMs,
  });
  const error = firstError(findings);
  if (error !== undefined) throw error;
  const { walSenderTimeoutMs } = facts.server;
  const warnings = findings.map((finding) => finding.message);
  return {
    host: session.host,
    walSenderTimeoutMs,
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
