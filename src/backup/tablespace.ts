import { posix } from 'node:path';
import type { QueryResult } from '../connection/query-result.js';
import { ProtocolError } from '../errors.js';

/** What of the server is in one archive: a tablespace or, last, the data directory itself. */
export interface BackupTablespace {
  /** `undefined`: the data directory. */
  readonly oid: number | undefined;
  /** Path on the server; empty for the data directory, `pg_tblspc/<oid>` for a tablespace that lies in it. */
  readonly location: string;
  /** The server's estimate, where it was asked for progress. */
  readonly sizeKb: number | undefined;
}

/**
 * spcoid, spclocation, size: one row for each archive, with nulls for the data directory, which comes last.
 *
 * @see https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP
 */
export function parseTablespaces({ rows }: QueryResult): BackupTablespace[] {
  const tablespaces = rows.map(([oid, location, size]): BackupTablespace => {
    const sizeKb = size === null || size === undefined ? undefined : Number(size);
    if (oid === null || oid === undefined) return { oid: undefined, location: '', sizeKb };
    if (!/^[1-9]\d{0,9}$/.test(oid) || Number(oid) > 0xffff_ffff) throw malformed('an OID that is none');
    if (!location || location.includes('\0')) throw malformed('a tablespace without a location');
    // Replaced by the decoder: the folder would get another name.
    if (location.includes('\ufffd')) throw malformed('a tablespace whose location is not UTF-8');
    return { oid: Number(oid), location, sizeKb };
  });
  const oids = new Set(tablespaces.map(({ oid }) => oid));
  if (oids.size !== tablespaces.length) throw malformed('the same tablespace twice');
  if (tablespaces.at(-1)?.oid !== undefined || !oids.has(undefined)) {
    throw malformed('a list that does not end with the data directory');
  }
  return tablespaces;
}

/** Whether a tablespace lies in the data directory itself (allow_in_place_tablespaces). */
export function isInPlace({ oid, location }: BackupTablespace): boolean {
  return oid !== undefined && location === `pg_tblspc/${oid}`;
}

/** A path on the server, in the one way to write it: without `//` and without a slash at its end. */
export function serverPath(path: string): string {
  return posix.normalize(path).replace(/(?<=.)\/$/, '');
}

/** Name of the archive that the server makes of it. */
export function archiveName({ oid }: BackupTablespace): string {
  return oid === undefined ? 'base.tar' : `${oid}.tar`;
}

function malformed(problem: string): ProtocolError {
  return new ProtocolError(`the server's list of tablespaces has ${problem}`, { offset: 0, tag: 'D' });
}
