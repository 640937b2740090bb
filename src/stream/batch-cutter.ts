import { type Slab, SlabPool } from '../connection/slab.js';
import { DecodeError } from '../errors.js';
import {
  type Commit,
  isTransactional,
  parseBegin,
  parseCommit,
  parseTruncate,
  parseType,
} from '../pgoutput/control-message.js';
import { locateDecodeError } from '../pgoutput/decode-location.js';
import { MessageTag } from '../pgoutput/message-tag.js';
import {
  parseBeginPrepare,
  parseCommitPrepared,
  parsePrepare,
  parseRollbackPrepared,
} from '../pgoutput/prepared-message.js';
import {
  hasStreamedXid,
  parseStreamAbort,
  parseStreamCommit,
  parseStreamStart,
  STREAMED_XID_BYTES,
} from '../pgoutput/stream-message.js';
import { type OpenTransaction, TransactionContext } from '../pgoutput/transaction-context.js';
import { FRAME_HEADER_BYTES } from '../protocol/frame-scan.js';
import { XLOG_DATA_HEADER_BYTES } from '../protocol/replication-message.js';
import type { AckFrontier } from './ack-frontier.js';
import { BatchVersions, type VersionsOfBatch } from './batch-versions.js';
import type { BatchEnding, CutBatch } from './cut-batch.js';
import { type Delivered, type Fate, Redelivery } from './redelivery.js';
import type { RelationRegistry } from './relation-registry.js';
import { judgeBegin, judgeCommit, judgeMessage, type StopVerdict } from './stop-position.js';
import { streamedRollback } from './streamed-rollback.js';
import { StreamedUnits } from './streamed-units.js';
import { partOf, TransactionReplay } from './transaction-replay.js';

/** Message: tag, flags and LSN come before the prefix. */
const MESSAGE_HEADER_BYTES = 10;

/** Where a batch ended before a transaction that began without a position. */
interface Unjudged {
  /** -1: that is what the batch begins with. */
  readonly start: number;
  readonly end: number;
  readonly lastBody: number;
  /** LSN of the transaction's commit or prepare record; `undefined` while it is in progress. */
  readonly recordLsn: bigint | undefined;
}

/** A stretch of the batch that is growing. */
interface Stretch {
  readonly start: number;
  readonly end: number;
  readonly firstBody: number;
  readonly lastBody: number;
}

/**
 * Looks at every message as it arrives, so far as order, acknowledgement and decoding elsewhere need it: which
 * transaction, how many changes, which relations. It costs the main thread some nanoseconds per change; columns are
 * not touched.
 */
export class BatchCutter {
  readonly #relations: RelationRegistry;
  readonly #versions: BatchVersions;
  readonly #frontier: AckFrontier;
  readonly #stopLsn: bigint | undefined;
  #sequence = 0;

  #transaction: OpenTransaction | undefined;
  /** Between Stream Start and Stream Stop. */
  #inBlock = false;
  #ordinal = 0;
  /** Messages of the transaction. */
  #messageCount = 0;
  /** Whether an Origin of the transaction came. */
  #hasOrigin = false;
  #commitTimeUs: bigint | undefined;
  /** The transaction that was received half-way when the connection was lost. */
  #replay: TransactionReplay | undefined;
  #resumed = false;
  #generation = 0;
  /** What is delivered again after the stream has stepped back, and what becomes of the next message. */
  #redelivery: Redelivery | undefined;
  #fate: Fate = 'new';
  readonly #streamedUnits: StreamedUnits;

  /** Of the batch that is growing. */
  #start = -1;
  #end = 0;
  #firstBody = 0;
  #lastBody = 0;
  #startTransaction: OpenTransaction | undefined;
  #startOrdinal = 0;
  #startUnit = 0;
  #changeCount = 0;
  #strayAborts: number[] = [];
  #isRedelivered = false;

  /** Where the batch ended before a transaction that a later message is to judge, because it began without a position. */
  #unjudged: Unjudged | undefined;
  /** The beginning of such a transaction, when its slab ended before it was judged: it goes before the next batch. */
  #held: CutBatch[] = [];

