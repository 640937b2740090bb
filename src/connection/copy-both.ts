import { ConnectionError, ProtocolError, TimeoutError, type WalStreamError } from '../errors.js';
import { COPY_DATA, FRAME_HEADER_BYTES } from '../protocol/frame-scan.js';
import { parseBackendMessage } from './backend-parser.js';
import { connectionErrorFrom } from './connect-deadline.js';
import { FrontendMessage } from './frontend-message.js';
import type { PgConnection } from './pg-connection.js';
import { ReadScheduler } from './read-scheduler.js';
import { type ServerNotice, serverErrorFrom, serverNoticeFrom } from './server-error.js';
import type { Slab } from './slab.js';
import { SlabReader, type SlabReaderHandler } from './slab-reader.js';
import type { Transport } from './transport.js';

/** Longest message that a stream takes, unless asked otherwise: a row with a value of 100 MB fits well. */
export const DEFAULT_MAX_MESSAGE_BYTES = 256 * 1024 * 1024;

/** A server that asks for replies without end, and reads none, is not to fill our memory. */
const MAX_UNSENT_MESSAGES = 64;

/** Gets what the server sends. Offsets are into the slab that is named, and hold until its `onSlabEnd`. */
export interface CopyBothHandler {
  /** The payload of a CopyData message. An error that it throws ends the COPY. */
  onCopyData(slab: Slab, start: number, end: number): void;
  /** One read was scanned, in `busyMs`; `drained` when the kernel had no more. */
  onReadEnd(byteCount: number, drained: boolean, busyMs: number): void;
  /** The next messages come in another slab: what still needs this one must hold it now. */
  onSlabEnd(): void;
  onNotice(notice: ServerNotice): void;
  /** A row after the COPY, such as where the next timeline begins. */
  onRow?(values: readonly (string | null)[]): void;
  /** Once: the stream is over, orderly (`undefined`) or by an error. */
  onEnd(error: unknown): void;
}

export interface CopyBothOptions {
  /** Bound on the wait for the server to start. Default: none. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly maxMessageBytes?: number;
}

/**
 * The COPY BOTH of a streaming replication: bytes in slabs, read at the scheduler's pace.
 *
 * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY
 */
export class CopyBoth implements SlabReaderHandler {
  readonly host: string;
  readonly #transport: Transport;
  readonly #handler: CopyBothHandler;
  readonly #reader: SlabReader;
  readonly #scheduler: ReadScheduler;
  #state: 'starting' | 'streaming' | 'finishing' | 'ended' = 'starting';
  #started: { resolve: () => void; reject: (error: unknown) => void } | undefined;
  #finished: (() => void) | undefined;
  #error: WalStreamError | undefined;
  #bytesRead = 0;
  #reads = 0;
  #rows = 0;
  /** Messages that the kernel has not taken yet. */
  #unsent = 0;

  /** Sends the command (START_REPLICATION) and waits until the server streams. The connection is used up. */
  static async start(
    connection: PgConnection,
    command: string,
    handler: CopyBothHandler,
    options: CopyBothOptions = {},
  ): Promise<CopyBoth> {
    const { signal, timeoutMs } = options;
    signal?.throwIfAborted();
    const copy = new CopyBoth(connection, handler, options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES);
    const { host } = copy;
    const giveUp = (error: unknown) => {
      copy.#transport.destroy();
      copy.#end(error);
    };
    const onAbort = () => giveUp(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            const message = `${host} did not start to stream within ${timeoutMs} ms`;
            giveUp(new TimeoutError(message, { host, phase: 'streaming', timeoutMs }));
          }, timeoutMs);
    try {
      await copy.#begin(command);
      return copy;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  private constructor(connection: PgConnection, handler: CopyBothHandler, maxMessageBytes: number) {
    this.host = connection.host;
    this.#handler = handler;
    this.#reader = new SlabReader(this, maxMessageBytes);
    this.#transport = connection.detach();
    this.#scheduler = new ReadScheduler(this.#transport);
    this.#transport.setSink(this.#reader);
  }

  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** Calls in which the kernel gave bytes. */
  get reads(): number {
    return this.#reads;
  }

  /** Milliseconds between reads now; 0 when every byte is read at once. */
  get readDelayMs(): number {
    return this.#scheduler.delayMs;
  }

  /** Whether reading is held. */
  get held(): boolean {
    return this.#scheduler.held;
  }

  /** Reads nothing until {@link release}: the server has to wait. */
  hold(): void {
    this.#scheduler.hold();
  }

  release(): void {
    this.#scheduler.release();
  }

  /** Whether the server takes nothing more for now: it need not be told more, and what waits is bounded. */
  get congested(): boolean {
    return this.#unsent >= MAX_UNSENT_MESSAGES;
  }

  send(payload: Buffer): void {
    if (this.#state !== 'streaming') return;
    this.#unsent++;
    this.#transport.write(FrontendMessage.copyData(payload), () => {
      this.#unsent--;
    });
  }

