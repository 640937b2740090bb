import type { TLSSocket } from 'node:tls';
import { AuthenticationError, ProtocolError } from '../errors.js';
import type { AuthenticationRequest } from './backend-message.js';
import type { ChannelBinding } from './connection-options.js';
import { FrontendMessage } from './frontend-message.js';
import { md5PasswordHash, SCRAM_SHA_256_PLUS, ScramExchange } from './password-hash.js';
import type { AuthMethod } from './require-auth.js';

export interface AuthenticationPolicy {
  readonly user: string;
  readonly requireAuth: ReadonlySet<AuthMethod>;
  readonly channelBinding: ChannelBinding;
  /** Present on an encrypted connection. */
  readonly tlsSocket: TLSSocket | undefined;
  /** Asked at most once, and only when the server wants a password. */
  readonly password: () => Promise<string>;
}

/**
 * The client's side of authentication: takes the server's requests in order and gives the message to answer with. It
 * refuses a method that is not allowed before any password leaves, and a server that skips its own proof.
 */
export class Authentication {
  readonly #policy: AuthenticationPolicy;
  #method: AuthMethod = 'none';
  #scram: { readonly exchange: ScramExchange; stage: 'initial' | 'responded' | 'finished' } | undefined;

  constructor(policy: AuthenticationPolicy) {
    this.#policy = policy;
  }

  /** What the server has asked for so far, for messages. */
  get method(): AuthMethod {
    return this.#method;
  }

  /** The answer to send; `undefined` when none is due. Throws {@link AuthenticationError} or {@link ProtocolError}. */
  async answer(request: AuthenticationRequest): Promise<Uint8Array | undefined> {
    switch (request.method) {
      case 'ok':
        this.#accept();
        return undefined;
      case 'password':
        this.#begin('password');
        return FrontendMessage.password(await this.#policy.password());
      case 'md5': {
        this.#begin('md5');
        const password = await this.#policy.password();
        return FrontendMessage.password(await md5PasswordHash(this.#policy.user, password, request.salt));
      }
      case 'sasl':
        return this.#startScram(request.mechanisms);
      case 'sasl-continue':
        return this.#continueScram(request.data);
      case 'sasl-final':
        this.#finishScram(request.data);
        return undefined;
      case 'unsupported':
        throw new AuthenticationError(`the server asks for ${request.title}, which is not supported`, {
          method: request.title,
        });
      default:
        return request satisfies never;
    }
  }

  #begin(method: AuthMethod): void {
    if (this.#method !== 'none') throw outOfOrder();
    this.#method = method;
    const { requireAuth, channelBinding } = this.#policy;
    if (!requireAuth.has(method)) throw notAllowed(method, requireAuth);
    if (channelBinding === 'require' && method !== 'scram-sha-256') throw notBound(method);
  }

  #startScram(mechanisms: readonly string[]): Uint8Array {
    this.#begin('scram-sha-256');
    const { channelBinding, tlsSocket } = this.#policy;
    if (channelBinding === 'require' && (tlsSocket === undefined || !mechanisms.includes(SCRAM_SHA_256_PLUS))) {
      throw notBound('scram-sha-256');
    }
    const exchange = inScram(() => new ScramExchange(mechanisms, channelBinding === 'disable' ? undefined : tlsSocket));
    this.#scram = { exchange, stage: 'initial' };
    return FrontendMessage.saslInitialResponse(exchange.mechanism, exchange.initialResponse);
  }

  async #continueScram(challenge: string): Promise<Uint8Array> {
    const scram = this.#scram;
    if (scram?.stage !== 'initial') throw outOfOrder();
    const password = await this.#policy.password();
    try {
      const response = await scram.exchange.respond(password, challenge);
      scram.stage = 'responded';
      return FrontendMessage.saslResponse(response);
    } catch (cause) {
      throw scramFailed(cause);
    }
  }

  #finishScram(serverFinal: string): void {
    const scram = this.#scram;
    if (scram?.stage !== 'responded') throw outOfOrder();
    inScram(() => scram.exchange.finish(serverFinal));
    scram.stage = 'finished';
  }

  #accept(): void {
    if (this.#method === 'scram-sha-256' && this.#scram?.stage !== 'finished') {
      throw new AuthenticationError('the server ended SCRAM without proving that it knows the password', {
        method: this.#method,
      });
    }
    if (this.#method !== 'none') return;
    const { requireAuth, channelBinding } = this.#policy;
    if (!requireAuth.has('none')) throw notAllowed('none', requireAuth);
    if (channelBinding === 'require') throw notBound('none');
  }
}

function inScram<T>(step: () => T): T {
  try {
    return step();
  } catch (cause) {
    throw scramFailed(cause);
  }
}

function scramFailed(cause: unknown): AuthenticationError {
  const reason = cause instanceof Error ? cause.message.replace(/^SASL: /, '') : 'unknown reason';
  return new AuthenticationError(`SCRAM authentication failed: ${reason}`, { method: 'scram-sha-256', cause });
}

function notAllowed(method: AuthMethod, allowed: ReadonlySet<AuthMethod>): AuthenticationError {
  const asked = method === 'none' ? 'the server asked for no authentication' : `the server asked for ${method}`;
  return new AuthenticationError(`${asked}, but require_auth allows ${[...allowed].join(', ')} only`, { method });
}

function notBound(method: AuthMethod): AuthenticationError {
  return new AuthenticationError('channel_binding=require, but the server does not offer it with this connection', {
    method,
  });
}

function outOfOrder(): ProtocolError {
  return new ProtocolError('the server sent an authentication request out of order', { offset: 0, tag: 'R' });
}
