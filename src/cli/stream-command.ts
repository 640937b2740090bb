import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  type ConnectionLost,
  type ConnectionResumed,
  Lsn,
  SlotError,
  WalStream,
  type WalStreamStats,
} from '../index.js';
import { EventPrinter, type OutputFormat } from './event-printer.js';
import { onOneLine } from './failure-line.js';
import { LiveLine } from './live-line.js';
import { Output, OutputClosedError } from './output.js';
import { paletteFor } from './palette.js';
import { formatBytes, formatCount, formatShare, RateSampler, type Rates, rateLine } from './rate-line.js';
import { recordStream } from './record-stream.js';
import { StopSignals } from './stop-signals.js';
import type { TableName } from './table-name.js';
import { TransactionPrinter, type Write } from './transaction-printer.js';
import { unpublishedTables } from './unpublished-tables.js';

/** Flags of `stream`, as commander names them. */
export interface StreamFlags {
  readonly dsn?: string;
  readonly slot: string;
  readonly publication: readonly string[];
  readonly createSlot?: boolean;
  readonly temporary?: boolean;
  readonly startLsn?: bigint;
  readonly stopLsn?: bigint;
  readonly maxEvents?: number;
  readonly rate?: boolean;
  readonly streaming?: 'on' | 'parallel';
  readonly twoPhase?: boolean;
  readonly protoVersion?: 1 | 2 | 3 | 4;
  readonly format: OutputFormat;
  readonly transactions?: boolean;
  readonly table?: readonly TableName[];
  readonly stats?: boolean;
  /** File that gets the messages as they came, instead of stdout the events. */
  readonly record?: string;
}

/** With the time that the server is given to end the COPY, a busy stream has ended in less than 5 s. */
const STOP_TIMEOUT_MS = 2_000;
const RATE_INTERVAL_MS = 1_000;

/** Prints a stream until it ends, a signal stops it, or nobody reads any more. */
export async function streamCommand(flags: StreamFlags): Promise<void> {
  const abort = new AbortController();
  const stream = new WalStream({
    ...(flags.dsn !== undefined && { connection: flags.dsn }),
    slot: {
      name: flags.slot,
      // A temporary slot cannot be there yet.
      create: flags.createSlot || flags.temporary ? 'if-missing' : 'never',
      temporary: flags.temporary ?? false,
    },
    publications: flags.publication,
    messages: true,
    // What was printed is acknowledged, and only once the system has taken it.
    ack: 'manual',
    ...(flags.startLsn !== undefined && { startLsn: flags.startLsn }),
    ...(flags.streaming !== undefined && { streaming: flags.streaming }),
    ...(flags.twoPhase !== undefined && { twoPhase: flags.twoPhase }),
    ...(flags.protoVersion !== undefined && { protoVersion: flags.protoVersion }),
    ...(flags.stopLsn !== undefined && { stopLsn: flags.stopLsn }),
    signal: abort.signal,
  });
  using signals = new StopSignals();
  const live = new LiveLine(process.stderr);
  using _notes = noteConnections(live);
  signals.atOnce.addEventListener('abort', () => abort.abort());
  const onRequest = () => abort.abort();
  signals.requested.addEventListener('abort', onRequest);
  try {
    await start(stream);
    for (const warning of [...stream.warnings, ...(await tableWarnings(flags))]) {
      process.stderr.write(`pg-walstream: warning: ${onOneLine(warning)}\n`);
    }
    signals.requested.removeEventListener('abort', onRequest);
    await consume(stream, flags, live, async (stop) => {
      const { record, dsn, slot, publication } = flags;
      if (record === undefined) {
        await printStream(stream, flags, live, signals, stop);
        return;
      }
      using _ = whenRequested(signals, stop);
      try {
        await recordStream(stream, { path: record, dsn, slot, publications: publication });
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
        throw new Error(`--record: ${record} exists already, and is not overwritten`, { cause });
      }
    });
  } catch (error) {
    if (!abort.signal.aborted) throw error;
  }
  // What a reader does not read would keep the process running.
  if (signals.atOnce.aborted) process.exit(0);
}

/** A slot that is missing is told in the command line's own terms. */
async function start(stream: WalStream): Promise<void> {
  try {
    await stream.start();
  } catch (cause) {
    if (!(cause instanceof SlotError) || cause.reason !== 'missing') throw cause;
    const { slotName } = cause;
    throw new SlotError(`slot ${slotName} does not exist; --create-slot creates it, for what happens from then on`, {
      slotName,
      reason: 'missing',
      cause,
    });
  }
}

/** A table that is not published, or misspelt, would be waited for in silence. */
async function tableWarnings({ dsn, publication, table = [] }: StreamFlags): Promise<string[]> {
  if (table.length === 0) return [];
  try {
    const unpublished = await unpublishedTables(dsn, publication, table);
    return unpublished.map((one) => `--table ${one.schema}.${one.table}: no publication of the stream has it now`);
  } catch {
    // The stream itself has what it needs.
    return [];
  }
}

