import type { ConnectionConfig } from './connection-config.js';
import { formatAddress } from './server-address.js';

/** For a session with the very server that streams, of several; `undefined` when `host`, as in messages, is none of them. */
export function pinnedTo(config: ConnectionConfig, host: string): ConnectionConfig | undefined {
  const address = config.hosts.find((one) => formatAddress(one) === host);
  return address && { ...config, hosts: [address] };
}
