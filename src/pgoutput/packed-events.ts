import { PackSource } from '../types/pack-source.js';
import type { RowReader } from '../types/row-reader.js';
import { atLsn } from './decode-location.js';
import type { Row } from './event-json.js';
import { EVENT_WORDS, EventFlag, EventWord, type PackedBatch, SUBXID_BYTES } from './packed-batch.js';
import type { Relation, RelationVersion } from './relation.js';

/** Reads a value that a transform returned. */
export type ValueReader = (bytes: Buffer, start: number, end: number) => unknown;

/** Reads packed events in place; `at` is always the first index word of an event. */
export class PackedEvents {
  /** Where the event after the last would begin. */
  readonly end: number;
  /** Relation versions that events refer to by position. */
  readonly relations: readonly RelationVersion[];
  /** Reads what a transform returned; `undefined` without one. */
  readonly valueReader: ValueReader | undefined;
  readonly #words: Uint32Array;
  readonly #data: Buffer;
  /** Rows nobody reads need none. */
  #rows: PackSource | undefined;

  constructor(packed: PackedBatch, relations: readonly RelationVersion[], valueReader: ValueReader | undefined) {
    this.#words = packed.index;
    this.end = packed.index.length;
    const { buffer, byteOffset, byteLength } = packed.data;
    this.#data = Buffer.from(buffer, byteOffset, byteLength);
    this.relations = relations;
    this.valueReader = valueReader;
  }

  /** The memories that events are read from. */
  get packed(): PackedBatch {
    return { index: this.#words, data: this.#data };
  }

  get byteCount(): number {
    return this.#words.byteLength + this.#data.length;
  }

  /** Bytes that the events from `from` to before `to` take. */
  byteCountBetween(from: number, to: number): number {
    if (from === to) return 0;
    return (to - from) * Uint32Array.BYTES_PER_ELEMENT + this.#dataEnd(to) - this.#dataStart(from);
  }

  /** The events from `from` to before `to`, in memory of their own. */
  copy(from: number, to: number): PackedEvents {
    const index = this.#words.slice(from, to);
    const dataStart = from === to ? 0 : this.#dataStart(from);
    const data = Buffer.from(this.#data.subarray(dataStart, from === to ? 0 : this.#dataEnd(to)));
    for (let at = 0; at < index.length; at += EVENT_WORDS) {
      index[at + EventWord.oldStart] -= dataStart;
      index[at + EventWord.newStart] -= dataStart;
      index[at + EventWord.end] -= dataStart;
    }
    return new PackedEvents({ index, data }, this.relations, this.valueReader);
  }

  get count(): number {
    return this.end / EVENT_WORDS;
  }

  /** Whether row events carry a transform's value instead of rows. */
  get transformed(): boolean {
    return this.valueReader !== undefined;
  }

  codeAndFlags(at: number): number {
    return this.#words[at + EventWord.codeAndFlags];
  }

  hasFlag(at: number, flag: number): boolean {
    return (this.#words[at + EventWord.codeAndFlags] & flag) !== 0;
  }

  lsnAt(at: number): bigint {
    const high = this.#words[at + EventWord.lsnHigh];
    const low = this.#words[at + EventWord.lsnLow];
    // Below 2^53 one conversion does; 0x200000 is 2^53 / 2^32.
    return high < 0x200000 ? BigInt(high * 0x100000000 + low) : (BigInt(high) << 32n) | BigInt(low);
  }

  /** The subtransaction's xid; `undefined` outside a streamed block. */
  subxidAt(at: number): number | undefined {
    if (!this.hasFlag(at, EventFlag.streamed)) return undefined;
    return this.#data.readUInt32BE(this.#words[at + EventWord.oldStart] - SUBXID_BYTES);
  }

  relationAt(at: number): RelationVersion {
    return this.relations[this.#words[at + EventWord.relation]];
  }

  /** The new row; `undefined` when there is none. */
  readNew(at: number): Row | undefined {
    const start = this.#words[at + EventWord.newStart];
    const end = this.#words[at + EventWord.end];
    return start === end ? undefined : this.#readRow(this.relationAt(at).rowReader, at, start, end);
  }

  /** The old row or old key; `undefined` when there is none. */
  readOld(at: number): Row | undefined {
    const start = this.#words[at + EventWord.oldStart];
    const end = this.#words[at + EventWord.newStart];
    if (start === end) return undefined;
    const version = this.relationAt(at);
    const reader = this.hasFlag(at, EventFlag.hasKey) ? version.keyReader : version.rowReader;
    return this.#readRow(reader, at, start, end);
  }

  readValue(at: number): unknown {
    return this.valueReader?.(this.#data, this.#words[at + EventWord.newStart], this.#words[at + EventWord.end]);
  }

  /** The raw message of a control event, parsed by `parse`. */
  parseAt<T>(at: number, parse: (bytes: Buffer, start: number, end: number) => T): T {
    return parse(this.#data, this.#words[at + EventWord.newStart], this.#words[at + EventWord.end]);
  }

  /** What the transcoder packed of a truncate: options byte, count, positions of relations. */
  truncateAt(at: number): { options: number; relations: Relation[] } {
    const start = this.#words[at + EventWord.newStart];
    const relations: Relation[] = [];
    for (let offset = start + 5; offset < this.#words[at + EventWord.end]; offset += 4) {
      relations.push(this.relations[this.#data.readUInt32BE(offset)].relation);
    }
    return { options: this.#data[start], relations };
  }

  #readRow(reader: RowReader, at: number, start: number, end: number): Row {
    this.#rows ??= new PackSource(this.#data);
    try {
      return reader.read(this.#rows, start, end);
    } catch (error) {
      throw atLsn(error, this.lsnAt(at));
    }
  }

  #dataStart(at: number): number {
    const start = this.#words[at + EventWord.oldStart];
    return this.hasFlag(at, EventFlag.streamed) ? start - SUBXID_BYTES : start;
  }

  /** Where the data of the event before `at` ends. */
  #dataEnd(at: number): number {
    return this.#words[at - EVENT_WORDS + EventWord.end];
  }
}
