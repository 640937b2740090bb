import { ConfigurationError, resolveConnectionConfig } from '../index.js';
import { UsageError } from './usage-error.js';

/** A connection string that is wrong is told as the flag that it was given as, before anything is done. */
export function checkConnection(dsn: string | undefined): void {
  try {
    resolveConnectionConfig(dsn);
  } catch (cause) {
    if (dsn === undefined || !(cause instanceof ConfigurationError) || !cause.option.startsWith('connection'))
      throw cause;
    throw new UsageError(cause.message.replace(/^connection[.:] ?/, '--dsn: '), { cause });
  }
}
