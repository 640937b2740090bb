import type {
  DeleteMessage,
  InsertMessage,
  LogicalDecodingMessage,
  TruncateMessage,
  UpdateMessage,
} from '../pgoutput/pgoutput-message.js';
import type { TapeRelation } from './tape-relation.js';

/** What a transaction of a tape does: one thing, or several in a subtransaction. */
export type TapeChange = SingleChange | Savepoint;

/** A change of a row, a TRUNCATE or a message. */
export interface SingleChange {
  readonly kind: 'change';
  /** Described before the change, where that was not done. */
  readonly relations: readonly TapeRelation[];
  /** As it will be sent; a message gets its position then. */
  readonly message: InsertMessage | UpdateMessage | DeleteMessage | TruncateMessage | LogicalDecodingMessage;
}

/** Changes of a subtransaction. */
export interface Savepoint {
  readonly kind: 'savepoint';
  /** In order. */
  readonly changes: readonly SingleChange[];
  /** ROLLBACK TO SAVEPOINT. */
  readonly rolledBack: boolean;
}

/** TRUNCATE of one table or several. */
export function truncate(
  relations: readonly TapeRelation[],
  options: { readonly cascade?: boolean; readonly restartIdentity?: boolean } = {},
): SingleChange {
  const { cascade = false, restartIdentity = false } = options;
  const relationIds = relations.map(({ id }) => id);
  return { kind: 'change', relations, message: { kind: 'truncate', relationIds, cascade, restartIdentity } };
}

/** `pg_logical_emit_message(true, prefix, content)`: part of its transaction. */
export function emitMessage(prefix: string, content: string | Uint8Array): SingleChange {
  return {
    kind: 'change',
    relations: [],
    message: { kind: 'message', transactional: true, lsn: 0n, prefix, content: Buffer.from(content) },
  };
}

/**
 * Changes after a SAVEPOINT; rolled back, they reach only a client that streams transactions in progress, and are
 * taken back there by a Stream Abort.
 */
export function savepoint(changes: readonly TapeChange[], outcome: 'released' | 'rolledBack' = 'released'): Savepoint {
  const single = changes.flatMap((change) => (change.kind === 'change' ? [change] : change.changes));
  return { kind: 'savepoint', changes: single, rolledBack: outcome === 'rolledBack' };
}
