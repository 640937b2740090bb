import { DecodeError } from '../errors.js';
import type { Type } from '../pgoutput/control-message.js';
import { RelationVersion } from '../pgoutput/relation.js';

/** Transactions that can be in progress on a server at once: PostgreSQL's own bound on backends, 2^18 - 1. */
const MAX_STREAMED_TRANSACTIONS = 0x3ffff;

/** A version and the number of the Relation message that described it last. */
interface Described {
  readonly version: RelationVersion;
  readonly order: number;
}

type Scope = Map<number, Described>;

/**
 * The relation versions in force at the place of the stream that is being scanned, and which transactions are being
 * streamed.
 *
 * A Relation message in a streamed block describes the relation for its transaction only, which may have altered it;
 * nobody else sees that before it commits. So each streamed transaction has a scope of its own, over the one that all
 * share. What becomes of it is what pgoutput remembers of having sent: after Stream Commit everybody shares it; after
 * any Stream Abort, also of a subtransaction, and after Stream Prepare the server describes the relations again.
 *
 * @see https://github.com/postgres/postgres/blob/master/src/backend/replication/pgoutput/pgoutput.c cleanup_rel_sync_cache
 */
export class RelationRegistry {
  readonly #shared: Scope = new Map();
  /** By the xid of the streamed transaction, from its first Stream Start to its end. */
  readonly #streamed = new Map<number, Scope>();
  /** Of the block that is open. */
  #block: Scope | undefined;
  /** What was described last, in whichever scope: most transactions describe a relation alike, and share the version. */
  readonly #latest = new Map<number, RelationVersion>();
  readonly #typeNames = new Map<number, string>();
  /** Relations with a column whose type has another name than when they were described. */
  readonly #outdated = new Set<number>();
  #nextVersion = 0;
  #nextOrder = 0;

  get(relationId: number): RelationVersion | undefined {
    const described = this.#block?.get(relationId) ?? this.#shared.get(relationId);
    return described?.version;
  }

  /** A Type message was received: they come before the Relation message of the relation that has the type. */
  nameType({ id, schema, name }: Type): void {
    const qualified = `${schema}.${name}`;
    const before = this.#typeNames.get(id);
    this.#typeNames.set(id, qualified);
    if (before === undefined || before === qualified) return;
    for (const { relation } of this.#latest.values()) {
      if (relation.columns.some((column) => column.typeOid === id)) this.#outdated.add(relation.id);
    }
  }

  /**
   * A Relation message was received, its xid taken out. The server sends the same one again after any invalidation:
   * that is no new version, unless a type was renamed. DecodeError when it is malformed.
   */
  describe(message: Uint8Array): RelationVersion {
    const read = new RelationVersion(this.#nextVersion, Uint8Array.from(message));
    const { id } = read.relation;
    const isOutdated = this.#outdated.delete(id);
    const known = [this.get(id), this.#latest.get(id)].find(
      (one) => one !== undefined && !isOutdated && Buffer.compare(one.message, message) === 0,
    );
    const version = known ?? read;
    if (version === read) this.#nextVersion++;
    (this.#block ?? this.#shared).set(id, { version, order: this.#nextOrder++ });
    this.#latest.set(id, version);
    return version;
  }

  /** Whether anything of the transaction was streamed, and it has not ended. */
  isStreamed(xid: number): boolean {
    return this.#streamed.has(xid);
  }

  /** Stream Start. */
  enterBlock(xid: number): void {
    let scope = this.#streamed.get(xid);
    if (scope === undefined) {
      if (this.#streamed.size >= MAX_STREAMED_TRANSACTIONS) {
        throw new DecodeError(`more than ${MAX_STREAMED_TRANSACTIONS} streamed transactions in progress`, {
          offset: 0,
        });
      }
      scope = new Map();
      this.#streamed.set(xid, scope);
    }
    this.#block = scope;
  }

  /** Stream Stop. */
  leaveBlock(): void {
    this.#block = undefined;
  }

  /** Stream Commit: from here on everybody shares what the transaction described, unless it was described since. */
  commitStreamed(xid: number): void {
    for (const [id, described] of this.#streamed.get(xid) ?? []) {
      const shared = this.#shared.get(id);
      if (shared === undefined || shared.order < described.order) this.#shared.set(id, described);
    }
    this.#streamed.delete(xid);
  }

  /** Stream Abort of a subtransaction: the server forgets everything that it has described for the transaction. */
  forgetDescribed(xid: number): void {
    this.#streamed.get(xid)?.clear();
  }

  /** The connection was lost: what is still in progress is streamed anew. */
  dropAllStreamed(): void {
    this.#streamed.clear();
    this.#block = undefined;
  }

  /** Stream Abort of the whole transaction, or Stream Prepare. */
  dropStreamed(xid: number): void {
    this.#streamed.delete(xid);
  }
}
