import { isDeepStrictEqual } from 'node:util';
import { DecodeError } from '../errors.js';
import { COPY_DATA, FRAME_HEADER_BYTES } from '../protocol/frame-scan.js';
import { XLOG_DATA_HEADER_BYTES, XLOG_DATA_TAG } from '../protocol/replication-message.js';
import { PackWriter } from '../types/pack-writer.js';
import type { TypeDescriptor } from '../types/type-descriptor.js';
import type { TypeRules, TypesMode } from '../types/type-rules.js';
import { parseBegin, parseCommit, parseMessage, parseOrigin, parseTruncate, parseType } from './control-message.js';
import { locateDecodeError } from './decode-location.js';
import { EventIndex } from './event-index.js';
import { MessageTag, TupleTag } from './message-tag.js';
import { EventCode, EventFlag, type PackedBatch } from './packed-batch.js';
import { RelationVersion } from './relation.js';
import { planRelation, type RelationPlan } from './relation-plan.js';
import { NO_TUPLE, packKey, packRow } from './tuple.js';

/** First byte of a packed row: msgpackr's record of structure 0. */
export const ROW_RECORD = 0x40;
/** Relation versions whose plans are kept; beyond it the cache starts anew. */
const MAX_CACHED_PLANS = 4096;
const INITIAL_DATA_BYTES = 256 * 1024;

/** A relation version by its number and its Relation message. */
export interface RelationSource {
  readonly version: number;
  readonly message: Uint8Array;
}

/** A stretch of the stream that begins and ends between backend messages. */
export interface TranscodeTask {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  /** Versions in force at the start, of the relations that the stretch refers to. */
  readonly relations: readonly RelationSource[];
  /** Version of each Relation message in the stretch, in order. */
  readonly relationVersions: readonly number[];
  /** By relation version: the types of its columns that are not built in, where there are any. */
  readonly types?: ReadonlyMap<number, readonly TypeDescriptor[]> | undefined;
}

export interface TranscodeResult extends PackedBatch {
  /** Relation versions that the index refers to: the task's, then those described in the stretch. */
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

  /** Positions in the batch's relation list, and plans, by relation id: those in force at the current message. */
  readonly #positions = new Map<number, number>();
  readonly #current = new Map<number, RelationPlan>();
  #relations: RelationVersion[] = [];
  #lastId = -1;
  #lastPosition = 0;
  #lastPlan: RelationPlan | undefined;

  constructor(types: TypesMode | TypeRules) {
    this.#types = types;
  }

  /** Never throws for what the bytes hold: the events before the fault are returned together with the error. */
  transcode(task: TranscodeTask): TranscodeResult {
    this.#enterTask(task);
    const { bytes, end, relationVersions } = task;
    let error: unknown;
    let relationMessages = 0;
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
        const rollback = this.#out.position;
        try {
          if (bytes[message] === MessageTag.relation) {
            this.#enterRelation(relationVersions[relationMessages++], bytes.subarray(message, next), task.types);
          }
          this.#packMessage(bytes, body, message, next);
        } catch (thrown) {
          this.#out.position = rollback;
          error = locateDecodeError(thrown, {
            start: message,
            tag: bytes[message],
            lsn: bytes.readBigUInt64BE(body + 1),
          });
          break;
        }
      }
      at = next;
    }
    return { index: this.#index.take(), data: this.#takeData(), relations: this.#relations, error };
  }

  /** What was packed, in memory of its own: cut off the writer's where it fills it well, else copied. */
  #takeData(): Uint8Array<ArrayBufferLike> {
    const out = this.#out;
    if (out.position * 4 > out.bytes.length) return out.take();
    const copy = new Uint8Array(out.position);
    copy.set(out.bytes.subarray(0, out.position));
    out.position = 0;
    return copy;
  }

  #enterTask(task: TranscodeTask): void {
    this.#positions.clear();
    this.#current.clear();
    this.#relations = [];
    this.#lastId = -1;
    if (this.#plans.size > MAX_CACHED_PLANS) this.#plans.clear();
    for (const source of task.relations) this.#enterRelation(source.version, source.message, task.types);
  }

  #enterRelation(version: number, message: Uint8Array, types: TranscodeTask['types']): void {
    let plan = this.#plans.get(version);
    const descriptors = types?.get(version) ?? NO_TYPES;
    // Numbers count within one stream, and a decoder may outlive it: only the same description is the same version.
    if (plan === undefined || Buffer.compare(plan.version.message, message) !== 0 || !hasTypes(plan, descriptors)) {
      plan = planRelation(new RelationVersion(version, Uint8Array.from(message)), this.#types, descriptors);
      this.#plans.set(version, plan);
    }
    const { id } = plan.version.relation;
    this.#positions.set(id, this.#relations.push(plan.version) - 1);
    this.#current.set(id, plan);
    this.#lastId = -1;
  }

  #packMessage(bytes: Buffer, body: number, start: number, end: number): void {
    switch (bytes[start]) {
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
        this.#push(EventCode.relation, this.#relations.length - 1, bytes, body, this.#out.position);
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
      case MessageTag.streamAbort:
        // There are no streamed transactions: nothing to discard.
        break;
      default:
        throw new DecodeError('unknown pgoutput message', { offset: start });
    }
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
  return plan.version.types === types || isDeepStrictEqual(plan.version.types, types);
}

function writeRecord(out: PackWriter): void {
  out.reserve(1);
  out.bytes[out.position++] = ROW_RECORD;
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
