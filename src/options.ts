import { availableParallelism, tmpdir, userInfo } from 'node:os';
import { join, resolve as resolvePath } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DEFAULT_CREATE_SLOT_TIMEOUT_MS } from './catalog/slot-lifecycle.js';
import {
  type ConnectionConfig,
  type ConnectionInput,
  resolveConnectionConfig,
} from './connection/connection-config.js';
import { DEFAULT_MAX_MESSAGE_BYTES } from './connection/copy-both.js';
import { ConfigurationError } from './errors.js';
import {
  type PgoutputOptions,
  type PgoutputProtoVersion,
  resolvePgoutputOptions,
} from './protocol/pgoutput-options.js';
import { quoteIdentifier, quoteSlotName } from './protocol/quoting.js';
import type { TransformSource, ValidateSource } from './threads/decode-task.js';
import { type ResolvedTypes, resolveTypes, type TypesOptions } from './types/type-options.js';
import type { TypesMode } from './types/type-rules.js';

/** Which slot to stream from, and what to do when it is not there. */
export interface SlotOptions {
  /** Lower-case letters, digits and underscores. */
  readonly name: string;
  /** `never` (default): a missing slot is an error. `if-missing`: it is created when the stream starts. */
  readonly create?: 'never' | 'if-missing';
  /** Create it for this connection only: it is gone, with its position, when the connection is. */
  readonly temporary?: boolean;
  /** Create it so that it is synchronized to standbys (PostgreSQL 17+). */
  readonly failover?: boolean;
}

/** A function of the user's that runs in the workers. */
export interface TransformOptions {
  /** URL or absolute path of the module. */
  readonly module: string | URL;
  /** Name of the exported function; default `default`. */
  readonly export?: string;
  /** `change` (default): called with each row event. `batch`: with the row events of a batch, returns as many values. */
  readonly per?: 'change' | 'batch';
  /** Given to the function as its second argument; must be structured-cloneable. */
  readonly options?: unknown;
}

/**
 * Validators of the user's, which run in the workers on the new rows of inserts and updates. Any that follow Standard
 * Schema: zod, valibot, arktype and others.
 *
 * Rows are checked as the stream gives them, before any transform, and are delivered as they are: what a schema makes of
 * them is not used. What it says of a column that an update left out (UNCHANGED) does not count nor, in such a row,
 * what it says of the row as a whole.
 *
 * @see https://standardschema.dev
 */
export interface ValidateOptions {
  /** URL or absolute path of a module with an object of schemas by 'schema.table'. Other tables are not checked. */
  readonly module: string | URL;
  /** Name of the export; default `default`. */
  readonly export?: string;
  /**
   * What becomes of a row that is not valid. `fail` (default): a ValidationError ends the stream, after everything before
   * that change; nothing from there on is acknowledged. `drop`: the change is not delivered, like one that a transform
   * drops; `stats().invalidRows` counts it and `pg-walstream:invalid-row` names it.
   */
  readonly onInvalid?: 'fail' | 'drop';
}

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

/** How a lost connection is made again: pauses that double, with some chance in them. */
export interface RetryOptions {
  /** Attempts in a row that may fail before the stream ends with the last error; 0: none is made. Default: no limit. */
  readonly maxAttempts?: number;
  /** Default: 100. */
  readonly minDelayMs?: number;
  /** Default: 30 000. */
  readonly maxDelayMs?: number;
  /**
   * After a lost connection, deliver again what was delivered and not acknowledged, in order, each transaction from its
   * beginning, `redelivered` on whatever was delivered before. Default: false, nothing comes twice.
   *
   * With `ack: 'manual'` that is every unit not given to `ack()` before it comes again, those between acknowledged ones
   * included, and the transaction that was delivered half-way. With `'auto'` it is the latter alone: what was delivered
   * whole is acknowledged when the consumer comes back from it.
   *
   * What the stream had received beyond that is dropped and comes after it: the stream steps back, and a transaction
   * without its end is void.
   */
  readonly redeliver?: boolean;
}

