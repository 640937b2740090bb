import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { PgpassEntry, PgpassHelper } from 'pgpass/lib/helper.js';
import { isUnixSocket, type ServerAddress } from './server-address.js';

/** What the password file had for a connection; `ignored` says why the file was not read although it is there. */
export interface PasswordFileEntry {
  readonly password: string | undefined;
  readonly ignored: string | undefined;
}

/**
 * The password that `~/.pgpass` (or the file given) has for this server, database and user. As in libpq, a file that
 * others can read is ignored; pgpass itself would say so on stderr, which is not a library's place.
 *
 * @see https://www.postgresql.org/docs/current/libpq-pgpass.html
 */
export async function readPasswordFile(
  file: string | undefined,
  connection: { readonly address: ServerAddress; readonly database: string; readonly user: string },
  env: NodeJS.ProcessEnv = process.env,
): Promise<PasswordFileEntry> {
  const path = file ?? defaultPasswordFile(env);
  const ignored = await whyIgnored(path);
  if (ignored !== undefined) return { password: undefined, ignored: ignored || undefined };
  const { default: helper } = await import('pgpass/lib/helper.js');
  const { address, database, user } = connection;
  const lines = (await readFile(path, 'utf8')).split(/\r?\n/);
  const entries = lines.map((line) => parseLine(helper, line)).filter((entry) => entry !== null);
  const lookUp = (host: string): string | undefined =>
    entries.find((entry) => helper.match({ host, port: address.port, database, user }, entry))?.password;
  const password = lookUp(address.host);
  if (password !== undefined || !isUnixSocket(address)) return { password, ignored: undefined };
  // Entries for local sockets are commonly written as localhost.
  return { password: lookUp('localhost'), ignored: undefined };
}

/** pgpass parses no shorter line, not even `*:*:*:*:pw`. */
const SHORTEST_PARSED = 11;

/** The password is the last field: what a short line is filled up with is its end, and is cut off again. */
function parseLine(helper: PgpassHelper, line: string): PgpassEntry | null {
  const entry = helper.parseLine(line.padEnd(SHORTEST_PARSED));
  if (entry === null) return null;
  const filled = Math.max(SHORTEST_PARSED - line.length, 0);
  const cut = { ...entry, password: entry.password.slice(0, entry.password.length - filled) };
  return helper.isValidEntry(cut) ? cut : null;
}

/** pgpass' own default is the current folder when there is no HOME: anybody's file. */
function defaultPasswordFile(env: NodeJS.ProcessEnv): string {
  if (process.platform === 'win32') return join(env.APPDATA ?? homedir(), 'postgresql', 'pgpass.conf');
  return join(env.HOME || homedir(), '.pgpass');
}

/** Empty when the file is simply not there. */
async function whyIgnored(path: string): Promise<string | undefined> {
  try {
    const stats = await stat(path);
    if (!stats.isFile()) return `password file ${path} was ignored: not a plain file`;
    if (process.platform !== 'win32' && (stats.mode & 0o077) !== 0) {
      return `password file ${path} was ignored: others have access to it (chmod 600 mends that)`;
    }
    await access(path, constants.R_OK);
    return undefined;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    return code === 'ENOENT' || code === 'ENOTDIR' ? '' : `password file ${path} was ignored: it cannot be read`;
  }
}
