export {
  type BlockingTransaction,
  describeBlockingTransaction,
  listBlockingTransactions,
} from './blocking-transactions.js';
export type { CheckName, Finding } from './finding.js';
export { firstError, judge, type PreflightRequest, preflight } from './preflight.js';
export { type PreflightFacts, readFacts } from './preflight-facts.js';
export {
  type CreatePublication,
  createPublicationStatement,
  dropPublicationStatement,
  type PublishedAction,
  type TableToPublish,
} from './publication-statements.js';
export {
  createPublication,
  dropPublication,
  findPublication,
  listPublications,
  type Publication,
  type PublishedTable,
  publicationErrorFrom,
} from './publications.js';
export {
  newSlotGapError,
  slotDroppedError,
  slotErrorFrom,
  slotGapError,
  slotInUseError,
  slotInvalidatedError,
  slotMissingError,
} from './slot-errors.js';
export {
  advanceSlot,
  type CreatedSlot,
  createSlot,
  DEFAULT_CREATE_SLOT_TIMEOUT_MS,
  type DropSlotOptions,
  dropSlot,
  type EnsuredSlot,
  ensureSlot,
  type WantedSlot,
} from './slot-lifecycle.js';
export { findSlot, isInvalidated, listSlots, type SlotInfo } from './slots.js';
export type { QueryOptions, QueryResult, SqlSession } from './sql-session.js';
export type { TableSelection } from './table-catalog.js';
export { type TableTypesModule, type TableTypesRequest, writeTableTypes } from './table-types.js';
export { queryPublishedTypes } from './type-catalog.js';
