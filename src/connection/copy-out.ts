import { ConnectionError, ProtocolError, TimeoutError, type WalStreamError } from '../errors.js';
import { COPY_DATA, FRAME_HEADER_BYTES } from '../protocol/frame-scan.js';
import { parseBackendMessage } from './backend-parser.js';
import { connectionErrorFrom } from './connect-deadline.js';
import { FrontendMessage } from './frontend-message.js';
import type { PgConnection } from './pg-connection.js';
import { type QueryResult, ResultCollector } from './query-result.js';
import { type ServerNotice, serverErrorFrom, serverNoticeFrom } from './server-error.js';
import type { Slab } from './slab.js';
import { SlabReader, type SlabReaderHandler } from './slab-reader.js';
import type { Transport } from './transport.js';

/** Longest CopyData taken: PostgreSQL sends a backup in pieces of 32 KiB. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
/** How often the time since the last byte is looked at, as a part of the bound. */
const IDLE_CHECKS = 10;

/** Gets what the server sends. Offsets are into the slab that is named, and hold until its `onSlabEnd`. */
export interface CopyOutHandler {
  /** A result set that came before, between or after COPYs. An error thrown by any of these ends the command. */
  onResult(result: QueryResult): void;
  onCopyStart(): void;
  onCopyData(slab: Slab, start: number, end: number): void;
  onCopyDone(): void;
  /** One read was scanned. */
  onReadEnd(byteCount: number): void;
  /** The next messages come in another slab: what still needs this one must hold it now. */
  onSlabEnd(): void;
  onNotice(notice: ServerNotice): void;
  /** Whether the server may wait for something now, and send nothing for as long as that takes. */
  mayBeSilent(): boolean;
}

export interface CopyOutOptions {
  /**
   * Once a COPY has begun, so long without a byte is an error; the clock stands still while reading is held, or the server may
   * be silent.
   */
  readonly idleTimeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A command that answers with results and COPY OUTs, such as BASE_BACKUP: bytes in slabs, read as fast as they come
 * unless held.
 *
 * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY
 */
export class CopyOut implements SlabReaderHandler {
  readonly host: string;
  readonly #transport: Transport;
  readonly #handler: CopyOutHandler;
  readonly #options: CopyOutOptions;
  readonly #reader: SlabReader;
  readonly #results = new ResultCollector();
  #resultCount = 0;
  #state: 'before' | 'copying' | 'between' | 'ended' = 'before';
  #settle: { resolve: () => void; reject: (error: unknown) => void } | undefined;
  #error: WalStreamError | undefined;
  #held = false;
  #lastByteAt = 0;
  #idleTimer: NodeJS.Timeout | undefined;

  /** Takes the connection over: it is used up by {@link run}. */
  constructor(connection: PgConnection, handler: CopyOutHandler, options: CopyOutOptions) {
    this.host = connection.host;
    this.#handler = handler;
    this.#options = options;
    this.#reader = new SlabReader(this, MAX_MESSAGE_BYTES);
    this.#transport = connection.detach();
    this.#transport.setSink(this.#reader);
  }

