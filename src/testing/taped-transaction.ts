import { encodeMessage } from '../pgoutput/encoder.js';
import type { PgoutputMessage } from '../pgoutput/pgoutput-message.js';
import type { SingleChange, TapeChange } from './tape-change.js';
import type { TapeRelation } from './tape-relation.js';
import type { WalDataStep } from './wal-step.js';

/** A transaction as the WAL has it: who, where and when. How it is sent depends on what the client asked for. */
export interface TransactionFacts {
  readonly xid: number;
  /** The replication origin that it was applied from. */
  readonly origin: { readonly name: string; readonly lsn: bigint } | undefined;
  /** Number of blocks in which it is sent to a client that streams transactions in progress. */
  readonly streamBlocks: number;
  readonly changes: readonly PlacedChange[];
}

/** A change, its position, and its subtransaction. */
export interface PlacedChange {
  readonly change: SingleChange;
  readonly lsn: bigint;
  readonly subxid: number;
  readonly rolledBack: boolean;
}

/** Of a commit, or of a PREPARE TRANSACTION. */
export interface RecordPosition {
  readonly lsn: bigint;
  readonly endLsn: bigint;
  /** Microseconds since 2000-01-01 UTC. */
  readonly timeUs: bigint;
}

/** What a connection asked pgoutput for, as far as a tape heeds it. */
export interface PluginRequest {
  readonly messages: boolean;
  readonly streaming: 'off' | 'on' | 'parallel';
  readonly twoPhase: boolean;
  readonly originNone: boolean;
}

export function pluginRequest(options: Readonly<Record<string, string>>): PluginRequest {
  const on = (name: string) => /^(?:on|true|1)$/i.test(options[name] ?? '');
  const parallel = options.streaming === 'parallel';
  return {
    messages: on('messages'),
    streaming: parallel ? 'parallel' : on('streaming') ? 'on' : 'off',
    twoPhase: on('two_phase'),
    originNone: options.origin === 'none',
  };
}

/** Spreads changes over WAL positions, and gives each subtransaction its xid. */
export function placeChanges(changes: readonly TapeChange[], xid: number, nextLsn: () => bigint): PlacedChange[] {
  let savepoints = 0;
  return changes.flatMap((item) => {
    if (item.kind === 'change') return [{ change: item, lsn: nextLsn(), subxid: xid, rolledBack: false }];
    const subxid = xid + ++savepoints;
    const { rolledBack } = item;
    return item.changes.map((change) => ({ change, lsn: nextLsn(), subxid, rolledBack }));
  });
}

/** Relations that a connection was told of, by id: the definition that it has. */
export type Described = Map<number, TapeRelation>;

/** Begin, Origin, the changes that survive, Commit. */
export function plainTransaction(
  transaction: TransactionFacts,
  commit: RecordPosition,
  request: PluginRequest,
  described: Described,
): WalDataStep[] {
  const { xid, origin } = transaction;
  const begin = { kind: 'begin', commitLsn: commit.lsn, commitTimeUs: commit.timeUs, xid } as const;
  const { lsn: commitLsn, endLsn: commitEndLsn, timeUs: commitTimeUs } = commit;
  return [
    // A Begin that an Origin follows has no position.
    step(origin === undefined ? firstLsn(transaction, commit) : 0n, begin),
    ...originStep(transaction, commit),
    ...survivingChanges(transaction, request, described),
    step(commitEndLsn, { kind: 'commit', commitLsn, commitEndLsn, commitTimeUs }),
  ];
}

/** Begin Prepare, Origin, the changes that survive, Prepare. */
export function preparedTransaction(
  transaction: TransactionFacts,
  gid: string,
  prepare: RecordPosition,
  request: PluginRequest,
  described: Described,
): WalDataStep[] {
  const { xid, origin } = transaction;
  const facts = { prepareLsn: prepare.lsn, prepareEndLsn: prepare.endLsn, prepareTimeUs: prepare.timeUs, xid, gid };
  return [
    step(origin === undefined ? firstLsn(transaction, prepare) : 0n, { kind: 'beginPrepare', ...facts }),
    ...originStep(transaction, prepare),
    ...survivingChanges(transaction, request, described),
    step(prepare.endLsn, { kind: 'prepare', ...facts }),
  ];
}