  /**
   * Ends the COPY: CopyDone, then whatever the server still sends is discarded until it has ended too, or for
   * `timeoutMs`; then closes. What was sent before is sure to be read by a server that answers.
   */
  async finish(timeoutMs: number): Promise<void> {
    if (this.#state === 'streaming') {
      this.#state = 'finishing';
      this.#transport.write(FrontendMessage.copyDone());
      this.#scheduler.stop();
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.#finished = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#finished = undefined;
      this.#transport.write(FrontendMessage.terminate());
    }
    this.#state = 'ended';
    await this.#transport.end();
  }

  /** Closes at once, without a word. */
  destroy(): void {
    this.#state = 'ended';
    this.#transport.destroy();
  }

  onFrame(type: number, bodyStart: number, bodyEnd: number): void {
    if (type === COPY_DATA) {
      if (this.#state === 'streaming') this.#handler.onCopyData(this.#reader.slab, bodyStart, bodyEnd);
      else if (this.#state === 'starting') throw new ProtocolError('CopyData before CopyBothResponse', { offset: 0 });
      return;
    }
    this.#onControl(this.#reader.slab.bytes.subarray(bodyStart - FRAME_HEADER_BYTES, bodyEnd));
  }

  onReadEnd(byteCount: number, drained: boolean, busyMs: number): void {
    this.#bytesRead += byteCount;
    this.#reads++;
    if (this.#state !== 'streaming') return;
    this.#handler.onReadEnd(byteCount, drained, busyMs);
    this.#scheduler.onRead(byteCount, drained);
  }

  onSlabEnd(): void {
    if (this.#state === 'streaming') this.#handler.onSlabEnd();
  }

  onBadBytes(error: unknown): void {
    this.#transport.destroy();
    this.#end(error);
  }

  onClose(error: Error | undefined): void {
    const { host } = this;
    const closed = error ?? new ConnectionError(`${host} closed the connection`, { host, phase: 'streaming' });
    // An ErrorResponse just before the end says why.
    this.#end(this.#error ?? connectionErrorFrom(closed, { host, phase: 'streaming' }));
  }

  #begin(command: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#started = { resolve, reject };
      this.#transport.write(FrontendMessage.query(command));
    });
  }

  #onControl(bytes: Uint8Array): void {
    const message = parseBackendMessage(bytes);
    switch (message.name) {
      case 'copyBothResponse':
        this.#state = 'streaming';
        this.#started?.resolve();
        this.#started = undefined;
        break;
      case 'errorResponse':
        this.#error = serverErrorFrom(message.fields);
        break;
      case 'noticeResponse':
        this.#handler.onNotice(serverNoticeFrom(message.fields));
        break;
      case 'copyDone':
        // The end of a timeline; the server goes on when both have ended the COPY.
        if (this.#state === 'streaming') this.#transport.write(FrontendMessage.copyDone());
        break;
      case 'dataRow':
        this.#rows++;
        if (this.#state !== 'finishing') this.#handler.onRow?.(message.values);
        break;
      case 'commandComplete':
      case 'parameterStatus':
      case 'rowDescription':
        break;
      case 'readyForQuery':
        this.#onReady();
        break;
      default:
        throw new ProtocolError(`the server sent ${message.name} in a COPY`, { offset: 0 });
    }
  }

  /** The command is over, by our CopyDone, by the server's or by its error. */
  #onReady(): void {
    if (this.#state === 'starting' && this.#rows > 0 && this.#error === undefined) {
      // There is nothing to stream on this timeline: only the row comes.
      this.#state = 'streaming';
      this.#started?.resolve();
      this.#started = undefined;
    }
    if (this.#state === 'finishing') this.#finished?.();
    else if (this.#state === 'streaming') this.#end(this.#error);
    else this.#end(this.#error ?? new ProtocolError('the server ended the command without a COPY', { offset: 0 }));
    void this.#transport.end();
  }

  #end(error: unknown): void {
    if (this.#state === 'starting') {
      this.#state = 'ended';
      this.#started?.reject(error);
    } else if (this.#state === 'finishing') {
      this.#finished?.();
    } else if (this.#state === 'streaming') {
      this.#state = 'ended';
      this.#scheduler.stop();
      this.#handler.onEnd(error);
    }
  }
}
