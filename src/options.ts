import { availableParallelism } from 'node:os';
import { DEFAULT_CREATE_SLOT_TIMEOUT_MS } from './catalog/slot-lifecycle.js';
import {
  type ConnectionConfig,
  type ConnectionInput,
  resolveConnectionConfig,
} from './connection/connection-config.js';
import { DEFAULT_MAX_MESSAGE_BYTES } from './connection/copy-both.js';
import {
  callback,
  flag,
  integer,
  MAX_TIMER_MS,
  MAX_WORKERS,
  oneOf,
  plainObject,
  refuseUnknown,
  signalFrom,
  timeLimit,
  wrong,
} from './errors/option-checks.js';
import { checkLsn } from './lsn.js';
import { type RetryOptions, retryFrom } from './options/retry-options.js';
import { type SlotOptions, slotFrom } from './options/slot-options.js';
import { type SpillOptions, spillFrom } from './options/spill-options.js';
import { type TransformOptions, transformFrom } from './options/transform-options.js';
import { type ValidateOptions, validateFrom } from './options/validate-options.js';
import { moduleUrlFrom } from './options/worker-module.js';
import {
  type PgoutputOptions,
  type PgoutputProtoVersion,
  resolvePgoutputOptions,
} from './protocol/pgoutput-options.js';
import { quoteIdentifier } from './protocol/quoting.js';
import type { TransformSource, ValidateSource } from './threads/decode-task.js';
import { type ResolvedTypes, resolveTypes, type TypesOptions } from './types/type-options.js';
import type { TypesMode } from './types/type-rules.js';

export type { RetryOptions, SlotOptions, SpillOptions, TransformOptions, ValidateOptions };

/**
 * What a stream tells of itself, for people: a logger such as pino's. The first argument has the slot and names, counts
 * and positions, never values of rows and never secrets.
 */
export interface StreamLogger {
  /** Transactions that went to disk. */
  debug(fields: object, message: string): void;
  /** Connections, slots created, the end. */
  info(fields: object, message: string): void;
  /** What goes on after it: lost connections, warnings, a worker that failed once. */
  warn(fields: object, message: string): void;
  /** What ended the stream. */
  error(fields: object, message: string): void;
}

