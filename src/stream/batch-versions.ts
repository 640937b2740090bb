import { DecodeError } from '../errors.js';
import { moveDecodeError } from '../pgoutput/decode-location.js';
import { MessageTag } from '../pgoutput/message-tag.js';
import type { RelationVersion } from '../pgoutput/relation.js';
import type { StretchFacts } from '../pgoutput/transcoder.js';
import type { RelationRegistry } from './relation-registry.js';

/** The relation versions that a batch is decoded with. */
export interface VersionsOfBatch {
  readonly versions: readonly RelationVersion[];
  readonly versionsFrom: StretchFacts['versionsFrom'];
}

/**
 * Notes with which relation version each message of a batch is to be decoded, as far as whoever decodes it cannot know:
 * he is told of a version at the first message that needs it, and again only when another takes its place.
 */
export class BatchVersions {
  readonly #relations: RelationRegistry;
  /** The batch's versions, their positions in that list, and from where on which holds. */
  #versions: RelationVersion[] = [];
  readonly #positions = new Map<RelationVersion, number>();
  #versionsFrom: number[] = [];
  /** By relation id, the version that `#versionsFrom` arrives at. */
  readonly #arrivedAt = new Map<number, RelationVersion>();
  /** Relations whose version there is known to be the one in force; and the last that was mentioned. */
  readonly #settled = new Set<number>();
  #lastId = -1;

  constructor(relations: RelationRegistry) {
    this.#relations = relations;
  }

  /** The message at `offset` changes the relation. */
  mention(relationId: number, offset: number): void {
    if (relationId === this.#lastId) return;
    this.#lastId = relationId;
    if (this.#settled.has(relationId)) return;
    this.#settled.add(relationId);
    const version = this.#relations.get(relationId);
    if (version !== undefined) {
      this.#arriveAt(version, relationId, offset);
    } else if (this.#arrivedAt.has(relationId)) {
      // Another transaction described it for itself: not to be taken for this one's.
      throw new DecodeError('change of a relation that the stream has not described', { offset, relationId });
    }
  }

  /** The message at `offset` describes a relation; `[start, end)` is the Relation but for its first byte. */
  describe(bytes: Buffer, offset: number, start: number, end: number): void {
    const message = Uint8Array.from(bytes.subarray(start, end));
    // Of a streamed one, that is the last byte of the xid.
    message[0] = MessageTag.relation;
    const version = this.#read(message, start);
    const { id } = version.relation;
    this.#arriveAt(version, id, offset);
    this.#settled.add(id);
    this.#lastId = -1;
  }

  /** Which versions are in force may have changed: a streamed transaction has its own. */
  unsettle(): void {
    this.#settled.clear();
    this.#lastId = -1;
  }

  /** What was noted for the messages before `offset`; those from there on are another batch of the same versions. */
  splitAt(offset: number): VersionsOfBatch {
    const pairs = this.#versionsFrom;
    const isAfter = (_: number, at: number) => pairs[at - (at % 2)] >= offset;
    this.#versionsFrom = pairs.filter(isAfter);
    return { versions: this.#versions, versionsFrom: pairs.filter((pair, at) => !isAfter(pair, at)) };
  }

  /** What was noted for the batch; the next begins. */
  take(): VersionsOfBatch {
    const taken = { versions: this.#versions, versionsFrom: this.#versionsFrom };
    this.#versions = [];
    this.#versionsFrom = [];
    this.#positions.clear();
    this.#arrivedAt.clear();
    this.unsettle();
    return taken;
  }

  #read(message: Uint8Array, start: number): RelationVersion {
    try {
      return this.#relations.describe(message);
    } catch (error) {
      throw moveDecodeError(error, start);
    }
  }

  #arriveAt(version: RelationVersion, relationId: number, offset: number): void {
    if (this.#arrivedAt.get(relationId) === version) return;
    this.#arrivedAt.set(relationId, version);
    let position = this.#positions.get(version);
    if (position === undefined) {
      position = this.#versions.push(version) - 1;
      this.#positions.set(version, position);
    }
    this.#versionsFrom.push(offset, position);
  }
}
