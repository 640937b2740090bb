import { ConfigurationError } from '../errors.js';

/** `180004` → `'18.4'`: the form of `server_version_num` since PostgreSQL 10. */
export function formatServerVersion(serverVersion: number): string {
  return `${Math.floor(serverVersion / 10_000)}.${serverVersion % 10_000}`;
}

/**
 * Refuses what the server would answer with a syntax error or an unknown option.
 *
 * @param what what is asked for, as the start of a sentence: `streaming: parallel`
 * @throws ConfigurationError naming the option, the version that has it and the server's
 */
export function requireServerVersion(serverVersion: number, since: number, what: string, option: string): void {
  if (serverVersion >= since) return;
  throw new ConfigurationError(
    `${what} needs PostgreSQL ${Math.floor(since / 10_000)} or later; this server is ${formatServerVersion(serverVersion)}`,
    { option },
  );
}