/** Where `transactions()` puts what is too large for memory. */
export interface SpillOptions {
  /**
   * A folder of this process's user. What is in it is worth nothing after a crash. Default: one of its own in the
   * system's folder for temporary files; name another where that lies in memory.
   */
  readonly directory?: string;
  /** Bytes of transactions whose end has not been received, beyond which the largest go to disk. Default: 32 MiB. */
  readonly memoryBytes?: number;
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
   * A connection that is lost within a block leaves it without its streamStop. What was streamed and has not ended comes
   * again, from a streamStart that `isFirst`; place changes by their `xid`, and drop what they had then.
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

const MAX_LSN = 0xffff_ffff_ffff_ffffn;
const MAX_WORKERS = 64;
/** The longest delay that a timer takes. */
export const MAX_TIMER_MS = 0x7fff_ffff;
const MIN_IN_FLIGHT_BYTES = 1024 * 1024;
const GIBIBYTE = 1024 ** 3;
const DEFAULT_SPILL_MEMORY_BYTES = 32 * 1024 * 1024;
const MIN_SPILL_MEMORY_BYTES = 64 * 1024;

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
const KNOWN_SLOT_OPTIONS = new Set(['name', 'create', 'temporary', 'failover']);
const KNOWN_RETRY_OPTIONS = new Set(['maxAttempts', 'minDelayMs', 'maxDelayMs', 'redeliver']);
const DEFAULT_MIN_DELAY_MS = 100;
const DEFAULT_MAX_DELAY_MS = 30_000;
const KNOWN_SPILL_OPTIONS = new Set(['directory', 'memoryBytes']);
const KNOWN_STOP_OPTIONS = new Set(['drain', 'timeoutMs']);
const KNOWN_NEXT_EVENT_OPTIONS = new Set(['signal', 'timeoutMs']);
const DEFAULT_STOP_TIMEOUT_MS = 5_000;
const KNOWN_TRANSFORM_OPTIONS = new Set(['module', 'export', 'per', 'options']);
const KNOWN_VALIDATE_OPTIONS = new Set(['module', 'export', 'onInvalid']);

/** Checks and completes what the user gave; {@link ConfigurationError} names the option at fault. */
export function resolveStreamOptions(options: WalStreamOptions): ResolvedStreamOptions {
  if (typeof options !== 'object' || options === null) throw wrong('options', 'must be an object');
  refuseUnknown(options, KNOWN_OPTIONS, '');
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
    types: resolveTypes(options.types, {
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
  if (typeof options !== 'object' || options === null) throw wrong('options', 'must be an object');
  refuseUnknown(options, KNOWN_STOP_OPTIONS, '');
  return {
    drain: oneOf(options.drain, 'drain', ['transaction', 'none'] as const, 'transaction'),
    timeoutMs: integer(options.timeoutMs, 'timeoutMs', 0, MAX_TIMER_MS, DEFAULT_STOP_TIMEOUT_MS),
  };
}

/** No defaults: an absent bound is none. */
export function resolveNextEventOptions(options: NextEventOptions): NextEventOptions {
  if (typeof options !== 'object' || options === null) throw wrong('options', 'must be an object');
  refuseUnknown(options, KNOWN_NEXT_EVENT_OPTIONS, '');
  const { signal, timeoutMs } = options;
  signalFrom(signal);
  const inRange = typeof timeoutMs === 'number' && timeoutMs >= 0 && timeoutMs <= MAX_TIMER_MS;
  if (timeoutMs !== undefined && !inRange) throw wrong('timeoutMs', `must be a number from 0 to ${MAX_TIMER_MS}`);
  return options;
}

function slotFrom(slot: string | SlotOptions): Required<SlotOptions> {
  const given: SlotOptions = typeof slot === 'string' ? { name: slot } : slot;
  if (typeof given !== 'object' || given === null || typeof given.name !== 'string') {
    throw wrong('slot', 'must be a slot name, or an object with a name');
  }
  refuseUnknown(given, KNOWN_SLOT_OPTIONS, 'slot.');
  quoteSlotName(given.name, 'slot.name');
  const create = oneOf(given.create, 'slot.create', ['never', 'if-missing'] as const, 'never');
  const temporary = flag(given.temporary, 'slot.temporary');
  if (temporary && create === 'never') {
    throw wrong('slot.temporary', "a temporary slot lives as long as its connection: slot.create must be 'if-missing'");
  }
  return { name: given.name, create, temporary, failover: flag(given.failover, 'slot.failover') };
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

function transformFrom(transform: TransformOptions | undefined): TransformSource | undefined {
  if (transform === undefined) return undefined;
  if (typeof transform !== 'object' || transform === null) throw wrong('transform', 'must be an object with a module');
  refuseUnknown(transform, KNOWN_TRANSFORM_OPTIONS, 'transform.');
  const exportName = transform.export === undefined ? 'default' : transform.export;
  if (typeof exportName !== 'string' || exportName === '')
    throw wrong('transform.export', 'must be the name of a function');
  return {
    moduleUrl: moduleUrlFrom(transform.module, 'transform.module'),
    exportName,
    per: oneOf(transform.per, 'transform.per', ['change', 'batch'] as const, 'change'),
    options: cloneable(transform.options, 'transform.options'),
  };
}

function validateFrom(validate: ValidateOptions | undefined): ValidateSource | undefined {
  if (validate === undefined) return undefined;
  if (typeof validate !== 'object' || validate === null) throw wrong('validate', 'must be an object with a module');
  refuseUnknown(validate, KNOWN_VALIDATE_OPTIONS, 'validate.');
  const exportName = validate.export === undefined ? 'default' : validate.export;
  if (typeof exportName !== 'string' || exportName === '')
    throw wrong('validate.export', 'must be the name of an export');
  return {
    moduleUrl: moduleUrlFrom(validate.module, 'validate.module'),
    exportName,
    onInvalid: oneOf(validate.onInvalid, 'validate.onInvalid', ['fail', 'drop'] as const, 'fail'),
  };
}

function retryFrom(retry: RetryOptions | undefined): Required<RetryOptions> {
  const given = retry ?? {};
  if (typeof given !== 'object' || given === null) throw wrong('retry', 'must be an object');
  refuseUnknown(given, KNOWN_RETRY_OPTIONS, 'retry.');
  const { maxAttempts } = given;
  const minDelayMs = integer(given.minDelayMs, 'retry.minDelayMs', 1, MAX_TIMER_MS, DEFAULT_MIN_DELAY_MS);
  return {
    maxAttempts:
      maxAttempts === undefined || maxAttempts === Number.POSITIVE_INFINITY
        ? Number.POSITIVE_INFINITY
        : integer(maxAttempts, 'retry.maxAttempts', 0, Number.MAX_SAFE_INTEGER, 0),
    minDelayMs,
    maxDelayMs: integer(
      given.maxDelayMs,
      'retry.maxDelayMs',
      minDelayMs,
      MAX_TIMER_MS,
      Math.max(DEFAULT_MAX_DELAY_MS, minDelayMs),
    ),
    redeliver: flag(given.redeliver, 'retry.redeliver'),
  };
}

function spillFrom(spill: SpillOptions | undefined): Required<SpillOptions> {
  const given = spill ?? {};
  if (typeof given !== 'object' || given === null) throw wrong('spill', 'must be an object');
  refuseUnknown(given, KNOWN_SPILL_OPTIONS, 'spill.');
  const { directory, memoryBytes } = given;
  if (directory !== undefined && (typeof directory !== 'string' || directory === '' || directory.includes('\0'))) {
    throw wrong('spill.directory', 'must be the path of a folder');
  }
  return {
    directory: directory === undefined ? defaultSpillDirectory() : resolvePath(directory),
    memoryBytes: integer(
      memoryBytes,
      'spill.memoryBytes',
      MIN_SPILL_MEMORY_BYTES,
      16 * GIBIBYTE,
      DEFAULT_SPILL_MEMORY_BYTES,
    ),
  };
}

/** A folder for this user alone: what is spilled holds rows. */
function defaultSpillDirectory(): string {
  return join(tmpdir(), `pg-walstream-${process.getuid?.() ?? userInfo().username}`);
}

function loggerFrom(logger: StreamLogger | undefined): StreamLogger | undefined {
  if (logger === undefined) return undefined;
  if (typeof logger !== 'object' || logger === null) throw wrong('logger', 'must be an object with methods');
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    if (typeof logger[level] !== 'function') throw wrong(`logger.${level}`, 'must be a method');
  }
  return logger;
}

function moduleUrlFrom(module: string | URL, option: string): string {
  if (module instanceof URL) return module.href;
  if (typeof module !== 'string' || module === '') throw wrong(option, 'must be a URL or an absolute path');
  if (/^(file|data|node):/.test(module)) return module;
  return pathToFileURL(module).href;
}

function cloneable(value: unknown, option: string): unknown {
  try {
    return structuredClone(value);
  } catch (cause) {
    throw new ConfigurationError(`${option} cannot be cloned for the workers`, { option, cause });
  }
}

function lsnFrom(lsn: bigint | undefined, option: string): bigint | undefined {
  if (lsn === undefined) return undefined;
  if (typeof lsn !== 'bigint' || lsn < 0n || lsn > MAX_LSN) {
    throw wrong(option, 'must be a bigint of 64 bits; Lsn.parse reads X/Y');
  }
  return lsn;
}

export function signalFrom(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw wrong('signal', 'must be an AbortSignal');
  return signal;
}

function callback<T>(value: T | undefined, option: string): T | undefined {
  if (value !== undefined && typeof value !== 'function') throw wrong(option, 'must be a function');
  return value;
}

export function flag(value: boolean | undefined, option: string): boolean {
  if (value !== undefined && typeof value !== 'boolean') throw wrong(option, 'must be true or false');
  return value ?? false;
}

export function oneOf<const T extends string | number>(
  value: T | undefined,
  option: string,
  allowed: readonly T[],
  fallback: T,
): T {
  if (value === undefined) return fallback;
  if (!allowed.includes(value))
    throw wrong(option, `must be ${allowed.map((one) => JSON.stringify(one)).join(' or ')}`);
  return value;
}

export function integer(value: number | undefined, option: string, min: number, max: number, fallback: number): number {
  if (value === undefined) return fallback;
  if (!Number.isInteger(value) || value < min || value > max) {
    throw wrong(option, `must be a whole number from ${min} to ${max}`);
  }
  return value;
}

export function refuseUnknown(given: object, known: ReadonlySet<string>, prefix: string): void {
  for (const name of Object.keys(given)) {
    if (!known.has(name)) throw wrong(`${prefix}${name}`, `is no option; there are ${[...known].join(', ')}`);
  }
}

function defaultWorkers(): number {
  return Math.min(Math.max(availableParallelism() - 1, 1), 4);
}

export function wrong(option: string, problem: string): ConfigurationError {
  return new ConfigurationError(`${option} ${problem}`, { option });
}
