import { isDeepStrictEqual } from 'node:util';
import { DecodeError } from '../errors.js';
import { COPY_DATA, FRAME_HEADER_BYTES } from '../protocol/frame-scan.js';
import { XLOG_DATA_HEADER_BYTES, XLOG_DATA_TAG } from '../protocol/replication-message.js';
import { PackWriter } from '../types/pack-writer.js';
import { ROW_HEADER } from '../types/row-reader.js';
import type { TypeDescriptor } from '../types/type-descriptor.js';
import type { TypeRules, TypesMode } from '../types/type-rules.js';
import { parseBegin, parseCommit, parseMessage, parseOrigin, parseTruncate, parseType } from './control-message.js';
import { locateDecodeError, type RowLocation } from './decode-location.js';
import { EventIndex } from './event-index.js';
import { MessageTag, TupleTag } from './message-tag.js';
import { EventCode, EventFlag, type PackedBatch, SUBXID_BYTES } from './packed-batch.js';
import { parseBeginPrepare, parseCommitPrepared, parsePrepare, parseRollbackPrepared } from './prepared-message.js';
import { RelationVersion } from './relation.js';
import { planRelation, type RelationPlan } from './relation-plan.js';
import {
  hasStreamedXid,
  parseStreamAbort,
  parseStreamCommit,
  parseStreamStart,
  parseStreamStop,
  STREAMED_XID_BYTES,
} from './stream-message.js';
import { columnPositionAt, NO_TUPLE, packKey, packRow } from './tuple.js';

/** Relation versions whose plans are kept; beyond it the cache starts anew. */
const MAX_CACHED_PLANS = 4096;
const INITIAL_DATA_BYTES = 256 * 1024;
/** Several times what a batch of ordinary rows takes. */
const MAX_COPIED_BYTES = 1024 * 1024;
/** Where no message is. */
const NO_OFFSET = -1;

/** A relation version by its number and its Relation message. */
export interface RelationSource {
  readonly version: number;
  readonly message: Uint8Array;
  /** The types of its columns that are not built in, and those these are made of. */
  readonly types?: readonly TypeDescriptor[] | undefined;
}

/** What whoever cut a stretch out of the stream knows of its messages, and its bytes do not say. */
export interface StretchFacts {
  /** Whether it begins between Stream Start and Stream Stop. */
  readonly startsInBlock: boolean;
  /**
   * With which versions its messages are decoded: pairs of the offset of a message, ascending, and a position in the
   * batch's list of versions. That version holds from the message on, until another of the same relation does. A
   * Relation message has its own; so has the first change of a relation, and the first after the version changed because
   * a streamed transaction, which may have described the relation for itself, begins, ends or takes turns with another.
   */
  readonly versionsFrom: readonly number[];
  /** Offsets, ascending, of Stream Aborts of transactions of which nothing was streamed: they are no events. */
  readonly strayAborts: readonly number[];
}

/** A stretch of the stream that begins and ends between backend messages. */
export interface TranscodeTask {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  /** The versions that it is decoded with. */
  readonly relations: readonly RelationSource[];
  readonly facts: StretchFacts;
}

export interface TranscodeResult extends PackedBatch {
  /** Relation versions that the index refers to: the task's. */
  readonly relations: readonly RelationVersion[];
  /** What stopped it, at the event after the last of `index`. */
  readonly error: unknown;
}

/**
 * Turns pgoutput messages into packed events, without a JavaScript object per row. Keeps plans of relation versions
 * between calls; these are a cache only, every task brings the versions that it needs.
 */
export class Transcoder {
  readonly #types: TypesMode | TypeRules;
  readonly #out = new PackWriter(INITIAL_DATA_BYTES);
  readonly #index = new EventIndex();
  readonly #plans = new Map<number, RelationPlan>();

