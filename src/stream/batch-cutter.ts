import type { Slab } from '../connection/slab.js';
import { DecodeError } from '../errors.js';
import {
  type Begin,
  isTransactional,
  parseBegin,
  parseCommit,
  parseTruncate,
  parseType,
} from '../pgoutput/control-message.js';
import { locateDecodeError } from '../pgoutput/decode-location.js';
import { MessageTag } from '../pgoutput/message-tag.js';
import type { RelationVersion } from '../pgoutput/relation.js';
import { TransactionContext } from '../pgoutput/transaction-context.js';
import type { BatchPosition } from '../pgoutput/wal-batch.js';
import { FRAME_HEADER_BYTES } from '../protocol/frame-scan.js';
import { XLOG_DATA_HEADER_BYTES } from '../protocol/replication-message.js';
import type { AckFrontier } from './ack-frontier.js';
import type { RelationRegistry } from './relation-registry.js';
import { judgeBegin, judgeCommit, judgeMessage, type StopVerdict } from './stop-position.js';

/** Message: tag, flags and LSN come before the prefix. */
const MESSAGE_HEADER_BYTES = 10;

/** A stretch of the stream, between two messages, that is decoded as one. */
export interface CutBatch {
  readonly position: BatchPosition;
  /** Held for the batch; whoever finishes with its bytes releases it. */
  readonly slab: Slab;
  readonly start: number;
  readonly end: number;
  /** The transaction in which it begins. */
  readonly begin: Begin | undefined;
  /** How many of `position.relations` were in force at its start; the rest are described in it. */
  readonly relationsAtStart: number;
  readonly changeCount: number;
  /** Whether a transaction goes on after it. */
  readonly endsInTransaction: boolean;
  /** Units of acknowledgement received before its end. */
  readonly unitsThrough: number;
  readonly firstLsn: bigint;
  readonly lastLsn: bigint;
}

/**
 * Looks at every message as it arrives, so far as order, acknowledgement and decoding elsewhere need it: which
 * transaction, how many changes, which relations. It costs the main thread some nanoseconds per change; columns are
 * not touched.
 */
export class BatchCutter {
  readonly #relations: RelationRegistry;
  readonly #frontier: AckFrontier;
  readonly #stopLsn: bigint | undefined;
  #sequence = 0;

  #transaction: Begin | undefined;
  #ordinal = 0;
  #commitTimeUs: bigint | undefined;

  /** Of the batch that is growing. */
  #start = -1;
  #end = 0;
  #firstBody = 0;
  #lastBody = 0;
  #startTransaction: Begin | undefined;
  #startOrdinal = 0;
  #startUnit = 0;
  #changeCount = 0;
  #lastId = -1;
  readonly #mentioned = new Set<number>();
  #inForce: RelationVersion[] = [];
  #described: RelationVersion[] = [];
  /** Where the batch ended before a Begin that a later message is to judge. */
  #unjudgedBegin: { readonly start: number; readonly end: number; readonly lastBody: number } | undefined;

  constructor(relations: RelationRegistry, frontier: AckFrontier, stopLsn: bigint | undefined) {
    this.#relations = relations;
    this.#frontier = frontier;
    this.#stopLsn = stopLsn;
  }

  /** Bytes that {@link cut} is to take; none while the last of them may have to be given up. */
  get pendingBytes(): number {
    return this.#start === -1 || this.#unjudgedBegin !== undefined ? 0 : this.#end - this.#start;
  }

  /** Whether a transaction was received half-way. */
  get inTransaction(): boolean {
    return this.#transaction !== undefined;
  }

  /** When the last transaction received was committed: microseconds since 2000-01-01 UTC. */
  get commitTimeUs(): bigint | undefined {
    return this.#commitTimeUs;
  }

