/**
 * pgoutput without a connection or a worker: `pg-walstream/pgoutput`.
 *
 * @see https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */
export type { Begin, Commit, LogicalMessage, Origin, Truncate, Type } from './control-message.js';
export { parseBegin, parseCommit, parseMessage, parseOrigin, parseTruncate, parseType } from './control-message.js';
export type {
  AcknowledgeableEvent,
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
export type {
  BeginPrepareEvent,
  CommitPreparedEvent,
  PrepareEvent,
  RollbackPreparedEvent,
  StreamPrepareEvent,
} from './prepared-event.js';
export type { CommitPrepared, Prepared, RollbackPrepared } from './prepared-message.js';
export { parseBeginPrepare, parseCommitPrepared, parsePrepare, parseRollbackPrepared } from './prepared-message.js';
export { parseRelation, type Relation, type RelationColumn, type ReplicaIdentity } from './relation.js';
export type { DeleteEvent, InsertEvent, UpdateEvent } from './row-event.js';
export type { StreamAbortEvent, StreamCommitEvent, StreamStartEvent, StreamStopEvent } from './stream-event.js';
export type { StreamAbort, StreamCommit, StreamStart } from './stream-message.js';
export { parseStreamAbort, parseStreamCommit, parseStreamStart, parseStreamStop } from './stream-message.js';
