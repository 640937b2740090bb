import { once } from 'node:events';
import type { Duplex } from 'node:stream';

/** Far more than any client sends to a walsender in one message. */
const MAX_MESSAGE_BYTES = 1024 * 1024;
const MAX_STARTUP_BYTES = 10_000;

export interface ClientMessage {
  readonly tag: string;
  readonly body: Buffer;
}

/** The server's side of a connection: what the client sends, message by message; `undefined` when it has gone. */
export class ClientBytes {
  #socket: Duplex;
  #frozen: Promise<never> | undefined;

  constructor(socket: Duplex) {
    this.#socket = socket;
  }

  switchTo(socket: Duplex): void {
    this.#socket = socket;
  }

  /** Reads nothing any more, and does not notice that the client goes. */
  freeze(): void {
    this.#frozen ??= new Promise(() => {});
  }

  /** The first byte of what comes, which stays the next one. */
  async peek(): Promise<number | undefined> {
    const byte = await this.#read(1);
    if (byte !== undefined) this.#socket.unshift(byte);
    return byte?.[0];
  }

  /** SSLRequest, GSSENCRequest, CancelRequest or StartupMessage: length:Int32 code:Int32 ... */
  async startup(): Promise<Buffer | undefined> {
    const length = (await this.#read(4))?.readUInt32BE(0);
    if (length === undefined || length < 8 || length > MAX_STARTUP_BYTES) return undefined;
    return this.#read(length - 4);
  }

  /** tag:Byte1 length:Int32 body */
  async message(): Promise<ClientMessage | undefined> {
    const header = await this.#read(5);
    if (header === undefined) return undefined;
    const length = header.readUInt32BE(1) - 4;
    if (length < 0 || length > MAX_MESSAGE_BYTES) return undefined;
    const body = length === 0 ? Buffer.alloc(0) : await this.#read(length);
    return body && { tag: header.toString('latin1', 0, 1), body };
  }

  async #read(count: number): Promise<Buffer | undefined> {
    for (;;) {
      if (this.#frozen !== undefined) await this.#frozen;
      const socket = this.#socket;
      const bytes: Buffer | null = socket.read(count);
      // At the end read() gives whatever is left.
      if (bytes !== null) return bytes.length === count ? bytes : undefined;
      if (socket.readableEnded || socket.destroyed) return undefined;
      const done = new AbortController();
      const { signal } = done;
      const events = ['readable', 'end', 'close'].map((name) => once(socket, name, { signal }));
      await Promise.race(events).catch(() => {});
      done.abort();
    }
  }
}

/** The parameters of a StartupMessage, from after its version: (name:String value:String)* 0 */
export function startupParameters(body: Buffer): Map<string, string> {
  const texts = body.toString('utf8').split('\0');
  const parameters = new Map<string, string>();
  for (let at = 0; at + 1 < texts.length && texts[at] !== ''; at += 2) {
    parameters.set(texts[at] ?? '', texts[at + 1] ?? '');
  }
  return parameters;
}

/** A String that ends in a zero byte. */
export function textOf(body: Buffer): string {
  const zero = body.indexOf(0);
  return body.toString('utf8', 0, zero === -1 ? body.length : zero);
}
