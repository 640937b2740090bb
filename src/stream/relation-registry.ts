import { RelationVersion } from '../pgoutput/relation.js';

/** The relation versions in force at the place of the stream that is being scanned. */
export class RelationRegistry {
  readonly #current = new Map<number, RelationVersion>();
  #nextVersion = 0;

  get(relationId: number): RelationVersion | undefined {
    return this.#current.get(relationId);
  }

  /**
   * A Relation message was received. The server sends the same one again after any invalidation: that is no new
   * version. DecodeError when it is malformed.
   */
  describe(message: Uint8Array): RelationVersion {
    const version = new RelationVersion(this.#nextVersion, Uint8Array.from(message));
    const { id } = version.relation;
    const known = this.#current.get(id);
    if (known !== undefined && Buffer.compare(known.message, message) === 0) return known;
    this.#nextVersion++;
    this.#current.set(id, version);
    return version;
  }
}