  /**
   * Resolves when the command has succeeded, which is known at its very end only. Rejects with the server's error, that
   * of the connection, TimeoutError, the signal's reason or what the handler threw. The connection is closed then.
   */
  async run(command: string): Promise<void> {
    const { signal } = this.#options;
    signal?.throwIfAborted();
    const onAbort = () => this.fail(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await new Promise<void>((resolve, reject) => {
        this.#settle = { resolve, reject };
        this.#transport.write(FrontendMessage.query(command));
      });
    } finally {
      clearInterval(this.#idleTimer);
      signal?.removeEventListener('abort', onAbort);
    }
    this.#transport.write(FrontendMessage.terminate());
    await this.#transport.end();
  }

  /** Reads nothing until {@link release}: the server has to wait. */
  hold(): void {
    if (this.#held || this.#state === 'ended') return;
    this.#held = true;
    this.#transport.pause();
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#lastByteAt = performance.now();
    this.#transport.resume();
  }

  /** Ends it at once: {@link run} rejects with this error. */
  fail(error: unknown): void {
    this.#transport.destroy();
    this.#end(error);
  }

  onFrame(type: number, bodyStart: number, bodyEnd: number): void {
    if (this.#state === 'ended') return;
    if (type === COPY_DATA) {
      if (this.#state !== 'copying') throw new ProtocolError('CopyData outside a COPY', { offset: 0, tag: 'd' });
      this.#handler.onCopyData(this.#reader.slab, bodyStart, bodyEnd);
      return;
    }
    this.#onControl(this.#reader.slab.bytes.subarray(bodyStart - FRAME_HEADER_BYTES, bodyEnd));
  }

  onReadEnd(byteCount: number): void {
    this.#lastByteAt = performance.now();
    if (this.#state !== 'ended') this.#handler.onReadEnd(byteCount);
  }

  onSlabEnd(): void {
    if (this.#state !== 'ended') this.#handler.onSlabEnd();
  }

  onBadBytes(error: unknown): void {
    this.fail(error);
  }

  onClose(error: Error | undefined): void {
    const { host } = this;
    const closed = error ?? new ConnectionError(`${host} closed the connection`, { host, phase: 'streaming' });
    // An ErrorResponse just before the end says why.
    this.#end(this.#error ?? connectionErrorFrom(closed, { host, phase: 'streaming' }));
  }

  #onControl(bytes: Uint8Array): void {
    const message = parseBackendMessage(bytes);
    switch (message.name) {
      case 'rowDescription':
        this.#results.describe(message.columns);
        break;
      case 'dataRow':
        this.#results.add(message.values, message.bytes);
        break;
      case 'commandComplete':
        this.#complete(message.command);
        break;
      case 'copyOutResponse':
        if (this.#state === 'copying') throw new ProtocolError('a COPY began inside another', { offset: 0, tag: 'H' });
        this.#state = 'copying';
        this.#watchIdleness();
        this.#handler.onCopyStart();
        break;
      case 'copyDone':
        if (this.#state !== 'copying') throw new ProtocolError('CopyDone outside a COPY', { offset: 0, tag: 'c' });
        this.#state = 'between';
        this.#handler.onCopyDone();
        break;
      case 'errorResponse':
        this.#error ??= serverErrorFrom(message.fields);
        break;
      case 'noticeResponse':
        this.#handler.onNotice(serverNoticeFrom(message.fields));
        break;
      case 'parameterStatus':
        break;
      case 'readyForQuery':
        if (this.#state === 'copying' && this.#error === undefined) {
          throw new ProtocolError('the command ended inside a COPY', { offset: 0, tag: 'Z' });
        }
        this.#end(this.#error);
        break;
      default:
        throw new ProtocolError(`the server sent ${message.name} in a COPY`, { offset: 0 });
    }
  }

  /** A CommandComplete ends a result set, or the whole command. */
  #complete(command: string): void {
    this.#results.complete(command);
    const result = this.#results.results[this.#resultCount++];
    if (result !== undefined) this.#handler.onResult(result);
  }

  #watchIdleness(): void {
    const { host } = this;
    const { idleTimeoutMs: timeoutMs } = this.#options;
    this.#lastByteAt = performance.now();
    this.#idleTimer ??= setInterval(() => {
      if (this.#held || this.#handler.mayBeSilent() || performance.now() - this.#lastByteAt < timeoutMs) return;
      const message = `${host} sent nothing for ${timeoutMs} ms in the middle of a COPY`;
      this.fail(new TimeoutError(message, { host, phase: 'streaming', timeoutMs }));
    }, timeoutMs / IDLE_CHECKS);
  }

  #end(error: unknown): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    const settle = this.#settle;
    if (error === undefined) {
      settle?.resolve();
    } else {
      this.#transport.destroy();
      settle?.reject(error);
    }
  }
}
