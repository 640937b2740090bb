/**
 * The errors of pg-walstream. Each has a stable `code` and says by `retryable` whether trying again can help:
 * that is the very predicate a reconnect loop uses. Messages carry names, counts, positions and offsets, never row
 * values and never secrets.
 */

/** Stable identifiers of every kind of failure; `code` of {@link WalStreamError}. */
export type WalStreamErrorCode =
  | 'ERR_CONFIGURATION'
  | 'ERR_CONNECTION'
  | 'ERR_TIMEOUT'
  | 'ERR_AUTHENTICATION'
  | 'ERR_SERVER'
  | 'ERR_SLOT'
  | 'ERR_PROTOCOL'
  | 'ERR_DECODE'
  | 'ERR_WORKER'
  | 'ERR_VALIDATION'
  | 'ERR_SPILL'
  | 'ERR_BACKUP'
  | 'ERR_MANIFEST_MISMATCH';

/** Base class of every error that this library throws on purpose. */
export abstract class WalStreamError extends Error {
  /** Which kind of failure it is: the same in every version. */
  abstract readonly code: WalStreamErrorCode;
  /** Whether the same attempt can succeed later without anybody changing anything. */
  readonly retryable: boolean;

  protected constructor(message: string, retryable: boolean, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.retryable = retryable;
  }
}

/** A wrong option, URL, environment variable or server set-up. Never retried: somebody has to change something. */
export class ConfigurationError extends WalStreamError {
  readonly code = 'ERR_CONFIGURATION';
  /** Path of the option at fault, such as `connection.sslmode` or `slot.create`. */
  readonly option: string;

  /** @internal */
  constructor(message: string, details: { option: string; cause?: unknown }) {
    super(message, false, details.cause);
    this.option = details.option;
  }
}

/** Where in the life of a connection it failed. */
export type ConnectionPhase = 'connect' | 'tls' | 'authentication' | 'startup' | 'query' | 'streaming';

/** The connection could not be made or was lost. */
export class ConnectionError extends WalStreamError {
  readonly code = 'ERR_CONNECTION';
  /** `host:port`, or the path of the Unix socket. */
  readonly host: string;
  /** What the connection was doing. */
  readonly phase: ConnectionPhase;

  /** @internal */
  constructor(
    message: string,
    details: { host: string; phase: ConnectionPhase; retryable?: boolean; cause?: unknown },
  ) {
    super(message, details.retryable ?? true, details.cause);
    this.host = details.host;
    this.phase = details.phase;
  }
}

/** Nothing came within the stated time. */
export class TimeoutError extends WalStreamError {
  readonly code = 'ERR_TIMEOUT';
  /** `host:port`, or the path of the Unix socket. */
  readonly host: string;
  /** What the connection was doing. */
  readonly phase: ConnectionPhase;
  /** The bound that was passed. */
  readonly timeoutMs: number;

  /** @internal */
  constructor(message: string, details: { host: string; phase: ConnectionPhase; timeoutMs: number; cause?: unknown }) {
    super(message, true, details.cause);
    this.host = details.host;
    this.phase = details.phase;
    this.timeoutMs = details.timeoutMs;
  }
}

/** The server does not accept who we are (SQLSTATE class 28) or what we may do (42501). Never retried. */
export class AuthenticationError extends WalStreamError {
  readonly code = 'ERR_AUTHENTICATION';
  /** Authentication method or, for a missing privilege, `privilege`. */
  readonly method: string;
  /** The server's; `undefined` when this side refused: a method not allowed, a server that cannot prove itself. */
  readonly sqlState: string | undefined;

  /** @internal */
  constructor(message: string, details: { method: string; sqlState?: string; cause?: unknown }) {
    super(message, false, details.cause);
    this.method = details.method;
    this.sqlState = details.sqlState;
  }
}

/** Fields of an ErrorResponse that help a person, without any row value. */
export interface ServerErrorDetails {
  readonly sqlState: string;
  readonly severity: string;
  readonly detail?: string;
  readonly hint?: string;
  /** Of the change that the server was decoding. */
  readonly lsn?: bigint;
  readonly cause?: unknown;
}

