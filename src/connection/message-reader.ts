import { ProtocolError } from '../errors.js';
import type { BackendMessage, ErrorFields } from './backend-message.js';
import { parseBackendMessage } from './backend-parser.js';
import { MessageFramer } from './message-framer.js';
import type { ReadSink } from './transport.js';

const READ_MEMORY_BYTES = 64 * 1024;

/** What a server may send before it is ready: a hostile one could go on for ever. */
export const MAX_STARTUP_BYTES = 1024 * 1024;

/** What may wait unread while nobody asks: an idle server says next to nothing. */
export const MAX_QUEUED_MESSAGES = 100_000;

/**
 * Messages of the server in order, for start-up and queries: one `next()` at a time. Notices and parameter changes may
 * come at any moment and go to their handlers at once.
 */
export class MessageReader implements ReadSink {
  readonly #memory = new Uint8Array(READ_MEMORY_BYTES);
  readonly #framer = new MessageFramer();
  readonly #onNotice: (fields: ErrorFields) => void;
  readonly #onParameter: (parameter: string, value: string) => void;
  #queue: BackendMessage[] = [];
  #taken = 0;
  #failure: { readonly error: unknown } | undefined;
  #waiter: { resolve: (message: BackendMessage) => void; reject: (error: unknown) => void } | undefined;
  #bytesAllowed = MAX_STARTUP_BYTES;
  #firstByteSeen = false;
  #onFailure: ((error: unknown) => void) | undefined;

  constructor(handlers: {
    onNotice: (fields: ErrorFields) => void;
    onParameter: (parameter: string, value: string) => void;
  }) {
    this.#onNotice = handlers.onNotice;
    this.#onParameter = handlers.onParameter;
  }

  /** Told once, at once, when the connection is of no use any more. */
  set onFailure(handler: (error: unknown) => void) {
    this.#onFailure = handler;
    if (this.#failure !== undefined) handler(this.#failure.error);
  }

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** The next message; rejects with what {@link fail} was given once everything that came before has been taken. */
  next(): Promise<BackendMessage> {
    const queued = this.#take();
    if (queued !== undefined) return Promise.resolve(queued);
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    if (this.#waiter !== undefined) return Promise.reject(new Error('next() is already waiting'));
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  /** Nothing can come any more: rejects who waits, and everybody who asks later. Only the first reason counts. */
  fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = { error };
    this.#waiter?.reject(error);
    this.#waiter = undefined;
    this.#onFailure?.(error);
  }

  /** Start-up is over: {@link MAX_STARTUP_BYTES} counts no longer. */
  started(): void {
    this.#bytesAllowed = Number.POSITIVE_INFINITY;
  }

  /** What has come and was not asked for: bytes of an incomplete message; whole messages stay with {@link next}. */
  get incomplete(): Uint8Array {
    return this.#framer.incomplete;
  }

  get queued(): number {
    return this.#queue.length - this.#taken;
  }

  buffer(): Uint8Array {
    return this.#memory;
  }

  onBytes(count: number, memory: Uint8Array): void {
    if (this.#failure !== undefined) return;
    try {
      this.#checkFirstByte(memory[0]);
      this.#bytesAllowed -= count;
      if (this.#bytesAllowed < 0) {
        throw new ProtocolError(`the server sent over ${MAX_STARTUP_BYTES} bytes and is still not ready`, {
          offset: 0,
        });
      }
      this.#framer.push(memory.subarray(0, count), (message) => this.#dispatch(parseBackendMessage(message)));
    } catch (error) {
      this.fail(error);
    }
  }

  onClose(error: Error | undefined): void {
    this.fail(new ConnectionClosed(error));
  }

  /** Every server begins with Authentication, an error or a notice; what begins otherwise speaks another protocol. */
  #checkFirstByte(byte: number | undefined): void {
    if (this.#firstByteSeen) return;
    this.#firstByteSeen = true;
    if (byte !== 0x52 && byte !== 0x45 && byte !== 0x4e) {
      const message = `the first byte that came is 0x${byte?.toString(16)}: this is not a PostgreSQL server`;
      throw new ProtocolError(message, { offset: 0 });
    }
  }

  #dispatch(message: BackendMessage): void {
    if (message.name === 'noticeResponse') {
      this.#onNotice(message.fields);
    } else if (message.name === 'parameterStatus') {
      this.#onParameter(message.parameter, message.value);
    } else if (message.name !== 'notificationResponse') {
      // Nobody here listens; a hook of the database may have made the session do so.
      this.#give(message);
    }
  }

  #give(message: BackendMessage): void {
    const waiter = this.#waiter;
    if (waiter !== undefined) {
      this.#waiter = undefined;
      waiter.resolve(message);
      return;
    }
    if (this.queued >= MAX_QUEUED_MESSAGES) {
      throw new ProtocolError('the server keeps sending messages that nobody asked for', { offset: 0 });
    }
    this.#queue.push(message);
  }

  #take(): BackendMessage | undefined {
    if (this.#taken === this.#queue.length) return undefined;
    const message = this.#queue[this.#taken++];
    if (this.#taken === this.#queue.length) {
      this.#queue = [];
      this.#taken = 0;
    }
    return message;
  }
}

/** The socket has closed; whoever waited knows host and phase and makes a ConnectionError of it. */
export class ConnectionClosed extends Error {
  constructor(cause: Error | undefined) {
    super('the connection was closed', cause === undefined ? undefined : { cause });
    this.name = 'ConnectionClosed';
  }
}