/** Runs until the stream has ended, and shows meanwhile and at the end what is asked for. */
async function consume(
  stream: WalStream,
  flags: StreamFlags,
  live: LiveLine,
  consumer: (stop: () => void) => Promise<void>,
): Promise<void> {
  const rates = new RateSampler(() => stream.stats());
  const showRates = () => {
    if (live.isDue()) live.show(rateLine(rates.next()));
  };
  const timer = flags.rate ? setInterval(showRates, RATE_INTERVAL_MS) : undefined;
  try {
    // Should stopping fail, the loop does too and says why.
    await consumer(() => void stream.stop({ drain: 'transaction', timeoutMs: STOP_TIMEOUT_MS }).catch(() => {}));
  } catch (error) {
    if (!(error instanceof OutputClosedError)) throw error;
  } finally {
    clearInterval(timer);
    const overall = rates.overall();
    await stream.stop({ drain: 'none' });
    live.end();
    if (flags.stats) process.stderr.write(summary(stream.stats(), overall));
  }
}

async function printStream(
  stream: WalStream,
  flags: StreamFlags,
  live: LiveLine,
  signals: StopSignals,
  stop: () => void,
): Promise<void> {
  const output = new Output(process.stdout);
  const options = {
    format: flags.format,
    tables: flags.table ?? [],
    maxEvents: flags.maxEvents ?? Number.POSITIVE_INFINITY,
    palette: paletteFor(process.stdout),
  };
  const write = (text: string) => {
    // On a terminal the rates would have the text behind them; they come again.
    if (process.stdout.isTTY) live.end('clear');
    return output.write(text, signals.atOnce);
  };
  if (flags.transactions) await printTransactions(stream, new TransactionPrinter(options), write, stop, signals);
  else await printEvents(stream, new EventPrinter(options), write, stop, signals);
}

async function printEvents(
  stream: WalStream,
  printer: EventPrinter,
  write: Write,
  stop: () => void,
  signals: StopSignals,
): Promise<void> {
  using _ = whenRequested(signals, stop);
  for await (const batch of stream.batches()) {
    const { text, acknowledge, full } = printer.print(batch);
    if (text !== '') await write(text);
    for (const unit of acknowledge) stream.ack(unit);
    if (full) break;
  }
}

/** A transaction that is being written is written to its end: stopping the stream would take it off the disk. */
async function printTransactions(
  stream: WalStream,
  printer: TransactionPrinter,
  write: Write,
  stop: () => void,
  signals: StopSignals,
): Promise<void> {
  let writing = false;
  using _ = whenRequested(signals, () => {
    if (!writing) stop();
  });
  for await (const item of stream.transactions()) {
    writing = true;
    await printer.print(item, write);
    stream.ack(item);
    writing = false;
    if (printer.full || signals.requested.aborted) break;
  }
}

/** Calls `stop` when a signal asks for it, or has asked already. */
function whenRequested({ requested }: StopSignals, stop: () => void): Disposable {
  requested.addEventListener('abort', stop);
  if (requested.aborted) stop();
  return { [Symbol.dispose]: () => requested.removeEventListener('abort', stop) };
}

/** Says on stderr when the connection is lost, and when it is there again. */
function noteConnections(live: LiveLine): Disposable {
  const onLost = (message: unknown) => {
    const { error, attempt, delayMs } = message as ConnectionLost;
    const why = error instanceof Error ? onOneLine(error.message) : 'the connection was lost';
    const seconds = (delayMs / 1000).toFixed(1);
    live.end('clear');
    process.stderr.write(`pg-walstream: ${why}; attempt ${attempt} to go on in ${seconds} s\n`);
  };
  const onResumed = (message: unknown) => {
    const { lsn } = message as ConnectionResumed;
    live.end('clear');
    process.stderr.write(`pg-walstream: connected again, going on at ${Lsn.format(lsn)}\n`);
  };
  subscribe('pg-walstream:connection-lost', onLost);
  subscribe('pg-walstream:connection-resumed', onResumed);
  return {
    [Symbol.dispose]() {
      unsubscribe('pg-walstream:connection-lost', onLost);
      unsubscribe('pg-walstream:connection-resumed', onResumed);
    },
  };
}

/** What `--stats` says at the end. */
function summary(stats: WalStreamStats, overall: Rates): string {
  const { changesReceived, unitsReceived, bytesReceived, uptimeMs, flushedLsn } = stats;
  return [
    `${formatCount(changesReceived)} changes in ${formatCount(unitsReceived)} transactions and messages, ${formatBytes(bytesReceived)}, ${(uptimeMs / 1000).toFixed(1)} s`,
    `${formatCount(overall.changesPerSecond)} changes/s, ${formatBytes(overall.bytesPerSecond)}/s, main thread ${formatShare(overall.mainThreadShare)}, workers ${formatShare(overall.workerShare)}`,
    `confirmed up to ${Lsn.format(flushedLsn)}\n`,
  ].join('\n');
}
