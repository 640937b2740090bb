import { ConfigurationError } from '../errors.js';

export const AUTH_METHODS = ['password', 'md5', 'gss', 'sspi', 'scram-sha-256', 'oauth', 'none'] as const;
/**
 * Authentication methods by the names of `require_auth`. `none`: the server asked for nothing (trust, certificate).
 *
 * @useDeclaredType
 */
export type AuthMethod = (typeof AUTH_METHODS)[number];

/**
 * libpq's `require_auth`: a comma-separated list of what is allowed or, each with `!`, of what is not. Returns the
 * allowed set.
 *
 * @see https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH
 */
export function parseRequireAuth(text: string, option: string): ReadonlySet<AuthMethod> {
  if (text.trim() === '') return new Set(AUTH_METHODS);
  const items = text.split(',').map((item) => item.trim());
  const negated = items.filter((item) => item.startsWith('!')).length;
  if (negated !== 0 && negated !== items.length) {
    throw new ConfigurationError(`${option}: either every method has a "!" or none has`, { option });
  }
  const named = new Set(items.map((item) => authMethod(item.replace(/^!\s*/, ''), option)));
  return new Set(AUTH_METHODS.filter((method) => named.has(method) !== negated > 0));
}

function authMethod(name: string, option: string): AuthMethod {
  const method = AUTH_METHODS.find((known) => known === name);
  if (method === undefined) {
    throw new ConfigurationError(`${option}: not an authentication method; known are ${AUTH_METHODS.join(', ')}`, {
      option,
    });
  }
  return method;
}
