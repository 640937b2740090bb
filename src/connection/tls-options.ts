import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import * as tls from 'node:tls';
import { ConfigurationError } from '../errors.js';
import type { TlsConfig } from './connection-options.js';

/** PostgreSQL's name in ALPN; a direct negotiation is refused without it. */
export const ALPN_POSTGRESQL = 'postgresql';

/** What of the server's certificate is checked: nothing, that the authority signed it, or the host's name too. */
export type Verification = 'none' | 'chain' | 'chain-and-host';

/** As in libpq, `require` with a root certificate verifies the chain, for the sake of old configurations. */
export function verificationFor(config: Pick<TlsConfig, 'mode' | 'rootCert'>): Verification {
  switch (config.mode) {
    case 'verify-full':
      return 'chain-and-host';
    case 'verify-ca':
      return 'chain';
    case 'require':
      return config.rootCert === undefined ? 'none' : 'chain';
    case 'disable':
    case 'allow':
    case 'prefer':
      return 'none';
    default:
      return config.mode satisfies never;
  }
}

/** Options for `tls.connect` to this host. Reads the files; a bad one is a {@link ConfigurationError}. */
export async function tlsOptionsFor(config: TlsConfig, host: string): Promise<tls.ConnectionOptions> {
  const verification = verificationFor(config);
  const { writtenIn } = config;
  const [ca, cert, key, crl] = await Promise.all([
    rootCertificates(config),
    readOptional(config.cert, writtenIn.cert),
    readOptional(config.key, writtenIn.key),
    readOptional(config.crl, writtenIn.crl),
  ]);
  const secureContext = createSecureContext(config.cert === undefined ? writtenIn.crl : writtenIn.cert, {
    minVersion: config.minVersion,
    ...(config.maxVersion !== undefined && { maxVersion: config.maxVersion }),
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(crl !== undefined && { crl }),
    ...(config.passphrase !== undefined && { passphrase: config.passphrase.reveal() }),
  });
  return {
    secureContext,
    ALPNProtocols: [ALPN_POSTGRESQL],
    rejectUnauthorized: verification !== 'none',
    // Without a server name node would check against "localhost".
    checkServerIdentity: (_name, certificate) =>
      verification === 'chain-and-host' ? tls.checkServerIdentity(host, certificate) : undefined,
    // RFC 6066 allows no addresses as server names.
    ...(config.sni && isIP(host) === 0 && { servername: host }),
  };
}

function createSecureContext(option: string, options: tls.SecureContextOptions): tls.SecureContext {
  try {
    return tls.createSecureContext(options);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown reason';
    throw new ConfigurationError(`${option}: the certificate or key files cannot be used: ${reason}`, {
      option,
      cause,
    });
  }
}

/** `undefined`: those that come with node. */
async function rootCertificates({ rootCert, writtenIn }: TlsConfig): Promise<string[] | Buffer | undefined> {
  if (rootCert === undefined) return undefined;
  if (rootCert !== 'system') return readOptional(rootCert, writtenIn.rootCert);
  // Node 22.15 and later can read the system's store; earlier ones trust their own copy of Mozilla's.
  const { getCACertificates } = tls as { getCACertificates?: (type: 'default' | 'system') => string[] };
  return getCACertificates === undefined
    ? undefined
    : [...getCACertificates('default'), ...getCACertificates('system')];
}

async function readOptional(path: string | undefined, option: string): Promise<Buffer | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path);
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable';
    throw new ConfigurationError(`${option}: cannot read ${path} (${reason})`, { option, cause });
  }
}
