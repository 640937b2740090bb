import { AuthenticationError, ConfigurationError, ServerError, type WalStreamError } from '../errors.js';
import { Lsn } from '../lsn.js';
import type { ErrorFields } from './backend-message.js';

/** A NoticeResponse: something the server wants a person to know. */
export interface ServerNotice {
  /** SQLSTATE. */
  readonly sqlState: string;
  /** `WARNING`, `NOTICE`, ... in the server's language. */
  readonly severity: string;
  /** In the server's language. */
  readonly message: string;
  /** The server's DETAIL line; left out where it could hold values. */
  readonly detail: string | undefined;
  /** The server's HINT line. */
  readonly hint: string | undefined;
}

/** What the connection was doing when the error came. */
export interface ServerErrorContext {
  /** Authentication method in use, for errors of class 28. */
  readonly method?: string;
}

/**
 * An ErrorResponse as an error of this library: SQLSTATE class 28 and 42501 become {@link AuthenticationError},
 * everything else {@link ServerError}.
 */
export function serverErrorFrom(fields: ErrorFields, context: ServerErrorContext = {}): WalStreamError {
  const { sqlState, severity, message, hint } = fields;
  if (sqlState.startsWith('28')) {
    return new AuthenticationError(message, { method: context.method ?? 'none', sqlState });
  }
  if (sqlState === '42501') {
    const text = hint === undefined ? message : `${message} (${hint})`;
    return new AuthenticationError(text, { method: 'privilege', sqlState });
  }
  if (message.includes('unsupported startup parameter')) {
    return new ConfigurationError(
      `${message}: this is a connection pooler, not PostgreSQL; replication needs a direct connection to the server`,
      { option: 'connection.host' },
    );
  }
  const lsn = decodedLsn(fields.where);
  const details = {
    sqlState,
    severity,
    ...(fields.detail !== undefined && !mayCarryValues(sqlState) && { detail: fields.detail }),
    ...(hint !== undefined && { hint }),
    ...(lsn !== undefined && { lsn }),
  };
  const unquoted = withoutValues(message, sqlState);
  if (sqlState !== NOT_IN_REPERTOIRE || lsn === undefined) return new ServerError(unquoted, details);
  return new ServerError(`${unquoted} at ${Lsn.format(lsn)}`, { hint: NOT_IN_REPERTOIRE_HINT, ...details });
}

/** Text that is not valid in its encoding. The server's message quotes its bytes. */
const NOT_IN_REPERTOIRE = '22021';
const QUOTED_BYTES = /: 0x[0-9a-f]{2}( 0x[0-9a-f]{2})*/;
const NOT_IN_REPERTOIRE_HINT =
  'a database in SQL_ASCII takes any bytes for text, and this is not UTF-8: pg_replication_slot_advance() goes past its transaction, which is then not delivered';

/** Where a walsender was: `slot "...", output plugin "pgoutput", in the change callback, associated LSN 0/1593B08`. */
function decodedLsn(where: string | undefined): bigint | undefined {
  const match = /LSN ([0-9A-F]{1,8}\/[0-9A-F]{1,8})/.exec(where ?? '');
  return match?.[1] === undefined ? undefined : Lsn.parse(match[1]);
}

export function serverNoticeFrom(fields: ErrorFields): ServerNotice {
  const { sqlState, severity, hint } = fields;
  const message = withoutValues(fields.message, sqlState);
  return { sqlState, severity, message, hint, detail: mayCarryValues(sqlState) ? undefined : fields.detail };
}

/** Details of data exceptions (22) and constraint violations (23) show rows: `Key (email)=(...) already exists`. */
function mayCarryValues(sqlState: string): boolean {
  return sqlState.startsWith('22') || sqlState.startsWith('23');
}

/** `invalid input syntax for type integer: "..."` quotes the value; other classes quote names. */
function withoutValues(message: string, sqlState: string): string {
  if (sqlState === NOT_IN_REPERTOIRE) return message.replace(QUOTED_BYTES, '');
  return sqlState.startsWith('22') ? message.replace(/["«»„“].*["«»“”]/s, '"..."') : message;
}
