import { ProtocolError } from '../errors.js';
import { checkMessageType, MAX_MESSAGE_BYTES, MESSAGE_HEADER_BYTES } from './backend-parser.js';

/**
 * Cuts bytes into whole backend messages (type byte, Int32 length that counts itself, body), however they are split.
 * What it hands out is a view that is good during the call only.
 */
export class MessageFramer {
  readonly #maxMessageBytes: number;
  #pending: Buffer = Buffer.alloc(0);
  #pendingLength = 0;

  constructor(maxMessageBytes: number = MAX_MESSAGE_BYTES) {
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** Bytes of a message that is not whole yet; a copy. */
  get incomplete(): Uint8Array {
    return Uint8Array.from(this.#pending.subarray(0, this.#pendingLength));
  }

  /** Throws {@link ProtocolError} at the header of a message of unknown type or beyond the bound on length. */
  push(bytes: Uint8Array, onMessage: (message: Uint8Array) => void): void {
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#pendingLength === 0) {
        const length = this.#wholeLength(rest, rest.length);
        if (length !== undefined && length <= rest.length) {
          const message = rest.subarray(0, length);
          rest = rest.subarray(length);
          onMessage(message);
          continue;
        }
      }
      rest = rest.subarray(this.#gather(rest));
      if (this.#pendingLength > 0 && this.#wholeLength(this.#pending, this.#pendingLength) === this.#pendingLength) {
        const message = this.#pending.subarray(0, this.#pendingLength);
        this.#pendingLength = 0;
        // Memory of one large message is not kept for the small ones that follow.
        this.#pending = Buffer.alloc(0);
        onMessage(message);
      }
    }
  }

  /** Takes what is missing of the header or, once that is known, of the message. Returns how much that was. */
  #gather(bytes: Uint8Array): number {
    const target = this.#wholeLength(this.#pending, this.#pendingLength) ?? MESSAGE_HEADER_BYTES;
    const count = Math.min(target - this.#pendingLength, bytes.length);
    const needed = this.#pendingLength + count;
    if (needed > this.#pending.length) {
      // Doubling: memory follows what has come, not what the header claims.
      const grown = Buffer.allocUnsafe(Math.min(target, Math.max(needed, this.#pending.length * 2)));
      this.#pending.copy(grown, 0, 0, this.#pendingLength);
      this.#pending = grown;
    }
    this.#pending.set(bytes.subarray(0, count), this.#pendingLength);
    this.#pendingLength = needed;
    return count;
  }

  #wholeLength(bytes: Uint8Array, available: number): number | undefined {
    if (available === 0) return undefined;
    const type = bytes[0] ?? 0;
    checkMessageType(type);
    if (available < MESSAGE_HEADER_BYTES) return undefined;
    const length = new DataView(bytes.buffer, bytes.byteOffset, MESSAGE_HEADER_BYTES).getUint32(1);
    if (length < 4) {
      throw new ProtocolError(`the server sent a message of impossible length ${length}`, {
        offset: 1,
        tag: String.fromCharCode(type),
      });
    }
    if (length + 1 > this.#maxMessageBytes) {
      throw new ProtocolError(
        `the server announced a message of ${length} bytes; at most ${this.#maxMessageBytes} are taken`,
        { offset: 1, tag: String.fromCharCode(type) },
      );
    }
    return length + 1;
  }
}
