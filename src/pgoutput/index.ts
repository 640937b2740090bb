/**
 * pgoutput without a connection or a worker: `pg-walstream/pgoutput`.
 *
 * @see https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */
export type { Begin, Commit, LogicalMessage, Origin, Truncate, Type } from './control-message.js';
export { parseBegin, parseCommit, parseMessage, parseOrigin, parseTruncate, parseType } from './control-message.js';
export type {
  BeginEvent,
  CommitEvent,
  MessageEvent,
  OriginEvent,
  RelationEvent,
  RowEvent,
  TruncatedRelation,
  TruncateEvent,
  TypeEvent,
  WalEvent,
} from './event.js';
export type { EventJson } from './event-base.js';
export type { JsonValue, Row } from './event-json.js';
export { MessageTag } from './message-tag.js';
export { parseRelation, type Relation, type RelationColumn, type ReplicaIdentity } from './relation.js';
export type { DeleteEvent, InsertEvent, UpdateEvent } from './row-event.js';
