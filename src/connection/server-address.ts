import { isIP } from 'node:net';

/** Where one server listens: a host name or address and a port, or the folder of a Unix socket (starts with `/` or `@`). */
export interface ServerAddress {
  /** Name, address, or folder of a Unix socket. */
  readonly host: string;
  /** Of a Unix socket the number in its name. */
  readonly port: number;
}

/** As in libpq, a host that is a path is the folder of a Unix socket, and `@` starts an abstract name. */
export function isUnixSocket(address: ServerAddress): boolean {
  return address.host.startsWith('/') || address.host.startsWith('@');
}

/** Path that `net.connect` takes; an abstract name starts with NUL there. */
export function unixSocketPath(address: ServerAddress): string {
  const path = `${address.host}/.s.PGSQL.${address.port}`;
  return path.startsWith('@') ? `\0${path.slice(1)}` : path;
}

/** `host:port`, `[v6]:port` or the socket's path, for messages. */
export function formatAddress(address: ServerAddress): string {
  if (isUnixSocket(address)) return `${address.host}/.s.PGSQL.${address.port}`;
  return isIP(address.host) === 6 ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