/** An ErrorResponse of the server. */
export class ServerError extends WalStreamError {
  readonly code = 'ERR_SERVER';
  /** SQLSTATE, such as 53300. */
  readonly sqlState: string;
  /** `ERROR`, `FATAL` or `PANIC`. */
  readonly severity: string;
  /** The server's DETAIL line, where it holds no values. */
  readonly detail: string | undefined;
  /** The server's HINT line. */
  readonly hint: string | undefined;
  /** Of the change that the server was decoding when it failed. */
  readonly lsn: bigint | undefined;

  /** @internal */
  constructor(message: string, details: ServerErrorDetails) {
    super(message, isRetryableSqlState(details.sqlState), details.cause);
    this.sqlState = details.sqlState;
    this.severity = details.severity;
    this.detail = details.detail;
    this.hint = details.hint;
    this.lsn = details.lsn;
  }
}

/**
 * What is wrong with the slot: `in-use` by another connection, `missing`, `invalidated` by the server, or a `gap`
 * between the position asked for and what the slot can still give.
 */
export type SlotErrorReason = 'in-use' | 'missing' | 'invalidated' | 'gap' | 'mismatch';

/** The replication slot cannot be used. Only `in-use` is worth another attempt. */
export class SlotError extends WalStreamError {
  readonly code = 'ERR_SLOT';
  /** As it was asked for. */
  readonly slotName: string;
  /** What is wrong with it. */
  readonly reason: SlotErrorReason;

  /** @internal */
  constructor(message: string, details: { slotName: string; reason: SlotErrorReason; cause?: unknown }) {
    super(message, details.reason === 'in-use', details.cause);
    this.slotName = details.slotName;
    this.reason = details.reason;
  }
}

/** Where malformed bytes were found. */
export interface WireLocation {
  /** Byte offset in the message or packet at fault. */
  readonly offset: number;
  /** Type byte of the message, as a character. */
  readonly tag?: string;
  /** `walStart` of the message. */
  readonly lsn?: bigint;
  readonly relationId?: number;
  /** `schema.table` of the row change, where known. */
  readonly relation?: string;
  /** Name of the column, where the fault lies in one value. */
  readonly column?: string;
  readonly cause?: unknown;
}

abstract class WireError extends WalStreamError {
  /** Of the byte at fault, in the message or packet. */
  readonly offset: number;
  /** Type byte of the message, as a character. */
  readonly tag: string | undefined;
  /** `walStart` of the message. */
  readonly lsn: bigint | undefined;
  /** OID of the table. */
  readonly relationId: number | undefined;

  /** @internal */
  constructor(message: string, location: WireLocation) {
    super(message, false, location.cause);
    this.offset = location.offset;
    this.tag = location.tag;
    this.lsn = location.lsn;
    this.relationId = location.relationId;
  }
}

/** Bytes that break the frontend/backend or replication protocol. */
export class ProtocolError extends WireError {
  readonly code = 'ERR_PROTOCOL';
}

/** A pgoutput message or a value in it that cannot be decoded. Nothing from its position on is delivered. */
export class DecodeError extends WireError {
  readonly code = 'ERR_DECODE';
  /** `schema.table` of the row change, where known. */
  readonly relation: string | undefined;
  /** Name of the column, where the fault lies in one value. */
  readonly column: string | undefined;

  /** @internal */
  constructor(message: string, location: WireLocation) {
    super(message, location);
    this.relation = location.relation;
    this.column = location.column;
  }
}

/**
 * A worker thread threw, exited, ran out of memory or hung while it worked on a batch, twice. Everything before the
 * change on which a transform threw is delivered first; where the thread was lost, everything before the batch.
 *
 * Message and fields hold no values of rows. `cause` is what the function threw: its text and stack are its author's.
 */
