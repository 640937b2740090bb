import type { TestContext } from 'node:test';
import type { WalEvent } from '../../src/pgoutput/event.js';
import { WalBatch } from '../../src/pgoutput/wal-batch.js';
import type { CutBatch } from '../../src/stream/cut-batch.js';
import { DecodePool, type DecodePoolOptions, type PooledBatch } from '../../src/threads/decode-pool.js';
import type { DecodeTask, TransformSource } from '../../src/threads/decode-task.js';
import { unpackValue } from '../../src/threads/value-codec.js';
import { Oid } from '../../src/types/oids.js';
import { cutStream } from '../pgoutput/batches.js';
import * as wire from '../support/pgoutput-bytes.js';

/** A pool that goes away with the test. */
export function openPool(t: TestContext, options: Partial<DecodePoolOptions> = {}): DecodePool {
  const pool = new DecodePool({
    workers: 2,
    types: { mode: 'lossless', overrides: [] },
    transform: undefined,
    timeoutMs: 20_000,
    ...options,
  });
  t.after(() => pool.close());
  return pool;
}

/** A function of a module in `transforms`. */
export function transformOf(module: string, exportName = 'default', rest: Partial<TransformSource> = {}) {
  const moduleUrl = new URL(`./transforms/${module}.js`, import.meta.url).href;
  return { moduleUrl, exportName, per: 'change', options: undefined, ...rest } satisfies TransformSource;
}

/** What a worker is told of a batch. */
export function taskFor({ position, slab, start, end, facts, transaction }: CutBatch): DecodeTask {
  return {
    sequence: position.sequence,
    memory: slab.memory,
    start,
    end,
    relations: position.relations.map(({ version, message }) => ({ version, message })),
    facts,
    transaction,
    typesAreFinal: false,
    ordinal: position.start.ordinal,
  };
}

/** Batches of one row of `notes` each, after a batch that begins the transaction; one more ends it. */
export function noteBatches(notes: readonly (wire.Cell | readonly wire.Cell[])[]): readonly CutBatch[] {
  const columns = [
    { name: 'id', typeOid: Oid.int4, isIdentity: true },
    { name: 'note', typeOid: Oid.text },
  ];
  const rows = notes.map((note) => (Array.isArray(note) ? (note as wire.Cell[]) : [note as wire.Cell]));
  const inserts = rows.map((batch, at) =>
    batch.map((note, row) => wire.xLogData(BigInt(100 + at), wire.insert(5, [String(row), note]))),
  );
  const frames = [
    wire.xLogData(10n, wire.begin({ commitLsn: 900n, xid: 7 })),
    wire.xLogData(0n, wire.relation({ id: 5, schema: 's', table: 'notes', columns })),
    ...inserts.flat(),
    wire.xLogData(930n, wire.commit({ commitLsn: 900n, commitEndLsn: 930n })),
  ];
  const ends = new Set<number>([1]);
  let last = 1;
  for (const batch of inserts) {
    last += batch.length;
    ends.add(last);
  }
  return cutStream(frames, (messageNumber) => ends.has(messageNumber)).batches;
}

/** The events of a batch that a pool packed, with a transform's values. */
export function eventsOfReply(batch: CutBatch, reply: PooledBatch, transformed = true): WalEvent[] {
  return [...new WalBatch(batch.position, reply, transformed ? unpackValue : undefined)];
}