/** Blocks of the transaction in progress, a Stream Abort for each subtransaction that was rolled back, and its end. */
export function streamedTransaction(
  transaction: TransactionFacts,
  end: { readonly kind: 'commit' | 'abort' | 'prepare'; readonly gid: string; readonly at: RecordPosition },
  request: PluginRequest,
  described: Described,
): WalDataStep[] {
  const { xid, streamBlocks } = transaction;
  const { at } = end;
  // What a transaction in progress describes, others do not know before it has committed.
  const own: Described = new Map();
  const steps: WalDataStep[] = [];
  const changes = transaction.changes.filter(({ change }) => wanted(change, request));
  const perBlock = Math.max(1, Math.ceil(changes.length / streamBlocks));
  const abort = (subxid: number): WalDataStep =>
    step(at.lsn, {
      kind: 'streamAbort',
      xid,
      subxid,
      ...(request.streaming === 'parallel' && { abortLsn: at.lsn, abortTimeUs: at.timeUs }),
    });
  for (let first = 0; first < Math.max(1, changes.length); first += perBlock) {
    const block = changes.slice(first, first + perBlock);
    const rest = changes.slice(first + perBlock);
    steps.push(step(block[0]?.lsn ?? at.lsn, { kind: 'streamStart', xid, isFirst: first === 0 }));
    if (first === 0) steps.push(...originStep(transaction, at));
    for (const placed of block) {
      steps.push(...describe(placed.change.relations, own, placed.subxid), changeStep(placed, xid));
    }
    steps.push(step(block.at(-1)?.lsn ?? at.lsn, { kind: 'streamStop' }));
    const over = new Set(block.filter((placed) => placed.rolledBack).map(({ subxid }) => subxid));
    for (const subxid of over) {
      if (rest.some((placed) => placed.subxid === subxid)) continue;
      steps.push(abort(subxid));
      // The server forgets what it has described, whichever subtransaction needed it.
      own.clear();
    }
  }
  const { lsn, endLsn, timeUs } = at;
  if (end.kind === 'abort') return [...steps, abort(xid)];
  if (end.kind === 'prepare') {
    const facts = { prepareLsn: lsn, prepareEndLsn: endLsn, prepareTimeUs: timeUs, xid, gid: end.gid };
    return [...steps, step(endLsn, { kind: 'streamPrepare', ...facts })];
  }
  for (const [id, relation] of own) described.set(id, relation);
  const commit = { kind: 'streamCommit', xid, commitLsn: lsn, commitEndLsn: endLsn, commitTimeUs: timeUs } as const;
  return [...steps, step(endLsn, commit)];
}

function survivingChanges(transaction: TransactionFacts, request: PluginRequest, described: Described): WalDataStep[] {
  return transaction.changes
    .filter(({ change, rolledBack }) => !rolledBack && wanted(change, request))
    .flatMap((placed) => [...describe(placed.change.relations, described), changeStep(placed)]);
}

function wanted(change: SingleChange, request: PluginRequest): boolean {
  return request.messages || change.message.kind !== 'message';
}

function describe(relations: readonly TapeRelation[], described: Described, xid?: number): WalDataStep[] {
  const unknown = relations.filter((relation) => described.get(relation.id) !== relation);
  return unknown.map((relation) => {
    described.set(relation.id, relation);
    const { id, schema, table, replicaIdentity, columns } = relation;
    const message = { kind: 'relation', id, schema, table, replicaIdentity, columns } as const;
    return step(0n, xid === undefined ? message : { ...message, xid });
  });
}

/** In a streamed block every change has the xid of its subtransaction, a message that of its transaction. */
function changeStep({ change, lsn, subxid }: PlacedChange, streamedXid?: number): WalDataStep {
  const message = change.message.kind === 'message' ? { ...change.message, lsn } : change.message;
  if (streamedXid === undefined) return step(lsn, message);
  return step(lsn, { ...message, xid: message.kind === 'message' ? streamedXid : subxid });
}

function originStep({ origin }: TransactionFacts, at: RecordPosition): WalDataStep[] {
  if (origin === undefined) return [];
  return [step(at.lsn, { kind: 'origin', name: origin.name, originLsn: origin.lsn })];
}

function firstLsn({ changes }: TransactionFacts, end: RecordPosition): bigint {
  return changes[0]?.lsn ?? end.lsn;
}

export function step(walStart: bigint, message: PgoutputMessage): WalDataStep {
  return { kind: 'wal', walStart, data: encodeMessage(message) };
}
