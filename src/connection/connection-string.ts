import { ConfigurationError } from '../errors.js';

/*
 * libpq's two forms of connection string. pg-connection-string and WHATWG URL know neither several hosts nor
 * `keyword=value`; the former also reads certificate files, prints deprecation warnings and re-encodes what it gets.
 * Messages name no values: any part of a string that is not well-formed may be a piece of a password.
 *
 *   postgresql://[user[:password]@][host][:port][,...][/dbname][?name=value[&...]]
 *   host=a,b port=5432 user='with space' password=\'
 *
 * https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
 */

const URI = /^postgres(?:ql)?:\/\/([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s;
const URI_HOST = /^(\[[^\]]*\]|[^:[\]]*)(?::([^:]*))?$/;

/**
 * Names as in libpq, values as text. Throws {@link ConfigurationError} when it is neither form; `origin` is what the string
 * was given as: `connection`, `DATABASE_URL`.
 */
export function parseConnectionString(text: string, origin: string): Map<string, string> {
  const trimmed = text.trim();
  if (/^postgres(?:ql)?:\/\//.test(trimmed)) return parseUri(trimmed, origin);
  if (/^\w+\s*=/.test(trimmed)) return parseKeywords(trimmed, origin);
  throw malformed(origin, 'expected postgresql://user:password@host:port/database or keyword=value pairs');
}

function parseUri(text: string, origin: string): Map<string, string> {
  const [, authority = '', database = '', query = ''] = URI.exec(text) ?? [];
  const settings = new Map<string, string>();
  // A raw '@' in a password is common, and cannot stand in a host.
  const at = authority.lastIndexOf('@');
  // Cut off at a raw "/" or "?", the rest of a password would be taken, and named, as a database or parameter.
  if (at === -1 && authority !== '' && text.includes('@')) {
    throw malformed(origin, '"/" and "?" in a user name or password, and "@" after the host, must be percent-encoded');
  }
  if (at !== -1) addCredentials(settings, authority.slice(0, at), origin);
  addHosts(settings, authority.slice(at + 1), origin);
  if (database !== '') settings.set('dbname', decode(database, `${origin}.dbname`));
  for (const pair of query === '' ? [] : query.split('&')) {
    const equals = pair.indexOf('=');
    if (equals === -1) throw malformed(origin, 'a parameter after "?" lacks its "="');
    const name = decode(pair.slice(0, equals), origin);
    settings.set(name, decode(pair.slice(equals + 1), settingOption(origin, name)));
  }
  return settings;
}

function addCredentials(settings: Map<string, string>, credentials: string, origin: string): void {
  const colon = credentials.indexOf(':');
  const user = colon === -1 ? credentials : credentials.slice(0, colon);
  if (user !== '') settings.set('user', decode(user, `${origin}.user`));
  if (colon !== -1) settings.set('password', decode(credentials.slice(colon + 1), `${origin}.password`));
}

function addHosts(settings: Map<string, string>, hosts: string, origin: string): void {
  if (hosts === '') return;
  const names: string[] = [];
  const ports: string[] = [];
  for (const item of hosts.split(',')) {
    const match = URI_HOST.exec(item);
    if (match === null) throw malformed(origin, 'a host is not of the form host:port; an IPv6 address needs [ ]');
    names.push(decode((match[1] ?? '').replace(/^\[(.*)\]$/, '$1'), `${origin}.host`));
    ports.push(decode(match[2] ?? '', `${origin}.port`));
  }
  if (names.some((name) => name !== '')) settings.set('host', names.join(','));
  if (ports.some((port) => port !== '')) settings.set('port', ports.join(','));
}

function decode(text: string, option: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw malformed(option, 'bad percent-encoding');
  }
}

/** `connection.sslmode`. What cannot be a name may be a piece of a password, and is not shown. */
export function settingOption(origin: string, name: string): string {
  return `${origin}.${/^\w{1,64}$/.test(name) ? name : '?'}`;
}

/** Values stand bare or in single quotes; a backslash escapes the next character in both. */
function parseKeywords(text: string, origin: string): Map<string, string> {
  const settings = new Map<string, string>();
  const pair = /\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*)?)(?=\s|$)/gsy;
  while (pair.lastIndex < text.length) {
    const match = pair.exec(text);
    if (match === null) throw malformed(origin, 'expected keyword=value pairs; values with spaces need single quotes');
    const [, name = '', quoted, bare = ''] = match;
    settings.set(name, (quoted ?? bare).replaceAll(/\\(.)/gs, '$1'));
  }
  return settings;
}

function malformed(option: string, what: string): ConfigurationError {
  return new ConfigurationError(`${option}: not a connection string: ${what}`, { option });
}
