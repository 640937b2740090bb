import { generate } from 'selfsigned';

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority of this test's own, and certificates that it signs. */
export class CertificateAuthority {
  readonly cert: string;
  readonly #key: string;

  private constructor({ cert, key }: Certificate) {
    this.cert = cert;
    this.#key = key;
  }

  static async create(name: string): Promise<CertificateAuthority> {
    const made = await generate([{ name: 'commonName', value: name }], {
      keyType: 'ec',
      algorithm: 'sha256',
      extensions: [
        { name: 'basicConstraints', cA: true, critical: true },
        { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
      ],
    });
    return new CertificateAuthority({ cert: made.cert, key: made.private });
  }

  /** For a server of this host name or, with `passphrase`, a client of this role. */
  async sign(commonName: string, passphrase?: string): Promise<Certificate> {
    const made = await generate([{ name: 'commonName', value: commonName }], {
      keyType: 'ec',
      algorithm: 'sha256',
      ca: { cert: this.cert, key: this.#key },
      extensions: [
        { name: 'basicConstraints', cA: false },
        { name: 'subjectAltName', altNames: [{ type: 2, value: commonName }] },
      ],
      ...(passphrase !== undefined && { passphrase }),
    });
    return { cert: made.cert, key: made.private };
  }
}
