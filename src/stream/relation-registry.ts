import { DecodeError } from '../errors.js';
import type { Type } from '../pgoutput/control-message.js';
import { RelationVersion } from '../pgoutput/relation.js';

/** Transactions that can be in progress on a server at once: PostgreSQL's own bound on backends, 2^18 - 1. */
const MAX_STREAMED_TRANSACTIONS = 0x3ffff;

/**
 * Bytes of Relation messages that are kept: some hundred thousand tables, counted again for each streamed transaction
 * that describes them. The server does not repeat what it has described, so nothing can be given up.
 */
const MAX_DESCRIBED_BYTES = 256 * 1024 * 1024;
/** What it costs to keep one, besides. */
const DESCRIBED_OVERHEAD_BYTES = 128;
/** Relations of which the last version is looked for when one is described again. */
const MAX_LATEST = 4096;

/** A version and the number of the Relation message that described it last. */
interface Described {
  readonly version: RelationVersion;
  readonly order: number;
  /** Also of a version that other scopes share: they may go before this one. */
  readonly byteCount: number;
}

const NONE: readonly number[] = [];

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
  readonly #maxDescribedBytes: number;
  #describedBytes = 0;
  #nextVersion = 0;
  #nextOrder = 0;

  constructor(maxDescribedBytes = MAX_DESCRIBED_BYTES) {
    this.#maxDescribedBytes = maxDescribedBytes;
  }

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
    const byteCount = DESCRIBED_OVERHEAD_BYTES + message.length;
    this.#set(this.#block ?? this.#shared, id, { version, order: this.#nextOrder++, byteCount });
    if (this.#describedBytes > this.#maxDescribedBytes) {
      throw new DecodeError(`more than ${this.#maxDescribedBytes} bytes of described relations`, {
        offset: 0,
        relationId: id,
      });
    }
    this.#latest.delete(id);
    this.#latest.set(id, version);
    if (this.#latest.size > MAX_LATEST) this.#latest.delete(this.#latest.keys().next().value ?? id);
    return version;
  }

  /** Whether anything of the transaction was streamed, and it has not ended. */
  isStreamed(xid: number): boolean {
    return this.#streamed.has(xid);
  }

  /** The transactions that are being streamed. */
  get streamedXids(): readonly number[] {
    return this.#streamed.size === 0 ? NONE : [...this.#streamed.keys()];
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
      if (shared === undefined || shared.order < described.order) this.#set(this.#shared, id, described);
    }
    this.dropStreamed(xid);
  }

  /** Stream Abort of a subtransaction: the server forgets everything that it has described for the transaction. */
  forgetDescribed(xid: number): void {
    const scope = this.#streamed.get(xid);
    if (scope !== undefined) this.#clear(scope);
  }

  /** The connection was lost: what is still in progress is streamed anew. */
  dropAllStreamed(): void {
    for (const xid of this.#streamed.keys()) this.dropStreamed(xid);
    this.#block = undefined;
  }

  /** Stream Abort of the whole transaction, or Stream Prepare. */
  dropStreamed(xid: number): void {
    this.forgetDescribed(xid);
    this.#streamed.delete(xid);
  }

  #set(scope: Scope, id: number, described: Described): void {
    this.#describedBytes += described.byteCount - (scope.get(id)?.byteCount ?? 0);
    scope.set(id, described);
  }

  #clear(scope: Scope): void {
    for (const { byteCount } of scope.values()) this.#describedBytes -= byteCount;
    scope.clear();
  }
}