  /** Positions in the batch's list of versions, and plans, by relation id: those in force at the current message. */
  readonly #positions = new Map<number, number>();
  readonly #current = new Map<number, RelationPlan>();
  #batchPlans: RelationPlan[] = [];
  #lastId = -1;
  #lastPosition = 0;
  #lastPlan: RelationPlan | undefined;

  /** Whether the current message is between Stream Start and Stream Stop. */
  #inBlock = false;
  #strayAborts: readonly number[] = [];
  #straysPassed = 0;

  constructor(types: TypesMode | TypeRules) {
    this.#types = types;
  }

  /** Never throws for what the bytes hold: the events before the fault are returned together with the error. */
  transcode(task: TranscodeTask): TranscodeResult {
    this.#enterTask(task);
    const { bytes, end } = task;
    const { versionsFrom } = task.facts;
    let versionsUsed = 0;
    let nextVersionFrom = versionsFrom.length > 0 ? versionsFrom[0] : NO_OFFSET;
    let error: unknown;
    let at = task.start;
    while (at < end) {
      const body = at + FRAME_HEADER_BYTES;
      const next = at + 1 + bytes.readUInt32BE(at + 1);
      if (bytes[at] === COPY_DATA && bytes[body] === XLOG_DATA_TAG) {
        const message = body + XLOG_DATA_HEADER_BYTES;
        if (message >= next) {
          // Too short for its header maybe: nothing may be read beyond it.
          const lsn = next - body >= 9 ? bytes.readBigUInt64BE(body + 1) : 0n;
          error = new DecodeError('empty XLogData', { offset: 0, lsn });
          break;
        }
        // Several at once where a truncate has several relations.
        while (message === nextVersionFrom) {
          this.#useVersion(versionsFrom[versionsUsed + 1]);
          versionsUsed += 2;
          nextVersionFrom = versionsUsed < versionsFrom.length ? versionsFrom[versionsUsed] : NO_OFFSET;
        }
        const rollback = this.#out.position;
        const tag = bytes[message];
        try {
          if (this.#inBlock && hasStreamedXid(tag)) this.#packStreamed(tag, bytes, body, message, next);
          else this.#packMessage(tag, bytes, body, message, next);
        } catch (thrown) {
          this.#out.position = rollback;
          const row = this.#rowLocation(tag, bytes, this.#inBlock ? message + STREAMED_XID_BYTES : message, next);
          error = locateDecodeError(thrown, { start: message, tag, lsn: bytes.readBigUInt64BE(body + 1), row });
          break;
        }
      }
      at = next;
    }
    const relations = this.#batchPlans.map((plan) => plan.version);
    return { index: this.#index.take(), data: this.#takeData(), relations, error };
  }

  /**
   * What was packed, in memory of its own and of just that size: it is transferred, and counts towards the reader's next
   * garbage collection whole. Only what is large is given away with the writer's memory instead of being copied.
   */
  #takeData(): Uint8Array<ArrayBufferLike> {
    const out = this.#out;
    if (out.position > MAX_COPIED_BYTES) return out.take(INITIAL_DATA_BYTES);
    const copy = Buffer.allocUnsafeSlow(out.position);
    out.bytes.copy(copy, 0, 0, out.position);
    out.position = 0;
    return copy;
  }

  #enterTask(task: TranscodeTask): void {
    this.#positions.clear();
    this.#current.clear();
    this.#lastId = -1;
    this.#inBlock = task.facts.startsInBlock;
    this.#strayAborts = task.facts.strayAborts;
    this.#straysPassed = 0;
    if (this.#plans.size > MAX_CACHED_PLANS) this.#plans.clear();
    this.#batchPlans = task.relations.map((source) => this.#planOf(source));
  }

  #planOf({ version, message, types = NO_TYPES }: RelationSource): RelationPlan {
    const known = this.#plans.get(version);
    // Numbers count within one stream, and a decoder may outlive it: only the same description is the same version.
    const isKnown = known !== undefined && Buffer.compare(known.version.message, message) === 0;
    if (isKnown && hasTypes(known, types)) return known;
    const plan = planRelation(new RelationVersion(version, Uint8Array.from(message)), this.#types, types);
    this.#plans.set(version, plan);
    return plan;
  }

  #useVersion(position: number): void {
    const plan = this.#batchPlans[position];
    const { id } = plan.version.relation;
    this.#positions.set(id, position);
    this.#current.set(id, plan);
    this.#lastId = -1;
  }

