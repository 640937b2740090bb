import { Oid } from '../../src/types/oids.js';
import * as wire from '../support/pgoutput-bytes.js';
import fc from '../support/properties.js';
import * as uncommitted from '../support/uncommitted-bytes.js';

/*
 * Random streams of protocols 2 to 4, by a model of what the server does: transactions that take turns in blocks, each
 * of which may alter the tables for itself, beside committed and prepared ones. Every version of a table has a column
 * that names it, so that a row decoded with another version is not the row that was sent.
 */

export interface ExpectedUncommitted {
  readonly kind: string;
  readonly xid?: number | undefined;
  readonly subxid?: number | undefined;
  readonly ordinal?: number | undefined;
  readonly commitLsn?: bigint | undefined;
  readonly gid?: string | undefined;
  readonly prepareLsn?: bigint | undefined;
  readonly row?: unknown;
  readonly unit?: number | undefined;
}

export interface UncommittedStream {
  readonly frames: readonly Buffer[];
  readonly events: readonly ExpectedUncommitted[];
  readonly unitEnds: readonly bigint[];
}

const TABLES = 2;
const TRANSACTIONS = 4;
const CHANGES = ['insert', 'insert', 'update', 'delete', 'truncate', 'alter', 'message', 'type'] as const;

interface Change {
  readonly kind: (typeof CHANGES)[number];
  readonly table: number;
  /** 0: of the top-level transaction itself. */
  readonly subtransaction: number;
}

const changes: fc.Arbitrary<readonly Change[]> = fc.array(
  fc.record({ kind: fc.constantFrom(...CHANGES), table: fc.nat(TABLES - 1), subtransaction: fc.nat(2) }),
  { maxLength: 6 },
);

const step = fc.record({
  kind: fc.oneof(
    { weight: 8, arbitrary: fc.constant('block' as const) },
    {
      weight: 8,
      arbitrary: fc.constantFrom(
        'transaction',
        'transaction',
        'prepared',
        'commitPrepared',
        'rollbackPrepared',
        'streamCommit',
        'streamCommit',
        'streamAbort',
        'streamAbortSub',
        'streamPrepare',
        'strayAbort',
        'alone',
      ),
    },
  ),
  transaction: fc.nat(TRANSACTIONS - 1),
  subtransaction: fc.integer({ min: 1, max: 2 }),
  changes,
});

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

export function uncommittedStream(maxSteps: number): fc.Arbitrary<UncommittedStream> {
  return fc.array(step, { maxLength: maxSteps, size: 'max' }).map((steps) => {
    const builder = new Builder();
    for (const one of steps) builder.add(one);
    return builder;
  });
}

/** How a transaction sees the tables that it has altered; those of the committed ones: how everybody does. */
type Scope = Map<number, number>;

interface Streamed {
  readonly xid: number;
  readonly scope: Scope;
}

/**
 * What pgoutput remembers of a table: the version that it has seen last, and to whom it has described that one. Another
 * version, which an invalidation brings, makes it forget.
 */
interface CacheEntry {
  readonly version: number;
  isSent: boolean;
  readonly streamedTo: Set<number>;
}

/** What the events of a transaction say of it. */
interface Context {
  readonly xid: number;
  readonly commitLsn?: bigint;
  readonly gid?: string;
  readonly prepareLsn?: bigint;
}

class Builder implements UncommittedStream {
  readonly frames: Buffer[] = [];
  readonly events: ExpectedUncommitted[] = [];
  readonly unitEnds: bigint[] = [];
  readonly #shared: Scope = new Map();
  readonly #cache = new Map<number, CacheEntry>();
  readonly #streamed = new Map<number, Streamed>();
  readonly #prepared: { readonly xid: number; readonly gid: string; readonly prepareEndLsn: bigint }[] = [];
  #lsn = 0x1_0000_0000n;
  #xid = 700;
  #version = 0;
  #id = 0;
  #ordinal: number | undefined;

  add({ kind, transaction, subtransaction, changes }: Step): void {
    const streamed = this.#streamed.get(transaction);
    switch (kind) {
      case 'block':
        this.#block(transaction, changes);
        break;
      case 'transaction':
        this.#transaction(changes);
        break;
      case 'prepared':
        this.#prepare(changes);
        break;
      case 'commitPrepared':
      case 'rollbackPrepared':
        this.#finishPrepared(kind);
        break;
      case 'streamCommit':
        if (streamed !== undefined) this.#commitStreamed(transaction, streamed);
        break;
      case 'streamPrepare':
        if (streamed !== undefined) this.#prepareStreamed(transaction, streamed);
        break;
      case 'streamAbort':
      case 'streamAbortSub':
        if (streamed === undefined) break;
        this.#abort(streamed, kind === 'streamAbort' ? 0 : subtransaction);
        if (kind === 'streamAbort') this.#streamed.delete(transaction);
        break;
      case 'strayAbort': {
        const xid = ++this.#xid;
        this.frames.push(
          wire.xLogData(this.#next(), uncommitted.streamAbort({ xid, subxid: xid + (transaction % 2) })),
        );
        break;
      }
      case 'alone': {
        const lsn = this.#next();
        this.#unit(lsn, wire.message({ transactional: false, lsn, prefix: 'p', content: 'c' }), { kind: 'message' });
        break;
      }
    }
  }

  #next(): bigint {
    this.#lsn += 8n;
    return this.#lsn;
  }

