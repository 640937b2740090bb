import type { QueryOptions } from '../connection/pg-connection.js';
import type { QueryResult } from '../connection/query-result.js';
import { ProtocolError } from '../errors.js';
import { Lsn } from '../lsn.js';

export type { QueryOptions, QueryResult };

/**
 * What the catalog needs of a connection. A logical replication connection (`replication=database`) takes plain SQL
 * and replication commands alike, as long as it does not stream. Errors of the server arrive as ServerError, those
 * about who we are and what we may do (28xxx, 42501) as AuthenticationError.
 *
 * An error in a session drops the temporary slots of that session, on every version: nothing here lets a statement
 * fail on purpose.
 *
 * @see https://www.postgresql.org/docs/current/protocol-replication.html
 */
export interface SqlSession {
  /** Such as 180004. */
  readonly serverVersion: number;
  /** Whom it is connected to, for errors. */
  readonly host: string;
  /** The process that BackendKeyData named; one that pg_backend_pid() does not confirm betrays a pooler. */
  readonly processId: number;
  /** Runs SQL in the simple query protocol; one result for each statement. */
  query(sql: string, options?: QueryOptions): Promise<readonly QueryResult[]>;
}

/** Runs one statement and gives its rows by column name. */
export async function selectRows(session: SqlSession, sql: string, options?: QueryOptions): Promise<CatalogRow[]> {
  const [result] = await session.query(sql, options);
  if (result === undefined) return [];
  return result.rows.map((values) => new CatalogRow(result.columns, values));
}

/** A row of text values, read by column name and type. A missing column or value is an answer we cannot trust. */
export class CatalogRow {
  readonly #columns: readonly string[];
  readonly #values: readonly (string | null)[];

  constructor(columns: readonly string[], values: readonly (string | null)[]) {
    this.#columns = columns;
    this.#values = values;
  }

  text(column: string): string {
    const value = this.optionalText(column);
    if (value === undefined) throw new ProtocolError(`column ${column} of a catalog query is null`, { offset: 0 });
    return value;
  }

  optionalText(column: string): string | undefined {
    const value = this.#values[this.#columns.indexOf(column)];
    if (value === undefined) throw new ProtocolError(`a catalog query came back without ${column}`, { offset: 0 });
    return value ?? undefined;
  }

  /** Null counts as false. */
  boolean(column: string): boolean {
    return this.optionalText(column) === 't';
  }

  number(column: string): number {
    return numberFrom(this.text(column), column);
  }

  optionalNumber(column: string): number | undefined {
    const text = this.optionalText(column);
    return text === undefined ? undefined : numberFrom(text, column);
  }

  optionalBigint(column: string): bigint | undefined {
    const text = this.optionalText(column);
    return text === undefined ? undefined : readAs(column, () => BigInt(text));
  }

  lsn(column: string): bigint {
    const text = this.text(column);
    return readAs(column, () => Lsn.parse(text));
  }

  optionalLsn(column: string): bigint | undefined {
    const text = this.optionalText(column);
    return text === undefined ? undefined : readAs(column, () => Lsn.parse(text));
  }

  /** JSON, which `isRight` says to have the form that was asked for; `undefined` for null. */
  optionalJson<T>(column: string, isRight: (value: unknown) => value is T): T | undefined {
    const text = this.optionalText(column);
    if (text === undefined) return undefined;
    const value = readAs(column, () => JSON.parse(text) as unknown);
    if (!isRight(value)) throw malformed(column);
    return value;
  }
}

function numberFrom(text: string, column: string): number {
  const value = Number(text);
  if (text === '' || Number.isNaN(value)) throw malformed(column);
  return value;
}

function readAs<T>(column: string, read: () => T): T {
  try {
    return read();
  } catch {
    throw malformed(column);
  }
}

/** What is in it may be a secret, or a hostile server's joke on a terminal. */
function malformed(column: string): ProtocolError {
  return new ProtocolError(`column ${column} of a catalog query is malformed`, { offset: 0 });
}
