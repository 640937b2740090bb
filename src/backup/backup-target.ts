import { wrong } from '../errors/option-checks.js';

/** Where a backup goes that does not come here; 15 and later. */
export interface BackupTarget {
  /** `server`, `blackhole`, or one that an extension of the server has. */
  readonly name: string;
  /** For `server` the folder on the server. */
  readonly detail: string | undefined;
}

/**
 * Reads what pg_basebackup's `--target` takes: `TARGET[:DETAIL]`. `client`, the default, is `undefined`.
 *
 * @throws ConfigurationError
 * @see https://www.postgresql.org/docs/current/app-pgbasebackup.html
 */
export function parseTarget(text: string | undefined): BackupTarget | undefined {
  if (text === undefined || text === 'client') return undefined;
  if (typeof text !== 'string') throw wrong('target', 'must be a string');
  const colon = text.indexOf(':');
  const name = colon === -1 ? text : text.slice(0, colon);
  const detail = colon === -1 ? undefined : text.slice(colon + 1);
  if (name === '' || name === 'client' || text.includes('\0')) {
    throw wrong('target', "must be 'client', 'server:/path' or 'blackhole'");
  }
  if (name === 'server' && !detail) throw wrong('target', "needs a folder on the server: 'server:/path'");
  if (name === 'blackhole' && detail !== undefined) throw wrong('target', "'blackhole' takes nothing behind it");
  return { name, detail };
}
