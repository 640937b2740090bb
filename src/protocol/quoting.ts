import { ConfigurationError } from '../errors.js';

/** Bytes of a name that PostgreSQL keeps (NAMEDATALEN - 1); longer ones are cut by the server with only a notice. */
export const MAX_NAME_BYTES = 63;

const SLOT_NAME = /^[a-z0-9_]{1,63}$/;
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * `"name"`, for SQL and for replication commands: their scanners agree on quoted identifiers.
 *
 * @param option the option that brought the name, for the error
 * @throws ConfigurationError when the name is empty, too long for the server or cannot be sent
 * @see https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
 */
export function quoteIdentifier(name: string, option: string): string {
  if (name === '') throw new ConfigurationError(`${option} is empty`, { option });
  checkText(name, option);
  const bytes = Buffer.byteLength(name);
  if (bytes > MAX_NAME_BYTES) {
    throw new ConfigurationError(
      `${option} ${JSON.stringify(name)} has ${bytes} bytes; PostgreSQL names have at most ${MAX_NAME_BYTES}`,
      { option },
    );
  }
  return `"${name.replaceAll('"', '""')}"`;
}

/**
 * A string constant for SQL. With backslashes it is an `E''` constant, which means the same whatever
 * `standard_conforming_strings` says. Not for replication commands: see {@link quoteReplicationLiteral}.
 *
 * @see https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS
 */
export function quoteLiteral(text: string, option: string): string {
  checkText(text, option);
  const quoted = text.replaceAll("'", "''");
  return quoted.includes('\\') ? `E'${quoted.replaceAll('\\', '\\\\')}'` : `'${quoted}'`;
}

/** The same of several, by commas, as `IN (...)` takes them. */
export function quoteLiterals(texts: readonly string[], option: string): string {
  return texts.map((text) => quoteLiteral(text, option)).join(', ');
}

/**
 * A string constant for replication commands, whose scanner knows no `E''` and takes backslashes as they are.
 *
 * @see https://github.com/postgres/postgres/blob/master/src/backend/replication/repl_scanner.l
 */
export function quoteReplicationLiteral(text: string, option: string): string {
  checkText(text, option);
  return `'${text.replaceAll("'", "''")}'`;
}

/**
 * The name of a replication slot, quoted. PostgreSQL allows lower-case letters, digits and underscores only.
 *
 * @throws ConfigurationError
 * @see https://www.postgresql.org/docs/current/warm-standby.html#STREAMING-REPLICATION-SLOTS-MANIPULATION
 */
export function quoteSlotName(name: string, option: string): string {
  checkSlotName(name, option);
  return `"${name}"`;
}

export function checkSlotName(name: string, option: string): void {
  if (SLOT_NAME.test(name)) return;
  throw new ConfigurationError(
    `${option} ${JSON.stringify(name)} is no slot name: 1 to ${MAX_NAME_BYTES} lower-case letters, digits and underscores`,
    { option },
  );
}

/** NUL ends a message early; half a surrogate pair would reach the server as another character. */
function checkText(text: string, option: string): void {
  if (text.includes('\0')) throw new ConfigurationError(`${option} contains a NUL character`, { option });
  if (LONE_SURROGATE.test(text)) {
    throw new ConfigurationError(`${option} is not well-formed Unicode: it contains half a surrogate pair`, { option });
  }
}
