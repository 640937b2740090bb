import { AuthenticationError, ConfigurationError, ServerError, type WalStreamError } from '../errors.js';
import { quoteIdentifier } from '../protocol/quoting.js';
import type { ErrorFields } from './backend-message.js';

/*
 * Names of PostgreSQL's stay as they are in most languages of its messages. What stands in quotes is the user's: a database
 * may be called walsender. Before 16 there is no detail.
 */
const STARTS_NO_WALSENDER = /^[^"«»„“]*wal.?sender/i;
const LACKS_REPLICATION = /\bREPLICATION\b/;
const NONE_LEFT = /max_wal_senders\D*(\d+)/;

/**
 * Why a server starts no walsender, with the statement that mends it; `undefined` for what is not about that. A server
 * that is to have none (`max_wal_senders` 0, as `wal_level` minimal asks for) says what a busy one does: it is told apart,
 * since waiting does not help.
 *
 * @see https://www.postgresql.org/docs/current/runtime-config-replication.html
 */
export function walSenderErrorFrom(fields: ErrorFields, user: string): WalStreamError | undefined {
  const { sqlState, severity, message, detail, hint } = fields;
  if (sqlState === '42501' && (STARTS_NO_WALSENDER.test(message) || LACKS_REPLICATION.test(detail ?? ''))) {
    const role = quoteIdentifier(user, 'connection.user');
    return new AuthenticationError(
      `${message}. What mends it: ALTER ROLE ${role} REPLICATION; on Amazon RDS, GRANT rds_replication TO ${role}`,
      { method: 'privilege', sqlState },
    );
  }
  const maxWalSenders = sqlState === '53300' ? NONE_LEFT.exec(message)?.[1] : undefined;
  if (maxWalSenders === undefined) return undefined;
  if (maxWalSenders === '0') {
    return new ConfigurationError(
      "the server is to have no replication connections: max_wal_senders is 0. What mends it: ALTER SYSTEM SET wal_level = 'logical'; ALTER SYSTEM SET max_wal_senders = 10; then a restart of the server",
      { option: 'connection', cause: new ServerError(message, { sqlState, severity }) },
    );
  }
  return new ServerError(
    `${message}. What mends it: ALTER SYSTEM SET max_wal_senders = ${Number(maxWalSenders) + 10}, and a restart of the server; or an end of other replication connections`,
    { sqlState, severity, ...(detail !== undefined && { detail }), ...(hint !== undefined && { hint }) },
  );
}