export class WorkerError extends WalStreamError {
  readonly code = 'ERR_WORKER';
  /** Of the thread, where it exited. */
  readonly exitCode: number | undefined;
  /** Sequence number of the batch. */
  readonly sequence: number;
  /** Position of the change or, when it is not known, of the first message of the batch. */
  readonly lsn: bigint | undefined;
  /** `schema.table` of the change, where known; with `per: 'batch'` of the first change of the batch. */
  readonly relation: string | undefined;
  /** Number of the change in its transaction, where known. */
  readonly ordinal: number | undefined;

  /** @internal */
  constructor(
    message: string,
    details: {
      sequence: number;
      exitCode?: number;
      lsn?: bigint;
      relation?: string;
      ordinal?: number;
      retryable?: boolean;
      cause?: unknown;
    },
  ) {
    super(message, details.retryable ?? false, details.cause);
    this.sequence = details.sequence;
    this.exitCode = details.exitCode;
    this.lsn = details.lsn;
    this.relation = details.relation;
    this.ordinal = details.ordinal;
  }
}

/** A new row is not what the user's validator says. Everything before its change is delivered first. */
export class ValidationError extends WalStreamError {
  readonly code = 'ERR_VALIDATION';
  /** Position of the change. */
  readonly lsn: bigint;
  /** `schema.table` of the row. */
  readonly relation: string;
  /** Number of the change in its transaction; `undefined` in one that is streamed. */
  readonly ordinal: number | undefined;
  /** Where in the row: `column`, or a place in its value such as `column.key[3]`; an empty string is the whole row. */
  readonly paths: readonly string[];

  /** @internal */
  constructor(
    message: string,
    details: {
      lsn: bigint;
      relation: string;
      ordinal: number | undefined;
      paths: readonly string[];
      cause?: unknown;
    },
  ) {
    super(message, false, details.cause);
    this.lsn = details.lsn;
    this.relation = details.relation;
    this.ordinal = details.ordinal;
    this.paths = details.paths;
  }
}

/**
 * A large transaction could not be kept on disk: the disk is full, or its file is not as it was written. `cause` carries
 * the system's `errno`.
 */
export class SpillError extends WalStreamError {
  readonly code = 'ERR_SPILL';
  /** File or folder at fault. */
  readonly path: string;

  /** @internal */
  constructor(message: string, details: { path: string; cause?: unknown }) {
    super(message, false, details.cause);
    this.path = details.path;
  }
}

/**
 * A base backup could not be taken, read or written. `cause` carries the system's `errno` where the file system is at
 * fault.
 */
export class BackupError extends WalStreamError {
  readonly code = 'ERR_BACKUP';
  /** File, folder or archive member at fault, where it is one. */
  readonly path: string | undefined;

  /** @internal */
  constructor(message: string, details: { path?: string; cause?: unknown } = {}) {
    super(message, false, details.cause);
    this.path = details.path;
  }
}

/** A file of a base backup is not what the server's manifest says. */
export class ManifestMismatchError extends WalStreamError {
  readonly code = 'ERR_MANIFEST_MISMATCH';
  /** As in the manifest, relative to the data directory. */
  readonly path: string;
  /** Size, checksum or presence according to the manifest. */
  readonly expected: string;
  /** What was found instead. */
  readonly actual: string;

  /** @internal */
  constructor(message: string, details: { path: string; expected: string; actual: string }) {
    super(message, false);
    this.path = details.path;
    this.expected = details.expected;
    this.actual = details.actual;
  }
}

/**
 * Server conditions that pass by themselves: connection failures (08), shutdown, crash and start-up (57P01-57P03), no
 * connection slot left (53300), object in use (55006), serialization and deadlock (40001, 40P01).
 *
 * @see https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export function isRetryableSqlState(sqlState: string): boolean {
  return (
    sqlState.startsWith('08') ||
    sqlState === '57P01' ||
    sqlState === '57P02' ||
    sqlState === '57P03' ||
    sqlState === '53300' ||
    sqlState === '55006' ||
    sqlState === '40001' ||
    sqlState === '40P01'
  );
}
