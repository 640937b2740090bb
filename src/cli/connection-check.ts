import { ConfigurationError, resolveConnectionConfig } from '../index.js';
import { UsageError } from './usage-error.js';

/**
 * A connection string that is wrong is told with where it was written, before anything is done. What is wrong in a PG*
 * variable names that.
 */
export function checkConnection(dsn: string | undefined): void {
  try {
    resolveConnectionConfig(dsn);
  } catch (cause) {
    if (!(cause instanceof ConfigurationError) || !/^connection\b/.test(cause.option)) throw cause;
    if (dsn !== undefined) throw new UsageError(`--dsn: ${cause.message}`, { cause });
    if (!process.env.DATABASE_URL) throw cause;
    throw new ConfigurationError(`DATABASE_URL: ${cause.message}`, { option: cause.option, cause });
  }
}