  constructor(relations: RelationRegistry, frontier: AckFrontier, stopLsn: bigint | undefined) {
    this.#relations = relations;
    this.#versions = new BatchVersions(relations);
    this.#frontier = frontier;
    this.#streamedUnits = new StreamedUnits(frontier);
    this.#stopLsn = stopLsn;
  }

  /** Bytes that {@link cut} is to take; none while the last of them may have to be given up. */
  get pendingBytes(): number {
    return this.#start === -1 || this.#unjudged !== undefined ? 0 : this.#end - this.#start;
  }

  /**
   * Whether a transaction was received half-way. A streamed one does not count: the server sends it whole again, and it
   * may be in progress for hours.
   */
  get inTransaction(): boolean {
    return this.#transaction !== undefined && !this.#inBlock;
  }

  /** When the last transaction received was committed: microseconds since 2000-01-01 UTC. */
  get commitTimeUs(): bigint | undefined {
    return this.#commitTimeUs;
  }

  /** LSN of the commit or prepare record of a transaction of which the beginning was received and is to come again. */
  get replayLsn(): bigint | undefined {
    return this.#replay?.recordLsn;
  }

  /** How often the stream has stepped back. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * Whether the message at `[body, end)`, which comes next, does not belong into the batch that is growing: then
   * {@link cut} takes that first. It may be one that is passed over, or the first after some that are delivered again.
   */
  startsAnew(bytes: Buffer, body: number, end: number): boolean {
    if (this.#redelivery !== undefined) return this.#judge(this.#redelivery, bytes, body, end);
    if (this.#replay === undefined) return false;
    const tag = bytes[body + XLOG_DATA_HEADER_BYTES];
    return this.#replay.begun || tag === MessageTag.begin || tag === MessageTag.beginPrepare;
  }

  #judge(redelivery: Redelivery, bytes: Buffer, body: number, end: number): boolean {
    const before = this.#fate;
    if (redelivery.isOver) {
      this.#redelivery = undefined;
      this.#fate = 'new';
    } else {
      this.#fate = redelivery.judge(bytes, body + XLOG_DATA_HEADER_BYTES, end, this.#transaction);
    }
    return this.#fate !== before;
  }

  /**
   * The connection was lost, and {@link cut} has taken what came. A transaction that was received half-way comes again,
   * and its beginning is passed over. Streamed ones come again too, and are new: what came of them is taken back, by
   * the batch that this gives.
   */
  suspend(): CutBatch | undefined {
    // One that is still to be judged has not left the cutter.
    const isJudged = this.#unjudged === undefined;
    const transaction = isJudged ? this.#transaction : undefined;
    const { streamed, ...ending } = this.#ending;
    const unjudgedXid = isJudged ? undefined : ending.block;
    if (this.#replay?.begun) {
      this.#replay.restart();
    } else if (this.#transaction !== undefined && !this.#inBlock) {
      const received = { origin: this.#hasOrigin, changes: this.#ordinal, messages: this.#messageCount };
      this.#replay = isJudged ? TransactionReplay.of(this.#transaction, received) : undefined;
    }
    this.#redelivery = undefined;
    this.#fate = 'new';
    this.#forgetConnection();
    return this.#takeBack(
      streamed.filter((xid) => xid !== unjudgedXid),
      transaction,
      isJudged ? ending : { part: undefined, block: undefined },
    );
  }

  /**
   * The same, but what the consumer was not given is to be dropped, and the units from `unit` on come again.
   */
  stepBack(delivered: Delivered, unit: number): CutBatch | undefined {
    this.#generation++;
    const { streamed, block } = delivered;
    this.#replay = undefined;
    this.#forgetConnection();
    this.#frontier.stepBackTo(unit);
    this.#redelivery = new Redelivery(delivered, this.#frontier, this.#streamedUnits);
    this.#fate = 'new';
    const inBlock = block === undefined ? undefined : ({ kind: 'streamed', xid: block } as const);
    return this.#takeBack(streamed, inBlock, { part: undefined, block });
  }

  #forgetConnection(): void {
    this.#transaction = undefined;
    this.#inBlock = false;
    this.#unjudged = undefined;
    for (const held of this.#held.splice(0)) {
      held.slab.release();
      this.#sequence--;
    }
    this.#relations.dropAllStreamed();
    this.#resumed = true;
  }

