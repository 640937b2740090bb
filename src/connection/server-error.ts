import { AuthenticationError, ConfigurationError, ServerError, type WalStreamError } from '../errors.js';
import type { ErrorFields } from './backend-message.js';

/** A NoticeResponse: something the server wants a person to know. */
export interface ServerNotice {
  /** SQLSTATE. */
  readonly sqlState: string;
  /** `WARNING`, `NOTICE`, ... in the server's language. */
  readonly severity: string;
  readonly message: string;
  readonly detail: string | undefined;
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
  return new ServerError(withoutValues(message, sqlState), {
    sqlState,
    severity,
    ...(fields.detail !== undefined && !mayCarryValues(sqlState) && { detail: fields.detail }),
    ...(hint !== undefined && { hint }),
  });
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
  return sqlState.startsWith('22') ? message.replace(/["«»„“].*["«»“”]/s, '"..."') : message;
}