  /** The XLogData at `[body, end)` was received. DecodeError leaves it out of the batch. */
  add(bytes: Buffer, body: number, end: number): StopVerdict {
    const message = body + XLOG_DATA_HEADER_BYTES;
    if (message >= end) {
      throw new DecodeError('empty XLogData', { offset: 0, lsn: this.#lsnAt(bytes, body, end) });
    }
    if (this.#unjudgedBegin !== undefined && this.#isBeyondStop(bytes.readBigUInt64BE(body + 1))) return 'stop-before';
    if (this.#start === -1) {
      this.#startTransaction = this.#transaction;
      this.#startOrdinal = this.#ordinal;
      this.#startUnit = this.#frontier.nextUnit;
    }
    let verdict: StopVerdict;
    try {
      verdict = this.#inspect(bytes, body, message, end);
    } catch (error) {
      throw locateDecodeError(error, { start: message, tag: bytes[message], lsn: this.#lsnAt(bytes, body, end) });
    }
    if (verdict === 'stop-before') return verdict;
    if (this.#start === -1) {
      this.#start = body - FRAME_HEADER_BYTES;
      this.#firstBody = body;
    }
    this.#lastBody = body;
    this.#end = end;
    return verdict;
  }

  /** Ends the batch that is growing; `undefined` when there is none. */
  cut(slab: Slab): CutBatch | undefined {
    if (this.#start === -1) return undefined;
    const start = this.#start;
    const end = this.#end;
    slab.hold();
    const begin = this.#startTransaction;
    const batch: CutBatch = {
      position: {
        sequence: this.#sequence++,
        start: {
          transaction: begin === undefined ? undefined : new TransactionContext(begin),
          ordinal: this.#startOrdinal,
        },
        firstUnit: this.#startUnit,
        relations: this.#inForce.concat(this.#described),
        byteCount: end - start,
      },
      slab,
      start,
      end,
      begin,
      relationsAtStart: this.#inForce.length,
      changeCount: this.#changeCount,
      endsInTransaction: this.inTransaction,
      unitsThrough: this.#frontier.nextUnit,
      firstLsn: slab.bytes.readBigUInt64BE(this.#firstBody + 1),
      lastLsn: slab.bytes.readBigUInt64BE(this.#lastBody + 1),
    };
    this.#start = -1;
    this.#unjudgedBegin = undefined;
    this.#changeCount = 0;
    this.#lastId = -1;
    this.#mentioned.clear();
    this.#inForce = [];
    this.#described = [];
    return batch;
  }

  #inspect(bytes: Buffer, body: number, start: number, end: number): StopVerdict {
    switch (bytes[start]) {
      case MessageTag.insert:
      case MessageTag.update:
      case MessageTag.delete:
        if (end - start >= 5) this.#mention(bytes.readUInt32BE(start + 1));
        this.#ordinal++;
        this.#changeCount++;
        return 'go-on';
      case MessageTag.begin:
        return this.#begin(bytes, body, start, end);
      case MessageTag.commit:
        return this.#commit(bytes, start, end);
      case MessageTag.relation:
        this.#describe(bytes.subarray(start, end));
        return 'go-on';
      case MessageTag.type:
        this.#relations.nameType(parseType(bytes, start, end));
        return 'go-on';
      case MessageTag.truncate:
        for (const id of parseTruncate(bytes, start, end).relationIds) this.#mention(id);
        this.#ordinal++;
        this.#changeCount++;
        return 'go-on';
      case MessageTag.message:
        return this.#message(bytes, start, end);
      default:
        return 'go-on';
    }
  }

  #begin(bytes: Buffer, body: number, start: number, end: number): StopVerdict {
    const begin = parseBegin(bytes, start, end);
    const stopLsn = this.#stopLsn;
    if (stopLsn !== undefined) {
      const walStart = bytes.readBigUInt64BE(body + 1);
      const verdict = judgeBegin(walStart, begin.commitLsn, stopLsn);
      if (verdict !== 'go-on') return verdict;
      if (walStart === 0n && begin.commitLsn >= stopLsn) {
        this.#unjudgedBegin = { start: this.#start, end: this.#end, lastBody: this.#lastBody };
      }
    }
    this.#transaction = begin;
    this.#ordinal = 0;
    return 'go-on';
  }

  /**
   * The Begin of a transaction with an origin has no position; the next message that has one judges it. A transaction
   * that began beyond the stop position is taken out of the batch again.
   */
  #isBeyondStop(walStart: bigint): boolean {
    const before = this.#unjudgedBegin;
    if (before === undefined || walStart === 0n) return false;
    this.#unjudgedBegin = undefined;
    const { commitLsn } = this.#transaction ?? {};
    if (commitLsn === undefined || this.#stopLsn === undefined) return false;
    if (judgeBegin(walStart, commitLsn, this.#stopLsn) !== 'stop-before') return false;
    this.#start = before.start;
    this.#end = before.end;
    this.#lastBody = before.lastBody;
    this.#transaction = undefined;
    return true;
  }

  #commit(bytes: Buffer, start: number, end: number): StopVerdict {
    const { commitEndLsn, commitTimeUs } = parseCommit(bytes, start, end);
    this.#commitTimeUs = commitTimeUs;
    this.#transaction = undefined;
    this.#frontier.receive(commitEndLsn);
    return this.#stopLsn === undefined ? 'go-on' : judgeCommit(commitEndLsn, this.#stopLsn);
  }

  #message(bytes: Buffer, start: number, end: number): StopVerdict {
    // Only flags and LSN are looked at: the content may be large, and is the decoder's.
    if (end - start < MESSAGE_HEADER_BYTES) throw new DecodeError('incomplete message', { offset: start });
    if (isTransactional(bytes[start + 1])) return 'go-on';
    const lsn = bytes.readBigUInt64BE(start + 2);
    const verdict = this.#stopLsn === undefined ? 'go-on' : judgeMessage(lsn, this.#stopLsn);
    if (verdict !== 'stop-before') this.#frontier.receive(lsn);
    return verdict;
  }

  /** The relation version in force at the start of the batch goes along with it. */
  #mention(relationId: number): void {
    if (relationId === this.#lastId) return;
    this.#lastId = relationId;
    if (this.#mentioned.has(relationId)) return;
    this.#mentioned.add(relationId);
    const version = this.#relations.get(relationId);
    if (version !== undefined) this.#inForce.push(version);
  }

  #describe(message: Uint8Array): void {
    const version = this.#relations.describe(message);
    this.#described.push(version);
    this.#mentioned.add(version.relation.id);
    this.#lastId = -1;
  }

  #lsnAt(bytes: Buffer, body: number, end: number): bigint {
    return end - body >= 9 ? bytes.readBigUInt64BE(body + 1) : 0n;
  }
}