  /** A batch that rolls these streamed transactions back; it begins in `transaction`, and ends in `part` of one. */
  #takeBack(
    xids: readonly number[],
    transaction: OpenTransaction | undefined,
    { part, block }: Pick<BatchEnding, 'part' | 'block'>,
  ): CutBatch | undefined {
    if (xids.length === 0) return undefined;
    const bytes = streamedRollback(xids, block);
    const slab = new SlabPool().acquire(bytes.length);
    bytes.copy(slab.bytes);
    this.#startTransaction = transaction;
    this.#startOrdinal = this.#ordinal;
    this.#startUnit = this.#frontier.nextUnit;
    this.#isRedelivered = false;
    const stretch = {
      start: 0,
      end: bytes.length,
      firstBody: FRAME_HEADER_BYTES,
      lastBody: FRAME_HEADER_BYTES,
    };
    const batch = this.#batch(slab, stretch, { versions: [], versionsFrom: [] });
    slab.release();
    const ending = { part, streamed: [], block: undefined };
    return { ...batch, endsInTransaction: part !== undefined, ending };
  }

  /** The XLogData at `[body, end)` was received. DecodeError leaves it out of the batch. */
  add(bytes: Buffer, body: number, end: number): StopVerdict {
    const message = body + XLOG_DATA_HEADER_BYTES;
    if (message >= end) {
      throw new DecodeError('empty XLogData', { offset: 0, lsn: this.#lsnAt(bytes, body, end) });
    }
    if (this.#unjudged !== undefined && this.#isBeyondStop(bytes.readBigUInt64BE(body + 1))) return 'stop-before';
    if (this.#start === -1) {
      this.#startTransaction = this.#transaction;
      this.#startOrdinal = this.#ordinal;
      this.#startUnit = this.#frontier.nextUnit;
    }
    const tag = bytes[message];
    let verdict: StopVerdict;
    try {
      verdict =
        this.#inBlock && hasStreamedXid(tag)
          ? this.#inspectStreamed(tag, bytes, body, end)
          : this.#inspect(tag, bytes, body, message, end);
    } catch (error) {
      throw locateDecodeError(error, { start: message, tag, lsn: this.#lsnAt(bytes, body, end) });
    }
    if (verdict === 'stop-before') return verdict;
    if (this.#redelivery !== undefined) {
      const transaction = this.#transaction;
      const begins = tag === MessageTag.begin || tag === MessageTag.beginPrepare;
      if (begins && transaction !== undefined) this.#redelivery.begin(transaction);
      if (this.#fate === 'pass') return this.#leaveOut(verdict);
    } else if (this.#replay !== undefined && this.#passesOver(this.#replay, tag)) {
      this.#unjudged = undefined;
      return this.#leaveOut(verdict);
    }
    if (this.#start === -1) {
      this.#isRedelivered = this.#fate === 'again';
      this.#start = body - FRAME_HEADER_BYTES;
      this.#firstBody = body;
    }
    this.#lastBody = body;
    this.#end = end;
    return verdict;
  }

  /** Whether a message, already inspected, was received before. Then it belongs to no batch. */
  #passesOver(replay: TransactionReplay, tag: number): boolean {
    const transaction = this.#transaction;
    if (replay.begun) {
      // Its Commit was judged with the unit that it ends.
      if (transaction === undefined || !replay.passes(tag)) {
        this.#replay = undefined;
        return false;
      }
    } else if (transaction === undefined || this.#inBlock) {
      // What comes before it, in blocks or alone, was not received before: it ends after what was.
      if (replay.comesStreamed(transaction)) this.#replay = undefined;
      return false;
    } else {
      replay.begin(transaction);
    }
    return true;
  }

  /** No batch is growing, and the message that was inspected begins none. */
  #leaveOut(verdict: StopVerdict): StopVerdict {
    this.#changeCount = 0;
    this.#strayAborts = [];
    this.#versions.take();
    return verdict;
  }

  /**
   * Ends the batch that is growing. Mostly that is one batch, or none. A transaction that is still to be judged is kept
   * back, and comes first of the next ones when it was.
   */
  cut(slab: Slab): CutBatch[] {
    const unjudged = this.#unjudged;
    const batches = unjudged === undefined ? this.#held.splice(0) : [];
    if (this.#start === -1) return batches;
    const whole = { start: this.#start, end: this.#end, firstBody: this.#firstBody, lastBody: this.#lastBody };
    if (unjudged === undefined) {
      batches.push(this.#batch(slab, whole, this.#versions.take()));
    } else {
      const { start, end, lastBody } = unjudged;
      if (start !== -1) batches.push(this.#batchBefore(slab, { ...whole, end, lastBody }));
      const began = start === -1 ? whole.start : end;
      const stretch = { ...whole, start: began, firstBody: began + FRAME_HEADER_BYTES };
      this.#held.push(this.#batch(slab, stretch, this.#versions.take()));
      this.#unjudged = { ...unjudged, start: -1 };
    }
    this.#start = -1;
    this.#changeCount = 0;
    this.#strayAborts = [];
    return batches;
  }

  /** What lies before a transaction that is to be judged, as a batch of its own; the rest begins outside of any. */
  #batchBefore(slab: Slab, stretch: Stretch): CutBatch {
    const whole = this.#batch(slab, stretch, this.#versions.splitAt(stretch.end));
    const ending = { ...whole.ending, part: undefined, block: undefined };
    const batch = { ...whole, endsInTransaction: false, ending };
    this.#startTransaction = undefined;
    this.#startOrdinal = 0;
    this.#startUnit = this.#frontier.nextUnit;
    this.#changeCount = 0;
    this.#strayAborts = [];
    return batch;
  }

  #batch(
    slab: Slab,
    { start, end, firstBody, lastBody }: Stretch,
    { versions, versionsFrom }: VersionsOfBatch,
  ): CutBatch {
    slab.hold();
    const transaction = this.#startTransaction;
    const resumed = this.#resumed;
    this.#resumed = false;
    const lastLsn = slab.bytes.readBigUInt64BE(lastBody + 1);
    // Descriptions come without a position.
    const firstLsn = slab.bytes.readBigUInt64BE(firstBody + 1) || lastLsn;
    return {
      position: {
        sequence: this.#sequence++,
        start: {
          transaction: transaction === undefined ? undefined : new TransactionContext(transaction),
          ordinal: this.#startOrdinal,
        },
        firstUnit: this.#startUnit,
        unitCounter: this.#frontier,
        relations: versions,
        byteCount: end - start,
        redelivered: this.#isRedelivered,
      },
      slab,
      start,
      end,
      transaction,
      facts: {
        startsInBlock: transaction?.kind === 'streamed',
        versionsFrom,
        strayAborts: this.#strayAborts,
      },
      changeCount: this.#changeCount,
      endsInTransaction: this.inTransaction,
      unitsThrough: this.#frontier.nextUnit,
      firstLsn,
      lastLsn,
      resumed,
      generation: this.#generation,
      ending: this.#ending,
    };
  }

  get #ending(): BatchEnding {
    const transaction = this.#transaction;
    const reached = { origin: this.#hasOrigin, changes: this.#ordinal, messages: this.#messageCount };
    return {
      part: transaction === undefined ? undefined : partOf(transaction, reached),
      streamed: this.#relations.streamedXids,
      block: transaction?.kind === 'streamed' ? transaction.xid : undefined,
    };
  }

  /** In a streamed block: the message is what it is elsewhere, but for the xid after its tag. */
  #inspectStreamed(tag: number, bytes: Buffer, body: number, end: number): StopVerdict {
    const start = body + XLOG_DATA_HEADER_BYTES;
    if (end - start <= STREAMED_XID_BYTES) throw new DecodeError('incomplete xid', { offset: start + 1 });
    return this.#inspect(tag, bytes, body, start + STREAMED_XID_BYTES, end);
  }

  #inspect(tag: number, bytes: Buffer, body: number, start: number, end: number): StopVerdict {
    switch (tag) {
      case MessageTag.insert:
      case MessageTag.update:
      case MessageTag.delete:
        if (end - start >= 5) this.#versions.mention(bytes.readUInt32BE(start + 1), body + XLOG_DATA_HEADER_BYTES);
        this.#ordinal++;
        this.#changeCount++;
        return 'go-on';
      case MessageTag.begin: {
        const begin = parseBegin(bytes, start, end);
        return this.#begin({ kind: 'committed', begin }, bytes.readBigUInt64BE(body + 1), begin.commitLsn);
      }
      case MessageTag.commit: {
        const commit = parseCommit(bytes, start, end);
        this.#transaction = undefined;
        return this.#commit(commit);
      }
      case MessageTag.relation:
        this.#versions.describe(bytes, body + XLOG_DATA_HEADER_BYTES, start, end);
        return 'go-on';
      case MessageTag.type:
        this.#relations.nameType(parseType(bytes, start, end));
        return 'go-on';
      case MessageTag.truncate:
        for (const id of parseTruncate(bytes, start, end).relationIds)
          this.#versions.mention(id, body + XLOG_DATA_HEADER_BYTES);
        this.#ordinal++;
        this.#changeCount++;
        return 'go-on';
      case MessageTag.message:
        return this.#message(bytes, start, end);
      case MessageTag.origin:
        this.#hasOrigin = true;
        return 'go-on';
      default:
        return this.#inspectUncommitted(tag, bytes, body, start, end);
    }
  }

  /** Messages that open and end what is sent before it commits. */
  #inspectUncommitted(tag: number, bytes: Buffer, body: number, start: number, end: number): StopVerdict {
    switch (tag) {
      case MessageTag.streamStart:
        return this.#streamStart(bytes, body, start, end);
      case MessageTag.streamStop:
        this.#relations.leaveBlock();
        this.#inBlock = false;
        this.#transaction = undefined;
        this.#versions.unsettle();
        return 'go-on';
      case MessageTag.streamCommit: {
        const commit = parseStreamCommit(bytes, start, end);
        this.#relations.commitStreamed(commit.xid);
        this.#versions.unsettle();
        this.#streamedUnits.end(commit.xid);
        return this.#commit(commit);
      }
      case MessageTag.streamAbort: {
        const { xid, subxid } = parseStreamAbort(bytes, start, end);
        // PostgreSQL 18 names transactions of which it has sent nothing; there is nothing to take back.
        if (!this.#relations.isStreamed(xid)) this.#strayAborts.push(start);
        else if (xid === subxid) this.#relations.dropStreamed(xid);
        else this.#relations.forgetDescribed(xid);
        return 'go-on';
      }
      case MessageTag.beginPrepare: {
        const prepared = parseBeginPrepare(bytes, start, end);
        return this.#begin({ kind: 'prepared', prepared }, bytes.readBigUInt64BE(body + 1), prepared.prepareLsn);
      }
      case MessageTag.prepare: {
        const { prepareEndLsn } = parsePrepare(bytes, start, end);
        this.#transaction = undefined;
        return this.#endUnit(prepareEndLsn);
      }
      case MessageTag.streamPrepare: {
        const { xid, prepareEndLsn } = parsePrepare(bytes, start, end);
        this.#relations.dropStreamed(xid);
        this.#streamedUnits.end(xid);
        return this.#endUnit(prepareEndLsn);
      }
      case MessageTag.commitPrepared: {
        const commit = parseCommitPrepared(bytes, start, end);
        const { commitLsn } = commit;
        if (this.#stopLsn !== undefined && judgeBegin(commitLsn, commitLsn, this.#stopLsn) === 'stop-before') {
          return 'stop-before';
        }
        return this.#commit(commit);
      }
      case MessageTag.rollbackPrepared:
        return this.#standAlone(parseRollbackPrepared(bytes, start, end).rollbackEndLsn);
      default:
        return 'go-on';
    }
  }

  #begin(transaction: OpenTransaction, walStart: bigint, recordLsn: bigint | undefined): StopVerdict {
    const stopLsn = this.#stopLsn;
    if (stopLsn !== undefined) {
      const verdict = judgeBegin(walStart, recordLsn ?? walStart, stopLsn);
      if (verdict !== 'go-on') return verdict;
      if (walStart === 0n && (recordLsn === undefined || recordLsn >= stopLsn)) {
        this.#unjudged = { start: this.#start, end: this.#end, lastBody: this.#lastBody, recordLsn };
      }
    }
    this.#transaction = transaction;
    this.#ordinal = 0;
    this.#messageCount = 0;
    this.#hasOrigin = false;
    return 'go-on';
  }

  /**
   * What begins a transaction with an origin has no position; the next message that has one judges it. A transaction
   * that began beyond the stop position is taken out of the batch again.
   */
  #isBeyondStop(walStart: bigint): boolean {
    const before = this.#unjudged;
    if (before === undefined || walStart === 0n) return false;
    this.#unjudged = undefined;
    if (this.#stopLsn === undefined) return false;
    if (judgeBegin(walStart, before.recordLsn ?? walStart, this.#stopLsn) !== 'stop-before') return false;
    for (const held of this.#held.splice(0)) held.slab.release();
    this.#start = before.start;
    this.#end = before.end;
    this.#lastBody = before.lastBody;
    this.#transaction = undefined;
    this.#inBlock = false;
    return true;
  }

  /** Only the first block is judged: a transaction that began before the stop position may be the one that crosses it. */
  #streamStart(bytes: Buffer, body: number, start: number, end: number): StopVerdict {
    const { xid, isFirst } = parseStreamStart(bytes, start, end);
    const transaction = { kind: 'streamed', xid } as const;
    if (isFirst) {
      const verdict = this.#begin(transaction, bytes.readBigUInt64BE(body + 1), undefined);
      if (verdict !== 'go-on') return verdict;
    }
    this.#relations.enterBlock(xid);
    this.#transaction = transaction;
    this.#inBlock = true;
    this.#versions.unsettle();
    return 'go-on';
  }

  #commit({ commitEndLsn, commitTimeUs }: Pick<Commit, 'commitEndLsn' | 'commitTimeUs'>): StopVerdict {
    this.#commitTimeUs = commitTimeUs;
    return this.#endUnit(commitEndLsn);
  }

  #endUnit(endLsn: bigint): StopVerdict {
    this.#replay?.end(endLsn);
    this.#redelivery?.end(endLsn);
    this.#frontier.receive(endLsn);
    return this.#stopLsn === undefined ? 'go-on' : judgeCommit(endLsn, this.#stopLsn);
  }

  /** A unit that is one message. */
  #standAlone(lsn: bigint): StopVerdict {
    const verdict = this.#stopLsn === undefined ? 'go-on' : judgeMessage(lsn, this.#stopLsn);
    if (verdict === 'stop-before') return verdict;
    this.#replay?.end(lsn);
    this.#redelivery?.end(lsn);
    this.#frontier.receive(lsn);
    return verdict;
  }

  #message(bytes: Buffer, start: number, end: number): StopVerdict {
    // Only flags and LSN are looked at: the content may be large, and is the decoder's.
    if (end - start < MESSAGE_HEADER_BYTES) throw new DecodeError('incomplete message', { offset: start });
    if (isTransactional(bytes[start + 1])) {
      this.#messageCount++;
      return 'go-on';
    }
    return this.#standAlone(bytes.readBigUInt64BE(start + 2));
  }

  #lsnAt(bytes: Buffer, body: number, end: number): bigint {
    return end - body >= 9 ? bytes.readBigUInt64BE(body + 1) : 0n;
  }
}
