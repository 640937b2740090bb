import type { Type } from '../pgoutput/control-message.js';
import { RelationVersion } from '../pgoutput/relation.js';

/** The relation versions in force at the place of the stream that is being scanned. */
export class RelationRegistry {
  readonly #current = new Map<number, RelationVersion>();
  readonly #typeNames = new Map<number, string>();
  /** Relations with a column whose type has another name than when they were described. */
  readonly #outdated = new Set<number>();
  #nextVersion = 0;

  get(relationId: number): RelationVersion | undefined {
    return this.#current.get(relationId);
  }

  /** A Type message was received: they come before the Relation message of the relation that has the type. */
  nameType({ id, schema, name }: Type): void {
    const qualified = `${schema}.${name}`;
    const before = this.#typeNames.get(id);
    this.#typeNames.set(id, qualified);
    if (before === undefined || before === qualified) return;
    for (const { relation } of this.#current.values()) {
      if (relation.columns.some((column) => column.typeOid === id)) this.#outdated.add(relation.id);
    }
  }

  /**
   * A Relation message was received. The server sends the same one again after any invalidation: that is no new
   * version, unless a type was renamed. DecodeError when it is malformed.
   */
  describe(message: Uint8Array): RelationVersion {
    const version = new RelationVersion(this.#nextVersion, Uint8Array.from(message));
    const { id } = version.relation;
    const known = this.#current.get(id);
    const isOutdated = this.#outdated.delete(id);
    if (known !== undefined && !isOutdated && Buffer.compare(known.message, message) === 0) return known;
    this.#nextVersion++;
    this.#current.set(id, version);
    return version;
  }
}
