import { ConfigurationError, ProtocolError } from '../errors.js';

/** `server_version` as number: `18.4 (Debian 18.4-1)` → 180004, `19devel` → 190000. */
export function parseServerVersion(text: string): number {
  const match = /^(\d{1,3})(?:\.(\d{1,4}))?/.exec(text);
  if (match === null) throw new ProtocolError('the server reports no version that can be read', { offset: 0 });
  return Number(match[1]) * 10_000 + Number(match[2] ?? 0);
}

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
