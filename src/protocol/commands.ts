/**
 * Commands of a replication connection as text, in the syntax of each server version. They are sent as simple queries.
 *
 * @see https://www.postgresql.org/docs/current/protocol-replication.html
 */

/** One row: systemid, timeline, xlogpos, dbname. */
export const IDENTIFY_SYSTEM = 'IDENTIFY_SYSTEM';

export {
  checkPgoutputOptions,
  type PgoutputOptions,
  type PgoutputProtoVersion,
  type PgoutputRequest,
  type PgoutputStreaming,
  protoVersionFor,
  resolvePgoutputOptions,
} from './pgoutput-options.js';
export {
  type AlterSlot,
  alterReplicationSlot,
  type CreateLogicalSlot,
  type CreatePhysicalSlot,
  type CreateSlot,
  createReplicationSlot,
  dropReplicationSlot,
  readReplicationSlot,
  type SlotSnapshot,
} from './slot-commands.js';
export {
  type StartLogicalReplication,
  type StartPhysicalReplication,
  startLogicalReplication,
  startPhysicalReplication,
  timelineHistory,
} from './start-replication.js';
