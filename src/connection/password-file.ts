import { constants, createReadStream } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
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
  const lookUp = (host: string): Promise<string | undefined> =>
    new Promise((resolve) => {
      helper.getPassword({ host, port: address.port, database, user }, createReadStream(path), resolve);
    });
  const password = await lookUp(address.host);
  if (password !== undefined || !isUnixSocket(address)) return { password, ignored: undefined };
  // Entries for local sockets are commonly written as localhost.
  return { password: await lookUp('localhost'), ignored: undefined };
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
