/**
 * pgoutput without a connection or a worker: `pg-walstream/pgoutput`. For those who build their own consumers on raw
 * messages, and for fixtures. Nothing here imports sockets, threads or a database driver.
 *
 * - {@link PgoutputDecoder}: bytes of one message → {@link PgoutputMessage}, with the relations that were described
 * - {@link encodeMessage}: {@link PgoutputMessage} → the same bytes again
 * - {@link rowFromTuple}, {@link keyFromTuple}: a message's columns → values by column name, as row events have them
 *
 * @see https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 * @module pg-walstream/pgoutput
 */
export { ConfigurationError, DecodeError } from '../errors.js';
export type { ColumnFormat } from '../types/column-writer.js';
export type { TypesMode } from '../types/type-rules.js';
export { UNCHANGED } from '../types/unchanged.js';
export { PgoutputDecoder } from './decoder.js';
export { encodeMessage } from './encoder.js';
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
export type {
  BeginMessage,
  BeginPrepareMessage,
  CommitMessage,
  CommitPreparedMessage,
  DeleteMessage,
  InsertMessage,
  LogicalDecodingMessage,
  OriginMessage,
  PgoutputMessage,
  PrepareMessage,
  RelationMessage,
  RollbackPreparedMessage,
  StreamAbortMessage,
  StreamCommitMessage,
  StreamPrepareMessage,
  StreamStartMessage,
  StreamStopMessage,
  TruncateMessage,
  TypeMessage,
  UpdateMessage,
} from './pgoutput-message.js';
export type {
  BeginPrepareEvent,
  CommitPreparedEvent,
  PrepareEvent,
  RollbackPreparedEvent,
  StreamPrepareEvent,
} from './prepared-event.js';
export type { Relation, RelationColumn, ReplicaIdentity } from './relation.js';
export type { DeleteEvent, InsertEvent, UpdateEvent } from './row-event.js';
export type { StreamAbortEvent, StreamCommitEvent, StreamStartEvent, StreamStopEvent } from './stream-event.js';
export { keyFromTuple, rowFromTuple } from './tuple-row.js';
export { type Tuple, TupleValue } from './tuple-value.js';