/** Options of `WalStream`. */
export interface WalStreamOptions {
  /** Connection string or object; default `DATABASE_URL`, then the `PG*` variables. */
  readonly connection?: ConnectionInput;
  /** The logical slot, made for pgoutput: its name, or more about it. */
  readonly slot: string | SlotOptions;
  /** One name or several; the stream has what any of them publishes. */
  readonly publications: string | readonly string[];
  /**
   * Protocol version of pgoutput: 1; 2 for `streaming` (PostgreSQL 14+); 3 for `twoPhase` (15+); 4 for
   * `streaming: 'parallel'` (16+). Default: the newest that the server has.
   */
  readonly protoVersion?: PgoutputProtoVersion;
  /**
   * Large transactions, beyond the server's `logical_decoding_work_mem`, before they commit: in blocks between
   * streamStart and streamStop, ended by streamCommit, streamAbort or streamPrepare. `on` (PostgreSQL 14+), `parallel`
   * (16+: streamAbort says where and when). Default: `off`, every change belongs to a committed transaction.
   *
   * A connection that is lost within a block ends it as if the server had rolled the transaction back: a streamStop and a
   * streamAbort come, and so for every other streamed transaction that has not ended. They come again whole.
   */
  readonly streaming?: 'off' | 'on' | 'parallel';
  /**
   * Prepared transactions when they are prepared (PostgreSQL 15+), and later whether they were committed or rolled
   * back: their changes come once, so acknowledge a prepare only when they are safe. A slot that was created without
   * two_phase is given it, for good, and from then on refuses streams without this option. Default: false.
   */
  readonly twoPhase?: boolean;
  /** Ask for column values in binary form where the type has one. Default: false. */
  readonly binary?: boolean;
  /** Deliver logical decoding messages. Default: false. */
  readonly messages?: boolean;
  /** `none`: only changes without a replication origin (PostgreSQL 16+). Default: `any`. */
  readonly origin?: 'any' | 'none';
  /** Where to start; default: where the slot was acknowledged. Behind that it is a gap, and an error. */
  readonly startLsn?: bigint;
  /** Deliver everything committed before it and the transaction that crosses it, then end. */
  readonly stopLsn?: bigint;
  /** Threads that decode. Default: one less than there are cores, 1 to 4. */
  readonly workers?: number;
  /** Bytes received and not yet taken by the consumer, beyond which the server has to wait. Default: 16 MiB. */
  readonly maxInFlightBytes?: number;
  /** Longest message accepted from the server. Default: 256 MiB. */
  readonly maxMessageBytes?: number;
  /**
   * What column values become. `lossless` (default), `pg` (what node-postgres gives) or `text` (the server's text), the
   * latter two with text transfer only; or an object with a mode and {@link TypesOptions.overrides} for single types.
   *
   * Lossless values are the same in text and binary transfer, names of `reg*` types excepted:
   * - int8 a bigint; int2, int4, oid, float4, float8 numbers; numeric, money, interval strings
   * - date, time, timestamp strings in ISO form, microseconds kept, expanded years, `infinity`
   * - bytea a Buffer; json and jsonb parsed, so that numbers beyond double precision lose digits (override: `text`)
   * - arrays arrays, nested, `null` where NULL; lower bounds are dropped
   * - ranges `{ lower, upper, lowerInclusive, upperInclusive }`, a bound `null` where there is none, or `{ empty: true }`;
   *   multiranges arrays of these
   * - composites objects keyed by field name; enums strings; domains what their base type is
   * - hstore an object of strings and nulls; citext, ltree and every other type the server's text
   *
   * What types that are not built in are made of is asked of the catalog, over a session of its own, and kept. Without an
   * answer they are the server's text or, in binary transfer, a Buffer; `stream.warnings` says so. A composite value
   * from before or after its type was altered is read by the fields that the stream has known, if they fit, else it is
   * the server's text; the server does not say when a type is altered, so other fields of the same number and types are
   * taken for those that were known. A binary value of a type whose binary form nobody knows is a Buffer, also
   * where an override asks for its text.
   */
  readonly types?: TypesMode | TypesOptions;
  /** A function of one's own on each row change, in the workers; its values come in place of rows. */
  readonly transform?: TransformOptions;
  /** Checks new rows in the workers. */
  readonly validate?: ValidateOptions;
  /** Bound on one batch in a worker, transform included. Default: 30 000. */
  readonly transformTimeoutMs?: number;
  /** Large transactions of `transactions()` on disk. */
  readonly spill?: SpillOptions;
  /** `auto` (default) acknowledges what the consumer has come back from; `manual` what is given to `ack()`. */
  readonly ack?: 'auto' | 'manual';
  /**
   * Called before the slot is moved on over WAL that holds nothing for this stream, with the position; the server is
   * told when what it returns has resolved. For consumers that keep their position themselves, who would else find the
   * slot ahead of it. One call at a time; an error ends the stream.
   */
  readonly beforeIdleAck?: (lsn: bigint) => unknown;
  /** How often the server is told how far the consumer is. Default: 1 000; never beyond wal_sender_timeout / 4. */
  readonly feedbackIntervalMs?: number;
  /** A server that says nothing for so long is lost. Default: 60 000. */
  readonly livenessTimeoutMs?: number;
  /** Bound on the creation of a slot, which waits for running transactions. Default: 30 000. */
  readonly createSlotTimeoutMs?: number;
  /**
   * How a lost connection is made again, on errors that are `retryable`. A running stream does so by default; `start()`
   * only when this is given.
   */
  readonly retry?: RetryOptions;
  /** Told of connections, slots, failures and warnings; default: nobody is. Programs subscribe to channels instead. */
  readonly logger?: StreamLogger;
  /** Aborting ends the stream with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** How `stop()` ends a stream. */
export interface StopOptions {
  /** `transaction` (default): the transaction that the consumer is in is delivered whole. `none`: nothing more is. */
  readonly drain?: 'transaction' | 'none';
  /** Bound on the drain, after which nothing more is delivered. Default: 5 000. */
  readonly timeoutMs?: number;
}

/** How one `nextEvent()` waits. */
export interface NextEventOptions {
  /** Ends the waiting, which rejects with the signal's reason; the stream goes on. */
  readonly signal?: AbortSignal;
  /** After so long it gives `null`. Default: it waits. */
  readonly timeoutMs?: number;
}

/** The same with every default filled in: inner code sees no optionals. */
export interface ResolvedStreamOptions {
  readonly connection: ConnectionConfig;
  readonly slot: Required<SlotOptions>;
  readonly pgoutput: PgoutputOptions;
  readonly startLsn: bigint;
  readonly stopLsn: bigint | undefined;
  readonly workers: number;
  readonly maxInFlightBytes: number;
  readonly maxMessageBytes: number;
  readonly types: ResolvedTypes;
  readonly transform: TransformSource | undefined;
  readonly validate: ValidateSource | undefined;
  readonly transformTimeoutMs: number;
  readonly spill: Required<SpillOptions>;
  readonly ack: 'auto' | 'manual';
  readonly beforeIdleAck: ((lsn: bigint) => unknown) | undefined;
  readonly feedbackIntervalMs: number;
  readonly livenessTimeoutMs: number;
  readonly createSlotTimeoutMs: number;
  readonly retry: Required<RetryOptions>;
  /** Whether the start is tried again too. */
  readonly retriesStart: boolean;
  readonly logger: StreamLogger | undefined;
  readonly signal: AbortSignal | undefined;
}

const MIN_IN_FLIGHT_BYTES = 1024 * 1024;
const GIBIBYTE = 1024 ** 3;

const KNOWN_OPTIONS = new Set([
  'connection',
  'slot',
  'publications',
  'protoVersion',
  'streaming',
  'twoPhase',
  'binary',
  'messages',
  'origin',
  'startLsn',
  'stopLsn',
  'workers',
  'maxInFlightBytes',
  'maxMessageBytes',
  'types',
  'transform',
  'validate',
  'transformTimeoutMs',
  'spill',
  'ack',
  'beforeIdleAck',
  'feedbackIntervalMs',
  'livenessTimeoutMs',
  'createSlotTimeoutMs',
  'retry',
  'logger',
  'signal',
]);
const KNOWN_STOP_OPTIONS = new Set(['drain', 'timeoutMs']);
const KNOWN_NEXT_EVENT_OPTIONS = new Set(['signal', 'timeoutMs']);
const DEFAULT_STOP_TIMEOUT_MS = 5_000;

/** Checks and completes what the user gave; {@link ConfigurationError} names the option at fault. */
export function resolveStreamOptions(options: WalStreamOptions): ResolvedStreamOptions {
  refuseUnknown(plainObject(options, 'options'), KNOWN_OPTIONS, '');
  const pgoutput = resolvePgoutputOptions({
    publications: publicationsFrom(options.publications),
    protoVersion:
      options.protoVersion === undefined
        ? 'newest'
        : oneOf(options.protoVersion, 'protoVersion', [1, 2, 3, 4] as const, 1),
    streaming: oneOf(options.streaming, 'streaming', ['off', 'on', 'parallel'] as const, 'off'),
    twoPhase: flag(options.twoPhase, 'twoPhase'),
    binary: flag(options.binary, 'binary'),
    messages: flag(options.messages, 'messages'),
    origin: oneOf(options.origin, 'origin', ['any', 'none'] as const, 'any'),
  });
  return {
    connection: resolveConnectionConfig(options.connection),
    slot: slotFrom(options.slot),
    pgoutput,
    startLsn: lsnFrom(options.startLsn, 'startLsn') ?? 0n,
    stopLsn: lsnFrom(options.stopLsn, 'stopLsn'),
    workers: integer(options.workers, 'workers', 1, MAX_WORKERS, defaultWorkers()),
    maxInFlightBytes: integer(
      options.maxInFlightBytes,
      'maxInFlightBytes',
      MIN_IN_FLIGHT_BYTES,
      4 * GIBIBYTE,
      16 * 1024 * 1024,
    ),
    maxMessageBytes: integer(options.maxMessageBytes, 'maxMessageBytes', 65_536, GIBIBYTE, DEFAULT_MAX_MESSAGE_BYTES),
    types: resolveTypes(typesFrom(options.types), {
      binary: pgoutput.binary,
      workersReadRows: options.transform !== undefined || options.validate !== undefined,
      moduleUrl: moduleUrlFrom,
    }),
    transform: transformFrom(options.transform),
    validate: validateFrom(options.validate),
    transformTimeoutMs: integer(options.transformTimeoutMs, 'transformTimeoutMs', 1, MAX_TIMER_MS, 30_000),
    spill: spillFrom(options.spill),
    ack: oneOf(options.ack, 'ack', ['auto', 'manual'] as const, 'auto'),
    beforeIdleAck: callback(options.beforeIdleAck, 'beforeIdleAck'),
    feedbackIntervalMs: integer(options.feedbackIntervalMs, 'feedbackIntervalMs', 10, MAX_TIMER_MS, 1_000),
    livenessTimeoutMs: integer(options.livenessTimeoutMs, 'livenessTimeoutMs', 100, MAX_TIMER_MS, 60_000),
    createSlotTimeoutMs: integer(
      options.createSlotTimeoutMs,
      'createSlotTimeoutMs',
      1,
      MAX_TIMER_MS,
      DEFAULT_CREATE_SLOT_TIMEOUT_MS,
    ),
    retry: retryFrom(options.retry),
    retriesStart: options.retry !== undefined,
    logger: loggerFrom(options.logger),
    signal: signalFrom(options.signal),
  };
}

/** {@link ConfigurationError} for what is wrong, like all here. */
export function resolveStopOptions(options: StopOptions): Required<StopOptions> {
  refuseUnknown(plainObject(options, 'options'), KNOWN_STOP_OPTIONS, '');
  return {
    drain: oneOf(options.drain, 'drain', ['transaction', 'none'] as const, 'transaction'),
    timeoutMs: integer(options.timeoutMs, 'timeoutMs', 0, MAX_TIMER_MS, DEFAULT_STOP_TIMEOUT_MS),
  };
}

/** No defaults: an absent bound is none. */
export function resolveNextEventOptions(options: NextEventOptions): NextEventOptions {
  refuseUnknown(plainObject(options, 'options'), KNOWN_NEXT_EVENT_OPTIONS, '');
  signalFrom(options.signal);
  timeLimit(options.timeoutMs, 'timeoutMs');
  return options;
}

function publicationsFrom(publications: string | readonly string[]): readonly string[] {
  // Copied: a hole in an array would escape every().
  const names = Array.isArray(publications) ? [...publications] : [publications];
  if (names.length === 0 || !names.every((name) => typeof name === 'string' && name !== '')) {
    throw wrong('publications', 'must be the name of a publication, or several');
  }
  for (const name of names) quoteIdentifier(name, 'publications');
  return names;
}

/** What is in it is resolveTypes' to say. */
function typesFrom(types: WalStreamOptions['types']): WalStreamOptions['types'] {
  if (types === undefined || typeof types === 'string') return types;
  return plainObject(types, 'types', 'a mode, or an object with mode and overrides');
}

function loggerFrom(logger: StreamLogger | undefined): StreamLogger | undefined {
  if (logger === undefined) return undefined;
  if (typeof logger !== 'object' || logger === null) throw wrong('logger', 'must be an object with methods');
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    if (typeof logger[level] !== 'function') throw wrong(`logger.${level}`, 'must be a method');
  }
  return logger;
}

function lsnFrom(lsn: bigint | undefined, option: string): bigint | undefined {
  if (lsn !== undefined) checkLsn(lsn, option);
  return lsn;
}

function defaultWorkers(): number {
  return Math.min(Math.max(availableParallelism() - 1, 1), 4);
}
