import { ConfigurationError, ProtocolError } from '../errors.js';

/** PostgreSQL 14: the oldest whose replication commands and protocol this library speaks. */
export const MIN_SERVER_VERSION = 140000;

/** `server_version` as number: `18.4 (Debian 18.4-1)` → 180004, `19devel` → 190000. */
export function parseServerVersion(text: string): number {
  const match = /^(\d{1,3})(?:\.(\d{1,4}))?/.exec(text);
  if (match === null) throw new ProtocolError('the server reports no version that can be read', { offset: 0 });
  return Number(match[1]) * 10_000 + Number(match[2] ?? 0);
}

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