  #push(lsn: bigint, payload: Buffer, event: ExpectedUncommitted): void {
    this.frames.push(wire.xLogData(lsn, payload));
    this.events.push(event);
  }

  #unit(endLsn: bigint, payload: Buffer, event: ExpectedUncommitted): void {
    this.#push(endLsn, payload, { ...event, unit: this.unitEnds.length });
    this.unitEnds.push(endLsn);
  }

  #block(transaction: number, changes: readonly Change[]): void {
    const known = this.#streamed.get(transaction);
    // Room for the subtransactions.
    if (known === undefined) this.#xid += 10;
    const streamed = known ?? { xid: this.#xid, scope: new Map() };
    this.#streamed.set(transaction, streamed);
    const { xid, scope } = streamed;
    const isFirst = known === undefined;
    this.#push(this.#next(), uncommitted.streamStart({ xid, isFirst }), { kind: 'streamStart', xid });
    this.#ordinal = undefined;
    for (const change of changes) this.#change(change, { xid }, scope, xid + change.subtransaction);
    this.#push(this.#next(), uncommitted.streamStop(), { kind: 'streamStop', xid });
  }

  #transaction(changes: readonly Change[]): void {
    const xid = ++this.#xid;
    const commitLsn = this.#lsn + 0x1000n;
    this.#push(this.#next(), wire.begin({ commitLsn, xid }), { kind: 'begin', xid, commitLsn });
    this.#ordinal = 0;
    for (const change of changes) this.#change(change, { xid, commitLsn }, this.#shared, undefined);
    this.#lsn = commitLsn + 0x30n;
    this.#unit(this.#lsn, wire.commit({ commitLsn, commitEndLsn: this.#lsn }), { kind: 'commit', xid, commitLsn });
  }

  #prepare(changes: readonly Change[]): void {
    const xid = ++this.#xid;
    const prepareLsn = this.#lsn + 0x1000n;
    const prepared = { xid, gid: `gid ${xid}`, prepareLsn, prepareEndLsn: prepareLsn + 0x30n };
    const { gid, prepareEndLsn } = prepared;
    const context = { xid, gid, prepareLsn };
    this.#push(this.#next(), uncommitted.beginPrepare(prepared), { kind: 'beginPrepare', ...context });
    this.#ordinal = 0;
    for (const change of changes) this.#change(change, context, this.#shared, undefined);
    this.#lsn = prepareEndLsn;
    this.#unit(prepareEndLsn, uncommitted.prepare(prepared), { kind: 'prepare', ...context });
    this.#prepared.push({ xid, gid, prepareEndLsn });
  }

  #finishPrepared(kind: 'commitPrepared' | 'rollbackPrepared'): void {
    const prepared = this.#prepared.shift();
    if (prepared === undefined) return;
    const { xid, gid } = prepared;
    const commitLsn = this.#next();
    const end = this.#next();
    if (kind === 'commitPrepared') {
      const payload = uncommitted.commitPrepared({ xid, gid, commitLsn, commitEndLsn: end });
      this.#unit(end, payload, { kind, xid, gid, commitLsn });
    } else {
      this.#unit(end, uncommitted.rollbackPrepared({ ...prepared, rollbackEndLsn: end }), { kind, xid, gid });
    }
  }

  #commitStreamed(transaction: number, { xid, scope }: Streamed): void {
    this.#streamed.delete(transaction);
    for (const [table, version] of scope) this.#shared.set(table, version);
    this.#cleanUp(xid, true);
    const commitLsn = this.#next();
    const commitEndLsn = this.#next();
    const payload = uncommitted.streamCommit({ xid, commitLsn, commitEndLsn });
    this.#unit(commitEndLsn, payload, { kind: 'streamCommit', xid, commitLsn });
  }

  #prepareStreamed(transaction: number, { xid }: Streamed): void {
    this.#streamed.delete(transaction);
    const prepareLsn = this.#next();
    const prepared = { xid, gid: `gid ${xid}`, prepareLsn, prepareEndLsn: this.#next() };
    const { gid, prepareEndLsn } = prepared;
    this.#unit(prepareEndLsn, uncommitted.streamPrepare(prepared), { kind: 'streamPrepare', xid, gid, prepareLsn });
    this.#prepared.push({ xid, gid, prepareEndLsn });
  }

  #abort({ xid, scope }: Streamed, subtransaction: number): void {
    // It may have altered the tables, and the server describes them again anyway.
    scope.clear();
    this.#cleanUp(xid, false);
    const subxid = xid + subtransaction;
    const lsn = this.#next();
    const abortLsn = xid % 20 === 0 ? lsn : undefined;
    const payload = uncommitted.streamAbort({ xid, subxid, ...(abortLsn !== undefined && { abortLsn }) });
    this.#push(lsn, payload, { kind: 'streamAbort', xid, subxid });
  }

  /** cleanup_rel_sync_cache */
  #cleanUp(xid: number, isCommit: boolean): void {
    for (const entry of this.#cache.values()) {
      if (entry.streamedTo.delete(xid) && isCommit) entry.isSent = true;
    }
  }

  #versionOf(table: number, scope: Scope): number {
    return scope.get(table) ?? this.#shared.get(table) ?? 0;
  }

  #describe(table: number, scope: Scope, subxid: number | undefined, xid: number): void {
    const version = this.#versionOf(table, scope);
    let entry = this.#cache.get(table);
    if (entry === undefined || entry.version !== version) {
      entry = { version, isSent: false, streamedTo: new Set() };
      this.#cache.set(table, entry);
    }
    if (subxid === undefined ? entry.isSent : entry.streamedTo.has(xid)) return;
    if (subxid === undefined) entry.isSent = true;
    else entry.streamedTo.add(xid);
    const payload = wire.relation({ id: table, columns: columnsOf(version) });
    this.#push(0n, streamedOrNot(payload, subxid), {
      kind: 'relation',
      ...(subxid !== undefined && { xid, subxid }),
      row: columnsOf(version).map(({ name }) => name),
    });
  }

  #change({ kind, table }: Change, context: Context, scope: Scope, subxid: number | undefined): void {
    const { xid } = context;
    if (kind === 'alter') {
      scope.set(table, ++this.#version);
      return;
    }
    if (kind === 'type') {
      const payload = wire.type({ id: 90_000, schema: 's', name: 'n' });
      this.#push(0n, streamedOrNot(payload, subxid), { kind, ...(subxid !== undefined && { xid, subxid }) });
      return;
    }
    const lsn = this.#next();
    if (kind === 'message') {
      const named = subxid === undefined ? undefined : xid;
      const payload = wire.message({ transactional: true, lsn, prefix: 'p', content: 'c' });
      this.#push(lsn, streamedOrNot(payload, named), {
        kind,
        ...context,
        ...(named !== undefined && { subxid: named }),
      });
      return;
    }
    const ordinal = this.#ordinal;
    if (this.#ordinal !== undefined) this.#ordinal++;
    const said = { kind, ...context, ...(subxid === undefined ? {} : { subxid }), ordinal };
    if (kind === 'truncate') {
      for (let one = 0; one < TABLES; one++) this.#describe(one, scope, subxid, xid);
      const payload = wire.truncate(Array.from({ length: TABLES }, (_, one) => one));
      const row = Array.from({ length: TABLES }, (_, one) => `table_${one}`);
      this.#push(lsn, streamedOrNot(payload, subxid), { ...said, row });
      return;
    }
    this.#describe(table, scope, subxid, xid);
    const version = this.#versionOf(table, scope);
    const id = String(++this.#id);
    const cells = [
      id,
      ...columnsOf(version)
        .slice(1)
        .map(() => `of ${version}`),
    ];
    const row = Object.fromEntries(columnsOf(version).map(({ name }, at) => [name, at === 0 ? Number(id) : cells[at]]));
    const payload =
      kind === 'insert'
        ? wire.insert(table, cells)
        : kind === 'update'
          ? wire.update(table, cells, { old: cells })
          : wire.deleteRow(table, { old: cells });
    this.#push(lsn, streamedOrNot(payload, subxid), { ...said, row });
  }
}

function streamedOrNot(payload: Buffer, subxid: number | undefined): Buffer {
  return subxid === undefined ? payload : uncommitted.inBlock(subxid, payload);
}

/** The first column is an int4; one of the others bears the version's number, and how many there are differs too. */
function columnsOf(version: number): wire.ColumnBytes[] {
  const others = Array.from({ length: 1 + (version % 3) }, (_, at) => ({
    name: `v${version}_${at}`,
    typeOid: Oid.text,
  }));
  return [{ name: 'id', typeOid: Oid.int4, isIdentity: true }, ...others];
}
