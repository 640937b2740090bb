import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto';

export const SCRAM_SHA_256 = 'SCRAM-SHA-256';
const ITERATIONS = 4096;
const KEY_BYTES = 32;

/**
 * The server's side of SCRAM-SHA-256, without channel binding.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5802
 */
export class ScramVerifier {
  readonly #password: string;
  readonly #salt = randomBytes(16);
  #clientFirst = '';
  #serverFirst = '';
  #nonce = '';

  constructor(password: string) {
    this.#password = password;
  }

  /** `n,,n=user,r=nonce` → `r=nonce,s=salt,i=iterations`; `undefined` for what it cannot take. */
  challenge(clientFirst: string): string | undefined {
    const match = /^(?:n|y),(?:a=[^,]*)?,(n=[^,]*,r=([!-+\--~]+))$/.exec(clientFirst);
    if (match === null) return undefined;
    this.#clientFirst = match[1] ?? '';
    this.#nonce = `${match[2]}${randomBytes(18).toString('base64')}`;
    this.#serverFirst = `r=${this.#nonce},s=${this.#salt.toString('base64')},i=${ITERATIONS}`;
    return this.#serverFirst;
  }

  /** `c=...,r=nonce,p=proof` → `v=signature`; `undefined` when the client does not know the password. */
  verify(clientFinal: string): string | undefined {
    const match = /^(c=[^,]*,r=([^,]*)),p=(.*)$/.exec(clientFinal);
    if (match === null || match[2] !== this.#nonce) return undefined;
    const salted = pbkdf2Sync(this.#password.normalize('NFKC'), this.#salt, ITERATIONS, KEY_BYTES, 'sha256');
    const clientKey = hmac(salted, 'Client Key');
    const storedKey = createHash('sha256').update(clientKey).digest();
    const exchange = `${this.#clientFirst},${this.#serverFirst},${match[1]}`;
    const expected = xor(clientKey, hmac(storedKey, exchange));
    const proof = Buffer.from(match[3] ?? '', 'base64');
    if (proof.length !== expected.length || !timingSafeEqual(proof, expected)) return undefined;
    return `v=${hmac(hmac(salted, 'Server Key'), exchange).toString('base64')}`;
  }
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(a.map((byte, at) => byte ^ (b[at] ?? 0)));
}