  /** In a streamed block: the xid of the subtransaction stands between the tag and what the message is otherwise. */
  #packStreamed(tag: number, bytes: Buffer, body: number, start: number, end: number): void {
    if (end - start <= STREAMED_XID_BYTES) throw new DecodeError('incomplete xid', { offset: start + 1 });
    const out = this.#out;
    out.reserve(SUBXID_BYTES);
    bytes.copy(out.bytes, out.position, start + 1, start + 1 + STREAMED_XID_BYTES);
    out.position += SUBXID_BYTES;
    // Nothing looks at the byte of the tag again.
    this.#packMessage(tag, bytes, body, start + STREAMED_XID_BYTES, end);
    this.#index.flagLast(EventFlag.streamed);
  }

  #packMessage(tag: number, bytes: Buffer, body: number, start: number, end: number): void {
    switch (tag) {
      case MessageTag.insert:
        this.#packInsert(bytes, body, start, end);
        break;
      case MessageTag.update:
        this.#packUpdate(bytes, body, start, end);
        break;
      case MessageTag.delete:
        this.#packDelete(bytes, body, start, end);
        break;
      case MessageTag.begin:
        this.#copyMessage(EventCode.begin, parseBegin, bytes, body, start, end);
        break;
      case MessageTag.commit:
        this.#copyMessage(EventCode.commit, parseCommit, bytes, body, start, end);
        break;
      case MessageTag.relation:
        this.#packRelation(bytes, body, start);
        break;
      case MessageTag.type:
        this.#copyMessage(EventCode.type, parseType, bytes, body, start, end);
        break;
      case MessageTag.origin:
        this.#copyMessage(EventCode.origin, parseOrigin, bytes, body, start, end);
        break;
      case MessageTag.message:
        this.#copyMessage(EventCode.message, parseMessage, bytes, body, start, end);
        break;
      case MessageTag.truncate:
        this.#packTruncate(bytes, body, start, end);
        break;
      default:
        this.#packUncommitted(tag, bytes, body, start, end);
    }
  }

  /** Messages that open and end what is sent before it commits. */
  #packUncommitted(tag: number, bytes: Buffer, body: number, start: number, end: number): void {
    switch (tag) {
      case MessageTag.streamStart:
        this.#copyMessage(EventCode.streamStart, parseStreamStart, bytes, body, start, end);
        this.#inBlock = true;
        break;
      case MessageTag.streamStop:
        this.#copyMessage(EventCode.streamStop, parseStreamStop, bytes, body, start, end);
        this.#inBlock = false;
        break;
      case MessageTag.streamCommit:
        this.#copyMessage(EventCode.streamCommit, parseStreamCommit, bytes, body, start, end);
        break;
      case MessageTag.streamAbort:
        if (this.#strayAborts[this.#straysPassed] === start) this.#straysPassed++;
        else this.#copyMessage(EventCode.streamAbort, parseStreamAbort, bytes, body, start, end);
        break;
      case MessageTag.beginPrepare:
        this.#copyMessage(EventCode.beginPrepare, parseBeginPrepare, bytes, body, start, end);
        break;
      case MessageTag.prepare:
        this.#copyMessage(EventCode.prepare, parsePrepare, bytes, body, start, end);
        break;
      case MessageTag.commitPrepared:
        this.#copyMessage(EventCode.commitPrepared, parseCommitPrepared, bytes, body, start, end);
        break;
      case MessageTag.rollbackPrepared:
        this.#copyMessage(EventCode.rollbackPrepared, parseRollbackPrepared, bytes, body, start, end);
        break;
      case MessageTag.streamPrepare:
        this.#copyMessage(EventCode.streamPrepare, parsePrepare, bytes, body, start, end);
        break;
      default:
        throw new DecodeError('unknown pgoutput message', { offset: start });
    }
  }

  /** Its version is in force already: the index says which it is. */
  #packRelation(bytes: Buffer, body: number, start: number): void {
    const id = bytes.readUInt32BE(start + 1);
    const position = this.#positions.get(id);
    if (position === undefined) throw unknownRelation(start, id);
    this.#push(EventCode.relation, position, bytes, body, this.#out.position);
  }

  /** Insert: 'I' relationId:Int32 'N' TupleData */
  #packInsert(bytes: Buffer, body: number, start: number, end: number): void {
    const plan = this.#planAt(bytes, start, end);
    const out = this.#out;
    const oldStart = out.position;
    expectTag(bytes, start + 5, end, TupleTag.new);
    writeRecord(out);
    expectEnd(packRow(bytes, start + 6, end, plan, NO_TUPLE, out), end);
    this.#pushRow(EventCode.insert, bytes, body, oldStart, oldStart);
  }

  /** Update: 'U' relationId:Int32 ['K' TupleData | 'O' TupleData] 'N' TupleData */
  #packUpdate(bytes: Buffer, body: number, start: number, end: number): void {
    const plan = this.#planAt(bytes, start, end);
    const out = this.#out;
    const oldStart = out.position;
    let code: number = EventCode.update;
    let at = start + 5;
    let oldTuple = NO_TUPLE;
    if (bytes[at] === TupleTag.key) {
      code |= EventFlag.hasKey;
      writeRecord(out);
      at = packKey(bytes, at + 1, end, plan, out);
    } else if (bytes[at] === TupleTag.old) {
      code |= EventFlag.hasOld;
      oldTuple = at + 1;
      writeRecord(out);
      at = packRow(bytes, oldTuple, end, plan, NO_TUPLE, out);
    }
    expectTag(bytes, at, end, TupleTag.new);
    const newStart = out.position;
    writeRecord(out);
    expectEnd(packRow(bytes, at + 1, end, plan, oldTuple, out), end);
    this.#pushRow(code, bytes, body, oldStart, newStart);
  }

  /** Delete: 'D' relationId:Int32 ('K' TupleData | 'O' TupleData) */
  #packDelete(bytes: Buffer, body: number, start: number, end: number): void {
    const plan = this.#planAt(bytes, start, end);
    const out = this.#out;
    const oldStart = out.position;
    const at = start + 5;
    writeRecord(out);
    if (bytes[at] === TupleTag.old && at < end) {
      expectEnd(packRow(bytes, at + 1, end, plan, NO_TUPLE, out), end);
      this.#pushRow(EventCode.delete | EventFlag.hasOld, bytes, body, oldStart, out.position);
    } else {
      expectTag(bytes, at, end, TupleTag.key);
      expectEnd(packKey(bytes, at + 1, end, plan, out), end);
      this.#pushRow(EventCode.delete | EventFlag.hasKey, bytes, body, oldStart, out.position);
    }
  }

  /** Packed as: options byte, count, then the position of each relation in the batch's list, big-endian. */
  #packTruncate(bytes: Buffer, body: number, start: number, end: number): void {
    const truncate = parseTruncate(bytes, start, end);
    const out = this.#out;
    const dataStart = out.position;
    const options = bytes[start + 5];
    out.reserve(5 + truncate.relationIds.length * 4);
    out.bytes[out.position++] = options;
    out.position = out.bytes.writeUInt32BE(truncate.relationIds.length, out.position);
    for (const id of truncate.relationIds) {
      const position = this.#positions.get(id);
      if (position === undefined) throw unknownRelation(start, id);
      out.position = out.bytes.writeUInt32BE(position, out.position);
    }
    this.#push(EventCode.truncate, 0, bytes, body, dataStart);
  }

  /** Control messages are copied as they are, and parsed again where their event is made. */
  #copyMessage(
    code: number,
    check: (bytes: Buffer, start: number, end: number) => unknown,
    bytes: Buffer,
    body: number,
    start: number,
    end: number,
  ): void {
    check(bytes, start, end);
    const out = this.#out;
    const dataStart = out.position;
    out.reserve(end - start);
    bytes.copy(out.bytes, dataStart, start, end);
    out.position += end - start;
    this.#push(code, 0, bytes, body, dataStart);
  }

  #push(code: number, relation: number, bytes: Buffer, body: number, dataStart: number): void {
    const lsnHigh = bytes.readUInt32BE(body + 1);
    const lsnLow = bytes.readUInt32BE(body + 5);
    this.#index.push(code, relation, lsnHigh, lsnLow, dataStart, dataStart, this.#out.position);
  }

  #pushRow(code: number, bytes: Buffer, body: number, oldStart: number, newStart: number): void {
    const lsnHigh = bytes.readUInt32BE(body + 1);
    const lsnLow = bytes.readUInt32BE(body + 5);
    this.#index.push(code, this.#lastPosition, lsnHigh, lsnLow, oldStart, newStart, this.#out.position);
  }

  /** For the error of a row change, which begins at `start` but for its tag. */
  #rowLocation(tag: number, bytes: Buffer, start: number, end: number): RowLocation | undefined {
    if (tag !== MessageTag.insert && tag !== MessageTag.update && tag !== MessageTag.delete) return undefined;
    if (end - start < 5) return undefined;
    const relation = this.#current.get(bytes.readUInt32BE(start + 1))?.version.relation;
    if (relation === undefined) return undefined;
    return {
      relation: `${relation.schema}.${relation.table}`,
      relationId: relation.id,
      columnAt: (offset) => relation.columns[columnPositionAt(bytes, start + 5, end, offset)]?.name,
    };
  }

  #planAt(bytes: Buffer, start: number, end: number): RelationPlan {
    if (end - start < 5) throw new DecodeError('row change without its relation', { offset: start });
    const id = bytes.readUInt32BE(start + 1);
    if (id === this.#lastId && this.#lastPlan !== undefined) return this.#lastPlan;
    const plan = this.#current.get(id);
    const position = this.#positions.get(id);
    if (plan === undefined || position === undefined) throw unknownRelation(start, id);
    this.#lastId = id;
    this.#lastPlan = plan;
    this.#lastPosition = position;
    return plan;
  }
}

const NO_TYPES: readonly TypeDescriptor[] = [];

/** Types can become known better while their relation stays the same. */
function hasTypes(plan: RelationPlan, types: readonly TypeDescriptor[]): boolean {
  const known = plan.version.types;
  // Most relations need none. A worker gets a new array with every batch, and comparing in depth takes it microseconds.
  return known === types || (known?.length === 0 && types.length === 0) || isDeepStrictEqual(known, types);
}

function writeRecord(out: PackWriter): void {
  out.reserve(1);
  out.bytes[out.position++] = ROW_HEADER;
}

function expectTag(bytes: Buffer, at: number, end: number, tag: number): void {
  if (at >= end || bytes[at] !== tag) {
    throw new DecodeError(`tuple of kind '${String.fromCharCode(tag)}' expected`, { offset: at });
  }
}

function expectEnd(at: number, end: number): void {
  if (at !== end) throw new DecodeError(`${end - at} bytes after the end of the message`, { offset: at });
}

function unknownRelation(offset: number, relationId: number): DecodeError {
  return new DecodeError('change of a relation that the stream has not described', { offset, relationId });
}
