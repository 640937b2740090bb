import { wrong } from '../errors/option-checks.js';
import { Lsn } from '../lsn.js';
import { timestampFromUnixMs } from '../protocol/timestamp.js';
import type { TapeChange } from './tape-change.js';
import { type RelationDefinition, TapeRelation } from './tape-relation.js';
import {
  type Described,
  type PluginRequest,
  placeChanges,
  plainTransaction,
  pluginRequest,
  preparedTransaction,
  type RecordPosition,
  step,
  streamedTransaction,
  type TransactionFacts,
} from './taped-transaction.js';
import type { StartRequest, WalSource, WalStep } from './wal-step.js';

const DEFAULT_START_LSN = Lsn.parse('0/1000000');
const DEFAULT_START_TIME = Date.UTC(2026, 0, 1);
const DEFAULT_FIRST_XID = 700;
const FIRST_RELATION_ID = 16_384;
const DEFAULT_STREAM_BLOCKS = 2;
/** Records are aligned to 8 bytes; what they hold beside the change does not matter here. */
const RECORD_BYTES = 0x40n;
/** Between one transaction and the next, so that every run of a test gives the same times. */
const TRANSACTION_MS = 1;

/** Where positions, times and xids of a tape begin. */
export interface WalTapeOptions {
  /** Where its WAL begins; default 0/1000000. */
  readonly startLsn?: bigint;
  /** Commit times begin here, and advance by a millisecond per transaction; default 2026-01-01 UTC. */
  readonly startTime?: Date;
  /** Default 700. */
  readonly firstXid?: number;
}

/** How a transaction is made; by default in the order of the tape, and small. */
export interface TransactionOptions {
  /** Default: the next. */
  readonly xid?: number;
  /** Default: a millisecond after the transaction before it. */
  readonly commitTime?: Date;
  /** The replication origin that it was applied from. */
  readonly origin?: { readonly name: string; readonly lsn: bigint };
  /** Too large for the server's memory: a client that asked for `streaming` gets it in progress. Default: false. */
  readonly large?: boolean;
  /** In how many blocks, when it is streamed. Default 2. */
  readonly streamBlocks?: number;
}

/** Where a transaction of the tape ended. */
export interface TapedTransaction {
  /** Of the top-level transaction. */
  readonly xid: number;
  /** LSN of the commit record. */
  readonly commitLsn: bigint;
  /** What a client confirms. */
  readonly commitEndLsn: bigint;
}

/** Where a transaction of the tape was prepared. */
export interface TapedPrepare {
  /** Of the top-level transaction. */
  readonly xid: number;
  /** For {@link WalTape.commitPrepared} and {@link WalTape.rollbackPrepared}. */
  readonly gid: string;
  /** LSN of the prepare record. */
  readonly prepareLsn: bigint;
  /** What a client with `two_phase` confirms. */
  readonly prepareEndLsn: bigint;
}

interface TapeEntry {
  /** A client that has confirmed this does not get it again. */
  readonly endLsn: bigint;
  steps(request: PluginRequest, described: Described): readonly WalStep[];
}

interface Prepared {
  readonly transaction: TransactionFacts;
  readonly large: boolean;
  readonly prepare: RecordPosition;
}

/**
 * WAL made for a test: transactions, one after the other, with positions, xids and times that are the same in every
 * run. What pgoutput sends of them is made for each connection, as it asked: what it has confirmed is left out,
 * relations are described before they are needed, and large and prepared transactions come in the form that its options
 * allow (column values always as text). What is added while a client streams goes to it at once.
 *
 * @example
 * const tape = new WalTape();
 * const orders = tape.relation({ table: 'orders', columns: { id: 'int8', note: 'text' }, key: ['id'] });
 * tape.transaction([orders.insert({ id: 1, note: 'first' }), orders.update({ id: 1, note: 'changed' })]);
 * tape.transaction([orders.delete({ id: 1 })]);
 */
export class WalTape implements WalSource {
  readonly startLsn: bigint;
  #endLsn: bigint;
  #timeMs: number;
  #nextXid: number;
  #nextRelationId = FIRST_RELATION_ID;
  readonly #entries: TapeEntry[] = [];
  readonly #prepared = new Map<string, Prepared>();
  readonly #waiting = new Set<() => void>();

