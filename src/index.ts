/**
 * PostgreSQL WAL streaming for Node.js: logical replication, base backups, and what belongs to slots and publications.
 *
 * @module pg-walstream
 */
export type { BackupCompression, CompressionMethod } from './backup/backup-compression.js';
export type { BackupSlotOptions, BaseBackupOptions, WalMethod } from './backup/backup-options.js';
export type { BackupProblem } from './backup/backup-problems.js';
export type { BackupProgress, TablespaceProgress } from './backup/backup-progress.js';
export type { BackupResult } from './backup/backup-result.js';
export { BaseBackup } from './backup/base-backup.js';
export type { ManifestChecksumAlgorithm } from './backup/manifest-checksum.js';
export { type VerifyBackupResult, verifyBackup } from './backup/verify-backup.js';
export type { BackupFormat, VerifyBackupOptions, VerifyProgress } from './backup/verify-options.js';
export { WalReceiver, type WalReceiverResult } from './backup/wal-receiver.js';
export type { PhysicalSlotOptions, WalReceiverOptions } from './backup/wal-receiver-options.js';
export {
  advanceSlot,
  type BlockingTransaction,
  type CheckName,
  type CreatedSlot,
  type CreatePublication,
  createPublication,
  createSlot,
  type DropSlotOptions,
  dropPublication,
  dropSlot,
  type Finding,
  findPublication,
  findSlot,
  listBlockingTransactions,
  listPublications,
  listSlots,
  type PreflightRequest,
  type Publication,
  type PublishedAction,
  type PublishedTable,
  preflight,
  type SlotInfo,
  type SqlSession,
  type TableSelection,
  type TableToPublish,
  type TableTypesModule,
  type TableTypesRequest,
  type WantedSlot,
  writeTableTypes,
} from './catalog/index.js';
export type { ConnectOptions } from './connection/connect.js';
export {
  type ConnectionConfig,
  type ConnectionInput,
  type ConnectionOptions,
  resolveConnectionConfig,
} from './connection/connection-config.js';
export type {
  ChannelBinding,
  PasswordOption,
  SslMode,
  SslNegotiation,
  TargetSessionAttrs,
  TlsConfig,
  TlsVersion,
} from './connection/connection-options.js';
export { PgConnection as ReplicationConnection, type QueryOptions } from './connection/pg-connection.js';
export type { QueryResult } from './connection/query-result.js';
export type { AuthMethod } from './connection/require-auth.js';
export type { Secret } from './connection/secret.js';
export type { ServerAddress } from './connection/server-address.js';
export type { ServerNotice } from './connection/server-error.js';
export type { ConnectionMode } from './connection/session-start.js';
export type { KeepAlive } from './connection/socket-transport.js';
export type { SystemIdentity } from './connection/system-identity.js';
export type { ReadSink, Transport } from './connection/transport.js';
export {
  AuthenticationError,
  BackupError,
  ConfigurationError,
  ConnectionError,
  type ConnectionPhase,
  DecodeError,
  ManifestMismatchError,
  ProtocolError,
  ServerError,
  SlotError,
  type SlotErrorReason,
  SpillError,
  TimeoutError,
  ValidationError,
  WalStreamError,
  type WalStreamErrorCode,
  WorkerError,
} from './errors.js';
export { Lsn } from './lsn.js';
export type {
  NextEventOptions,
  RetryOptions,
  SlotOptions,
  SpillOptions,
  StopOptions,
  StreamLogger,
  TransformOptions,
  ValidateOptions,
  WalStreamOptions,
} from './options.js';
export type { ChangeEvent } from './pgoutput/change-cursor.js';
export type { Origin } from './pgoutput/control-message.js';
export {
  type AcknowledgeableEvent,
  BeginEvent,
  type ChangeOfTable,
  CommitEvent,
  MessageEvent,
  OriginEvent,
  RelationEvent,
  type RowEvent,
  type TruncatedRelation,
  TruncateEvent,
  TypeEvent,
  type WalEvent,
} from './pgoutput/event.js';
export type { EventJson } from './pgoutput/event-base.js';
export { type ChangeOf, isChangeOf, isRowEvent, type RowEventOf, type TableNameOf } from './pgoutput/event-guards.js';
export type { JsonValue, Row } from './pgoutput/event-json.js';
export {
  BeginPrepareEvent,
  CommitPreparedEvent,
  PrepareEvent,
  RollbackPreparedEvent,
  StreamPrepareEvent,
} from './pgoutput/prepared-event.js';
export type { Relation, RelationColumn, ReplicaIdentity } from './pgoutput/relation.js';
export { DeleteEvent, InsertEvent, UpdateEvent } from './pgoutput/row-event.js';
export { StreamAbortEvent, StreamCommitEvent, StreamStartEvent, StreamStopEvent } from './pgoutput/stream-event.js';
export type {
  AnyTable,
  AnyTables,
  TableShape,
  TableShapes,
  TableType,
  TableTypes,
  Unchanged,
} from './pgoutput/table-types.js';
export type { EventCursor, WalBatch } from './pgoutput/wal-batch.js';
export type { PgoutputOptions, PgoutputProtoVersion, PgoutputStreaming } from './protocol/pgoutput-options.js';
export type { CreateLogicalSlot, CreatePhysicalSlot, CreateSlot, SlotSnapshot } from './protocol/slot-commands.js';
export type { TimelineSwitch } from './protocol/timeline-history.js';
export { AppliedPosition, type AppliedPositionOptions, type SqlClient } from './stream/applied-position.js';
export type { RawMessage } from './stream/raw-batch.js';
export type {
  Acknowledged,
  BatchDecoded,
  Connected,
  ConnectionLost,
  ConnectionResumed,
  Ended,
  RowRefused,
  SlotCreated,
  Spilled,
  StreamMessages,
  Warned,
  WorkerFailed,
} from './stream/stream-channels.js';
export type { WalStreamStats } from './stream/stream-stats.js';
export { PreparedTransaction, Transaction, type TransactionChanges } from './stream/transaction.js';
export type { TransactionItem } from './stream/transaction-assembler.js';
export { WalStream } from './stream/wal-stream.js';
export type { StandardIssue, StandardResult, StandardSchema } from './threads/standard-schema.js';
export type { BatchTransform, ChangeTransform } from './threads/transform.js';
export type { PgInterval } from './types/pg-interval.js';
export type { RangeValue } from './types/range-value.js';
export type { TypeOverride, TypeParserModule, TypesOptions } from './types/type-options.js';
export type { TypesMode } from './types/type-rules.js';
export { UNCHANGED } from './types/unchanged.js';
