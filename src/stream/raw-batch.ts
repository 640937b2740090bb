import { isTransactional } from '../pgoutput/control-message.js';
import { MessageTag } from '../pgoutput/message-tag.js';
import { STREAMED_XID_BYTES } from '../pgoutput/stream-message.js';
import type { OpenTransaction } from '../pgoutput/transaction-context.js';
import { COPY_DATA, FRAME_HEADER_BYTES } from '../protocol/frame-scan.js';
import { XLOG_DATA_HEADER_BYTES, XLOG_DATA_TAG } from '../protocol/replication-message.js';
import type { CutBatch } from './cut-batch.js';

/** A pgoutput message as the server sent it. */
export interface RawMessage {
  /** Position of the message in the WAL; 0 for messages that have none. */
  readonly walStart: bigint;
  /** As in XLogData; in logical replication the server sends `walStart` again. */
  readonly serverWalEnd: bigint;
  /** Microseconds since 2000-01-01 UTC. */
  readonly serverTimeUs: bigint;
  /** The message, from its type byte on. */
  readonly data: Buffer;
  /** Whether it was delivered before, on an earlier connection; see `retry.redeliver`. Never in a streamed block. */
  readonly redelivered: boolean;
}

/** Undecoded messages that arrived together. */
export class RawBatch implements Iterable<RawMessage> {
  readonly #bytes: Buffer;
  readonly #firstUnit: number;
  readonly #startsIn: OpenTransaction['kind'] | undefined;
  readonly #redelivered: boolean;

  /** Copies the bytes: the slab goes back to the reader. */
  constructor(cut: CutBatch) {
    this.#bytes = Buffer.from(cut.slab.bytes.subarray(cut.start, cut.end));
    this.#firstUnit = cut.position.firstUnit;
    this.#startsIn = cut.transaction?.kind;
    this.#redelivered = cut.position.redelivered ?? false;
  }

  [Symbol.iterator](): RawCursor {
    return new RawCursor(this.#bytes, this.#firstUnit, this.#startsIn, this.#redelivered);
  }
}

/** Walks a raw batch, counting what ends units of acknowledgement. */
export class RawCursor implements IterableIterator<RawMessage> {
  readonly #bytes: Buffer;
  #at = 0;
  #unit: number;
  #inTransaction: boolean;
  #inBlock: boolean;
  readonly #redelivered: boolean;

  constructor(bytes: Buffer, firstUnit: number, startsIn: OpenTransaction['kind'] | undefined, redelivered: boolean) {
    this.#bytes = bytes;
    this.#redelivered = redelivered;
    this.#unit = firstUnit;
    this.#inBlock = startsIn === 'streamed';
    this.#inTransaction = startsIn !== undefined && !this.#inBlock;
  }

  get unitsPassed(): number {
    return this.#unit;
  }

  get inTransaction(): boolean {
    return this.#inTransaction;
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<RawMessage, undefined> {
    const bytes = this.#bytes;
    while (this.#at < bytes.length) {
      const at = this.#at;
      const body = at + FRAME_HEADER_BYTES;
      this.#at = at + 1 + bytes.readUInt32BE(at + 1);
      if (bytes[at] !== COPY_DATA || bytes[body] !== XLOG_DATA_TAG) continue;
      const data = bytes.subarray(body + XLOG_DATA_HEADER_BYTES, this.#at);
      const { inTransaction, unitsPassed } = this;
      this.#pass(data);
      const isCommitted = inTransaction || this.inTransaction || this.unitsPassed > unitsPassed;
      return {
        done: false,
        value: {
          walStart: bytes.readBigUInt64BE(body + 1),
          serverWalEnd: bytes.readBigUInt64BE(body + 9),
          serverTimeUs: bytes.readBigInt64BE(body + 17),
          data,
          redelivered: this.#redelivered && isCommitted,
        },
      };
    }
    return { done: true, value: undefined };
  }

  #pass(data: Buffer): void {
    switch (data[0]) {
      case MessageTag.begin:
      case MessageTag.beginPrepare:
        this.#inTransaction = true;
        break;
      case MessageTag.commit:
      case MessageTag.prepare:
        this.#inTransaction = false;
        this.#unit++;
        break;
      case MessageTag.streamStart:
        this.#inBlock = true;
        break;
      case MessageTag.streamStop:
        this.#inBlock = false;
        break;
      case MessageTag.streamCommit:
      case MessageTag.streamPrepare:
      case MessageTag.commitPrepared:
      case MessageTag.rollbackPrepared:
        this.#unit++;
        break;
      case MessageTag.message:
        if (!isTransactional(data[this.#inBlock ? 1 + STREAMED_XID_BYTES : 1])) this.#unit++;
        break;
    }
  }
}
