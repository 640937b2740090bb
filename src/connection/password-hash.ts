import type { TLSSocket } from 'node:tls';
import sasl from 'pg/lib/crypto/sasl.js';
import utils from 'pg/lib/crypto/utils.js';

/*
 * The only importer of node-postgres' authentication code, which is not part of its public interface: pg is pinned to
 * an exact version, and the tests of authentication against real servers notice when it moves.
 */

/**
 * Most PBKDF2 rounds that a server may ask for: a hostile one could keep a thread busy for hours. PostgreSQL's default
 * is 4096; a million takes under a second.
 */
export const MAX_SCRAM_ITERATIONS = 1_000_000;

export const SCRAM_SHA_256 = 'SCRAM-SHA-256';
export const SCRAM_SHA_256_PLUS = 'SCRAM-SHA-256-PLUS';

/** Answer to AuthenticationMD5Password. */
export function md5PasswordHash(user: string, password: string, salt: Uint8Array): Promise<string> {
  return utils.postgresMd5PasswordHash(user, password, salt);
}

/**
 * One SCRAM exchange: `initialResponse`, then {@link respond} to the server's challenge, then {@link finish}, which
 * throws unless the server has proved that it knows the password too. Errors are node-postgres' own.
 *
 * @see https://www.postgresql.org/docs/current/sasl-authentication.html
 */
export class ScramExchange {
  readonly #session: ReturnType<typeof sasl.startSession>;
  readonly #tlsSocket: TLSSocket | null;

  /** With a TLS socket the exchange is bound to it where the server offers that; without one it is not. */
  constructor(mechanisms: readonly string[], tlsSocket: TLSSocket | undefined) {
    this.#tlsSocket = tlsSocket ?? null;
    this.#session = sasl.startSession(mechanisms, this.#tlsSocket, MAX_SCRAM_ITERATIONS);
  }

  get mechanism(): string {
    return this.#session.mechanism;
  }

  get initialResponse(): string {
    return this.#session.response;
  }

  async respond(password: string, challenge: string): Promise<string> {
    await sasl.continueSession(this.#session, password, challenge, this.#tlsSocket);
    return this.#session.response;
  }

  finish(serverFinal: string): void {
    sasl.finalizeSession(this.#session, serverFinal);
  }
}
