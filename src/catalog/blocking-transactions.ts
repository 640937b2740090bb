import { type QueryOptions, type SqlSession, selectRows } from './sql-session.js';

/** A transaction that the creation of a logical slot has to wait for. */
export interface BlockingTransaction {
  /** Absent for a prepared transaction. */
  readonly pid: number | undefined;
  /** Of a prepared transaction. */
  readonly gid: string | undefined;
  /** Since it began or was prepared; absent where the role may not see it. */
  readonly ageMs: number | undefined;
  /** Empty for a prepared transaction, and for a session that gave none. */
  readonly applicationName: string;
  /** `idle in transaction`, `prepared`, ...; absent where the role may not see it. */
  readonly state: string | undefined;
}

/** Transactions named in an error; more would bury the oldest, which is the one to look at. */
const MAX_NAMED = 5;

/**
 * Transactions of the whole cluster that have written something, oldest first. Prepared ones count, and no backend
 * shows them: they block until somebody ends them by name.
 */
export async function listBlockingTransactions(
  session: SqlSession,
  options?: QueryOptions,
): Promise<BlockingTransaction[]> {
  const sql = `SELECT * FROM (
  SELECT pid, NULL AS gid, floor(extract(epoch FROM clock_timestamp() - xact_start) * 1000) AS age_ms,
    coalesce(application_name, '') AS application_name, state
  FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
  UNION ALL
  SELECT NULL, gid, floor(extract(epoch FROM clock_timestamp() - prepared) * 1000), '', 'prepared'
  FROM pg_catalog.pg_prepared_xacts
) AS running ORDER BY age_ms DESC NULLS LAST LIMIT ${MAX_NAMED}`;
  const rows = await selectRows(session, sql, options);
  return rows.map((row) => ({
    pid: row.optionalNumber('pid'),
    gid: row.optionalText('gid'),
    ageMs: row.optionalNumber('age_ms'),
    applicationName: row.text('application_name'),
    state: row.optionalText('state'),
  }));
}

/** `PID 4711 (psql, idle in transaction, 42 s)`; never the query text, which can hold values. */
export function describeBlockingTransaction(transaction: BlockingTransaction): string {
  const who =
    transaction.pid === undefined
      ? `prepared transaction ${JSON.stringify(transaction.gid ?? '')}`
      : `PID ${transaction.pid}`;
  const facts = [
    transaction.applicationName,
    transaction.pid === undefined ? '' : (transaction.state ?? ''),
    transaction.ageMs === undefined ? '' : `${Math.round(transaction.ageMs / 1000)} s`,
  ].filter((fact) => fact !== '');
  return facts.length === 0 ? who : `${who} (${facts.join(', ')})`;
}
