import { ConfigurationError } from '../errors.js';
import { parseServerVersion } from '../protocol/server-version.js';

/** PostgreSQL 14: the oldest whose replication commands and protocol this library speaks. */
export const MIN_SERVER_VERSION = 140000;

/** Throws {@link ConfigurationError} when the server is older than {@link MIN_SERVER_VERSION}. */
export function checkServerVersion(text: string | undefined): number {
  const version = parseServerVersion(text ?? '');
  if (version < MIN_SERVER_VERSION) {
    throw new ConfigurationError(`the server is PostgreSQL ${text}; 14 or later is needed`, {
      option: 'connection.host',
    });
  }
  return version;
}
