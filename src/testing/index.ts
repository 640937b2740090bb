/**
 * Test consumers of logical replication without a server: `pg-walstream/testing`.
 *
 * - {@link FakeWalSender}: a server on a socket that streams what it is given, and goes wrong when told to
 * - {@link WalTape}: WAL made for a test: tables, transactions, messages, prepared transactions
 * - {@link FakeBackup}: a base backup made for a test, or of recorded archives
 * - {@link Fault}: what goes wrong: cut, stall, freeze, corrupt, refuse, wrong lengths, small pieces
 *
 * ```ts
 * import assert from 'node:assert/strict';
 * import { test } from 'node:test';
 * import { WalStream } from 'pg-walstream';
 * import { FakeWalSender, WalTape } from 'pg-walstream/testing';
 *
 * test('orders are counted', async () => {
 *   const tape = new WalTape();
 *   const orders = tape.relation({ table: 'orders', columns: { id: 'int8', note: 'text' }, key: ['id'] });
 *   const first = tape.transaction([orders.insert({ id: 1, note: 'first' }), orders.insert({ id: 2 })]);
 *
 *   await using sender = await FakeWalSender.listen({ wal: tape, slots: ['shop'], publications: ['shop'] });
 *   await using stream = new WalStream({
 *     connection: sender.connectionString(), slot: 'shop', publications: 'shop', stopLsn: tape.endLsn,
 *   });
 *   let count = 0;
 *   for await (const event of stream) if (event.kind === 'insert') count++;
 *
 *   assert.equal(count, 2);
 *   assert.equal(sender.slot('shop')?.confirmedFlushLsn, first.commitEndLsn); // It was acknowledged.
 * });
 * ```
 *
 * A slot remembers what was confirmed: the next connection gets what comes after. Faults are ordered when the sender is
 * made (`faults`) or later (`sender.order`), and happen to the next connection that comes to their place:
 *
 * ```ts
 * sender.order({ kind: 'cut', at: { message: 3 } }); // in the middle of the fourth CopyData message
 * sender.order({ kind: 'stall', at: { byte: 0 } }); // it begins to stream, and says nothing
 * sender.order({ kind: 'refuse', times: 2, sqlState: '57P03' }); // the server is starting up
 * sender.order({ kind: 'slice', bytes: 1 }); // every byte comes by itself
 * ```
 *
 * `FakeWalSender.fromRecording(file)` replays what `pg-walstream stream --record file` has seen of a real server. It ends
 * with its last message: an idle stretch of WAL after that is not in it. Types that are not built in are known as they were
 * when the recording began. A recording holds the rows of its tables: treat
 * it as their data.
 *
 * `backup: new FakeBackup({ base: { files } })` answers BASE_BACKUP, in the form of the sender's `serverVersion`; faults
 * count from its COPY on.
 *
 * It is a fake: nothing is decoded from WAL, publications have no tables, SQL is answered by recognition (give
 * `answerQuery` for more), replication is logical only (so a backup's WAL comes with it, `walMethod: 'fetch'`, or not at
 * all), and values are text even to clients that ask for binary.
 *
 * @module pg-walstream/testing
 */
export { ConfigurationError } from '../errors.js';
export type { Relation, RelationColumn, ReplicaIdentity } from '../pgoutput/relation.js';
export { TupleValue } from '../pgoutput/tuple-value.js';
export { UNCHANGED } from '../types/unchanged.js';
export type { FakeResult } from './backend-bytes.js';
export type { BackupRequest, BackupScript, BackupSource, BackupStep, BackupSteps } from './backup-step.js';
export {
  type ArchiveContent,
  type BackupFiles,
  type BackupParts,
  FakeBackup,
  type FakeBackupOptions,
  type FakeTablespace,
} from './fake-backup.js';
export { FakeSlot, type FakeSlotOptions } from './fake-slot.js';
export { FakeWalSender, type ReplayOptions } from './fake-wal-sender.js';
export type { CorruptFault, Fault, FaultPosition, PlacedFault, RefuseFault, SliceFault } from './fault.js';
export type { ReplayPace } from './recorded-wal.js';
export type { ScriptStep } from './script-step.js';
export type { AnswerQuery, FakeTls, FakeWalSenderOptions, WalScript } from './sender-options.js';
export type { Feedback } from './sent-stream.js';
export { emitMessage, type Savepoint, type SingleChange, savepoint, type TapeChange, truncate } from './tape-change.js';
export { type RelationDefinition, TapeRelation, type TapeRow, type TapeType, type TapeValue } from './tape-relation.js';
export type { TarEntry } from './tar-archive.js';
export type {
  BytesStep,
  KeepaliveStep,
  StartRequest,
  WalDataStep,
  WalSource,
  WalStep,
  WalSteps,
} from './wal-step.js';
export {
  type TapedPrepare,
  type TapedTransaction,
  type TransactionOptions,
  WalTape,
  type WalTapeOptions,
} from './wal-tape.js';