  /** @throws ConfigurationError */
  constructor(options: WalTapeOptions = {}) {
    const { startLsn = DEFAULT_START_LSN, startTime, firstXid = DEFAULT_FIRST_XID } = options;
    if (typeof startLsn !== 'bigint' || startLsn <= 0n) throw wrong('startLsn', 'must be a bigint above 0');
    if (!Number.isInteger(firstXid) || firstXid < 3) throw wrong('firstXid', 'must be a whole number from 3');
    this.startLsn = startLsn;
    this.#endLsn = startLsn;
    this.#timeMs = startTime?.getTime() ?? DEFAULT_START_TIME;
    this.#nextXid = firstXid;
  }

  get endLsn(): bigint {
    return this.#endLsn;
  }

  /** A table that transactions of this tape can change. */
  relation(definition: RelationDefinition): TapeRelation {
    return new TapeRelation(this.#nextRelationId++, definition);
  }

  /** A committed transaction. */
  transaction(changes: readonly TapeChange[], options: TransactionOptions = {}): TapedTransaction {
    const transaction = this.#begin(changes, options);
    const commit = this.#endRecord(options.commitTime);
    this.#add(commit.endLsn, (request, described) =>
      commitSteps(transaction, commit, isLarge(options), request, described),
    );
    return { xid: transaction.xid, commitLsn: commit.lsn, commitEndLsn: commit.endLsn };
  }

