import { firstError, judge } from '../catalog/preflight.js';
import { readFacts } from '../catalog/preflight-facts.js';
import { publicationErrorFrom } from '../catalog/publications.js';
import { slotErrorFrom } from '../catalog/slot-errors.js';
import { ensureSlot, type WantedSlot } from '../catalog/slot-lifecycle.js';
import { CopyBoth, type CopyBothHandler } from '../connection/copy-both.js';
import { PgConnection } from '../connection/pg-connection.js';
import { ServerError } from '../errors.js';
import type { ResolvedStreamOptions } from '../options.js';
import { startLogicalReplication } from '../protocol/commands.js';
import { checkPgoutputOptions } from '../protocol/pgoutput-options.js';
import { feedbackIntervalMs } from './feedback.js';

/** A stream that the server has begun to send. */
export interface OpenStream {
  readonly copy: CopyBoth;
  readonly feedbackIntervalMs: number;
  /** What is not wrong enough to keep the stream from starting. */
  readonly warnings: readonly string[];
  readonly serverVersion: number;
}

/** Connects, checks, creates the slot when that is asked for, and has the server start. */
export async function openStream(
  options: ResolvedStreamOptions,
  handler: CopyBothHandler,
  signal: AbortSignal,
): Promise<OpenStream> {
  const timeoutMs = options.livenessTimeoutMs;
  const connection = await PgConnection.connect(options.connection, { mode: 'logical', signal });
  try {
    const { serverVersion } = connection;
    checkPgoutputOptions(options.pgoutput, serverVersion);
    const slot: WantedSlot = { ...options.slot, twoPhase: options.pgoutput.twoPhase };
    const { publications } = options.pgoutput;
    const facts = await readFacts(connection, { slot, publications }, { timeoutMs, signal });
    const { startLsn, pgoutput } = options;
    const findings = judge(facts, {
      slot,
      pgoutput,
      startLsn: startLsn === 0n ? undefined : startLsn,
      feedbackIntervalMs: options.feedbackIntervalMs,
    });
    const error = firstError(findings);
    if (error !== undefined) throw error;
    await ensureSlot(connection, slot, { timeoutMs: options.createSlotTimeoutMs, signal });
    const command = startLogicalReplication({ slot: slot.name, startLsn, pgoutput }, serverVersion);
    return {
      copy: await CopyBoth.start(connection, command, handler, {
        timeoutMs,
        signal,
        maxMessageBytes: options.maxMessageBytes,
      }),
      feedbackIntervalMs: feedbackIntervalMs(options.feedbackIntervalMs, facts.server.walSenderTimeoutMs ?? 0),
      warnings: findings.map((finding) => finding.message),
      serverVersion,
    };
  } catch (error) {
    await connection.close();
    if (!(error instanceof ServerError)) throw error;
    throw publicationErrorFrom(error) ?? slotErrorFrom(error, options.slot.name);
  }
}