  /** A large transaction that was rolled back: only a client that streams transactions in progress hears of it. */
  rolledBack(changes: readonly TapeChange[], options: TransactionOptions = {}): void {
    const transaction = this.#begin(changes, options);
    const at = this.#endRecord(options.commitTime);
    this.#add(at.endLsn, (request, described) =>
      request.streaming === 'off'
        ? []
        : streamedTransaction(transaction, { kind: 'abort', gid: '', at }, request, described),
    );
  }

  /** PREPARE TRANSACTION: sent now to a client that asked for `two_phase`; to others whole when it is committed. */
  prepare(gid: string, changes: readonly TapeChange[], options: TransactionOptions = {}): TapedPrepare {
    if (this.#prepared.has(gid)) throw wrong('gid', 'is that of another prepared transaction');
    const transaction = this.#begin(changes, options);
    const prepare = this.#endRecord(options.commitTime);
    const large = isLarge(options);
    this.#prepared.set(gid, { transaction, large, prepare });
    this.#add(prepare.endLsn, (request, described) => {
      if (!request.twoPhase) return [];
      if (!large || request.streaming === 'off') {
        return preparedTransaction(transaction, gid, prepare, request, described);
      }
      return streamedTransaction(transaction, { kind: 'prepare', gid, at: prepare }, request, described);
    });
    const { xid } = transaction;
    return { xid, gid, prepareLsn: prepare.lsn, prepareEndLsn: prepare.endLsn };
  }

  /** COMMIT PREPARED. ConfigurationError when nothing is prepared under that name. */
  commitPrepared(gid: string): TapedTransaction {
    const { transaction, large } = this.#takePrepared(gid);
    const { xid } = transaction;
    const commit = this.#endRecord();
    const { lsn: commitLsn, endLsn: commitEndLsn, timeUs: commitTimeUs } = commit;
    const message = { kind: 'commitPrepared', commitLsn, commitEndLsn, commitTimeUs, xid, gid } as const;
    this.#add(commitEndLsn, (request, described) =>
      request.twoPhase ? [step(commitEndLsn, message)] : commitSteps(transaction, commit, large, request, described),
    );
    return { xid, commitLsn, commitEndLsn };
  }

  /** ROLLBACK PREPARED. ConfigurationError when nothing is prepared under that name. */
  rollbackPrepared(gid: string): void {
    const { transaction, prepare } = this.#takePrepared(gid);
    const rollback = this.#endRecord();
    const message = {
      kind: 'rollbackPrepared',
      prepareEndLsn: prepare.endLsn,
      rollbackEndLsn: rollback.endLsn,
      prepareTimeUs: prepare.timeUs,
      rollbackTimeUs: rollback.timeUs,
      xid: transaction.xid,
      gid,
    } as const;
    this.#add(rollback.endLsn, (request) => (request.twoPhase ? [step(rollback.endLsn, message)] : []));
  }

  /** `pg_logical_emit_message(false, prefix, content)`: stands alone. Gives its position, which is what is confirmed. */
  message(prefix: string, content: string | Uint8Array): bigint {
    const lsn = this.#advance(RECORD_BYTES);
    const message = { kind: 'message', transactional: false, lsn, prefix, content: Buffer.from(content) } as const;
    this.#add(lsn, (request) => (request.messages ? [step(lsn, message)] : []));
    return lsn;
  }

  /** WAL that concerns no publication, and a keepalive that says so. */
  idle(walBytes = RECORD_BYTES, options: { readonly replyRequested?: boolean } = {}): bigint {
    const { replyRequested = false } = options;
    const serverWalEnd = this.#advance(walBytes);
    this.#add(serverWalEnd, () => [{ kind: 'keepalive', serverWalEnd, replyRequested }]);
    return serverWalEnd;
  }

  /** A step of one's own for every connection that comes here: a pause, a notice, an error, the end. */
  step(step: WalStep): void {
    this.#add(this.#advance(RECORD_BYTES), () => [step]);
  }

  /** @internal */
  async *steps({ startLsn, options }: StartRequest, signal: AbortSignal): AsyncGenerator<WalStep> {
    const request = pluginRequest(options);
    const described: Described = new Map();
    for (let next = 0; !signal.aborted; ) {
      const entry = this.#entries[next];
      if (entry !== undefined) {
        next++;
        if (entry.endLsn > startLsn) yield* entry.steps(request, described);
        continue;
      }
      // Caught up.
      yield { kind: 'keepalive', serverWalEnd: this.#endLsn };
      if (next === this.#entries.length) await this.#more(signal);
    }
  }

  #begin(changes: readonly TapeChange[], options: TransactionOptions): TransactionFacts {
    const { xid = this.#nextXid, origin, streamBlocks = DEFAULT_STREAM_BLOCKS } = options;
    if (!Array.isArray(changes)) throw wrong('changes', 'must be an array of changes');
    if (!Number.isInteger(xid) || xid < 3 || xid > 0xffff_ffff) throw wrong('xid', 'must be a whole number from 3');
    if (!Number.isInteger(streamBlocks) || streamBlocks < 1)
      throw wrong('streamBlocks', 'must be a whole number from 1');
    const placed = placeChanges(changes, xid, () => this.#record());
    const lastXid = placed.reduce((last, { subxid }) => Math.max(last, subxid), xid);
    this.#nextXid = Math.max(this.#nextXid, lastXid + 1);
    return { xid, origin, streamBlocks, changes: placed };
  }

  #endRecord(time?: Date): RecordPosition {
    const lsn = this.#record();
    const endLsn = this.#endLsn;
    if (time !== undefined) this.#timeMs = time.getTime();
    const timeUs = timestampFromUnixMs(this.#timeMs);
    this.#timeMs += TRANSACTION_MS;
    return { lsn, endLsn, timeUs };
  }

  /** A record of a change; gives where it begins, which is the change's position. */
  #record(): bigint {
    const start = this.#endLsn;
    this.#advance(RECORD_BYTES);
    return start;
  }

  /** Room for a record of so many bytes; gives where it ends. */
  #advance(bytes: bigint): bigint {
    this.#endLsn += bytes;
    return this.#endLsn;
  }

  #takePrepared(gid: string): Prepared {
    const prepared = this.#prepared.get(gid);
    if (prepared === undefined) throw wrong('gid', 'is that of no prepared transaction');
    this.#prepared.delete(gid);
    return prepared;
  }

  #add(endLsn: bigint, steps: TapeEntry['steps']): void {
    this.#entries.push({ endLsn, steps });
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  async #more(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake);
        this.#waiting.delete(wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }
}

function commitSteps(
  transaction: TransactionFacts,
  commit: RecordPosition,
  large: boolean,
  request: PluginRequest,
  described: Described,
): readonly WalStep[] {
  if (request.originNone && transaction.origin !== undefined) return [];
  if (!large || request.streaming === 'off') return plainTransaction(transaction, commit, request, described);
  return streamedTransaction(transaction, { kind: 'commit', gid: '', at: commit }, request, described);
}

function isLarge({ large = false }: TransactionOptions): boolean {
  return large;
}
