import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { suite, test } from 'node:test';
import { ProtocolError } from '../../src/errors.js';
import type { WalEvent } from '../../src/pgoutput/event.js';
import { Transcoder } from '../../src/pgoutput/transcoder.js';
import { WalBatch } from '../../src/pgoutput/wal-batch.js';
import { FRAME_HEADER_BYTES } from '../../src/protocol/frame-scan.js';
import { XLOG_DATA_HEADER_BYTES } from '../../src/protocol/replication-message.js';
import { AckFrontier } from '../../src/stream/ack-frontier.js';
import { BatchCutter } from '../../src/stream/batch-cutter.js';
import type { CutBatch } from '../../src/stream/cut-batch.js';
import { RelationRegistry } from '../../src/stream/relation-registry.js';
import { SpillDirectory } from '../../src/stream/spill-directory.js';
import { TransactionAssembler } from '../../src/stream/transaction-assembler.js';
import { type ModelStream, modelStream } from '../pgoutput/arbitrary-stream.js';
import { eventFacts, slabOf, taskOf } from '../pgoutput/batches.js';
import * as wire from '../support/pgoutput-bytes.js';
import fc from '../support/properties.js';
import * as uncommitted from '../support/uncommitted-bytes.js';

const HEADER_BYTES = FRAME_HEADER_BYTES + XLOG_DATA_HEADER_BYTES;

function tagOf(frame: Buffer): string {
  return String.fromCharCode(frame[HEADER_BYTES]);
}

/** The relations that a change needs. */
function relationsOf(frame: Buffer): number[] {
  const tag = tagOf(frame);
  const start = HEADER_BYTES + 1;
  if ('IUD'.includes(tag)) return [frame.readUInt32BE(start)];
  if (tag !== 'T') return [];
  return Array.from({ length: frame.readUInt32BE(start) }, (_, at) => frame.readUInt32BE(start + 5 + 4 * at));
}

/** A stream whose connection is lost: what each connection sends before it is. */
class LossyStream {
  readonly events: WalEvent[] = [];
  readonly batches: CutBatch[] = [];
  readonly frontier = new AckFrontier();
  readonly cutter = new BatchCutter(new RelationRegistry(), this.frontier, undefined);
  readonly #transcoder = new Transcoder('lossless');

  /** One connection, from its start to its loss. */
  receive(frames: readonly Buffer[], cutAfter: (at: number) => boolean = () => true): void {
    const { slab, start } = slabOf(frames);
    const cut = () => {
      for (const batch of this.cutter.cut(slab)) this.#take(batch);
    };
    let at = start;
    for (const [position, { length }] of frames.entries()) {
      const body = at + FRAME_HEADER_BYTES;
      if (this.cutter.startsAnew(slab.bytes, body, at + length)) cut();
      assert.equal(this.cutter.add(slab.bytes, body, at + length), 'go-on');
      at += length;
      if (cutAfter(position)) cut();
    }
    cut();
    const takenBack = this.cutter.suspend();
    if (takenBack !== undefined) this.#take(takenBack);
  }

  #take(batch: CutBatch): void {
    assert.equal(batch.position.sequence, this.batches.length);
    this.batches.push(batch);
    const packed = this.#transcoder.transcode(taskOf(batch));
    assert.equal(packed.error, undefined);
    this.events.push(...new WalBatch(batch.position, packed));
  }

  /** Everything but descriptions, which are the server's to repeat. */
  get facts(): unknown[] {
    return this.events
      .filter(({ kind }) => kind !== 'relation' && kind !== 'type')
      .map((event) => {
        const { relation, ...rest } = eventFacts(event) as { relation?: { columns: readonly object[] } };
        return { ...rest, columns: relation?.columns.map((column) => ({ ...column })) };
      });
  }
}

/** Some transactions prepared instead of committed; an origin only where servers send it. */
function varied({ frames }: ModelStream, isPrepared: (xid: number) => boolean): Buffer[] {
  let prepared: uncommitted.PreparedBytes | undefined;
  return frames.flatMap((frame, at) => {
    const tag = tagOf(frame);
    const lsn = frame.readBigUInt64BE(FRAME_HEADER_BYTES + 1);
    if (tag === 'O' && tagOf(frames[at - 1]) !== 'B') return [];
    if (tag === 'B') {
      const commitLsn = frame.readBigUInt64BE(HEADER_BYTES + 1);
      const xid = frame.readUInt32BE(HEADER_BYTES + 17);
      prepared = isPrepared(xid)
        ? { xid, gid: `g${xid}`, prepareLsn: commitLsn, prepareEndLsn: commitLsn + 0x30n }
        : undefined;
      return [prepared === undefined ? frame : wire.xLogData(lsn, uncommitted.beginPrepare(prepared))];
    }
    if (tag === 'C' && prepared !== undefined) return [wire.xLogData(lsn, uncommitted.prepare(prepared))];
    return [frame];
  });
}

/** What a server sends that goes on after `unit` units: each relation anew, when it is needed or some other time. */
function resent(frames: readonly Buffer[], units: number, isDescribed: (at: number) => boolean): Buffer[] {
  const current = new Map<number, Buffer>();
  const session = new Map<number, Buffer>();
  const sent: Buffer[] = [];
  let unit = 0;
  let inTransaction = false;
  for (const [at, frame] of frames.entries()) {
    const tag = tagOf(frame);
    const isSent = unit >= units;
    if ('Bb'.includes(tag)) inTransaction = true;
    if (tag === 'R') {
      current.set(frame.readUInt32BE(HEADER_BYTES + 1), frame);
    } else if (isSent) {
      for (const id of relationsOf(frame)) {
        const description = current.get(id);
        assert.ok(description !== undefined);
        if (session.get(id) !== description) sent.push(description);
        session.set(id, description);
      }
      sent.push(frame);
      const some = [...current.values()][at % Math.max(current.size, 1)];
      if (some !== undefined && inTransaction && !'CP'.includes(tag) && tag !== 'B' && isDescribed(at)) sent.push(some);
    }
    if ('CP'.includes(tag) || (tag === 'M' && frame[HEADER_BYTES + 1] === 0)) unit++;
    if ('CP'.includes(tag)) inTransaction = false;
  }
  return sent;
}

suite('a connection that is lost after any message', () => {
  test('again and again: the events are those of one that is not', () => {
    fc.assert(
      fc.property(
        modelStream(60),
        fc.func(fc.boolean()),
        fc.func(fc.boolean()),
        fc.func(fc.boolean()),
        fc.array(fc.nat(40), { maxLength: 6 }),
        (model, isPrepared, cutAfter, isDescribed, losses) => {
          const frames = varied(model, (xid) => isPrepared(xid));
          const whole = new LossyStream();
          whole.receive(frames);
          const lossy = new LossyStream();
          for (const loss of [...losses, Number.POSITIVE_INFINITY]) {
            const sent = resent(frames, lossy.frontier.nextUnit, (at) => isDescribed(at, loss));
            lossy.receive(sent.slice(0, loss), (at) => cutAfter(at, loss));
          }
          assert.deepStrictEqual(lossy.facts, whole.facts);
          assert.equal(lossy.frontier.nextUnit, whole.frontier.nextUnit);
        },
      ),
      { numRuns: 500 },
    );
  });
});

const RELATION = wire.xLogData(0n, wire.relation({ id: 5, columns: [{ name: 'id' }] }));
const BEGIN = wire.xLogData(100n, wire.begin({ commitLsn: 900n, xid: 7 }));
const COMMIT = wire.xLogData(930n, wire.commit({ commitLsn: 900n, commitEndLsn: 930n }));
const insert = (lsn: number) => wire.xLogData(BigInt(lsn), wire.insert(5, [String(lsn)]));
const HALF = [BEGIN, RELATION, insert(110), insert(120)];

suite('what comes again in another way', () => {
  const block = (xid: number, isFirst: boolean, lsns: readonly number[]) => [
    wire.xLogData(BigInt(lsns[0] ?? 1), uncommitted.streamStart({ xid, isFirst })),
    wire.xLogData(0n, uncommitted.inBlock(xid, Buffer.from(wire.relation({ id: 5, columns: [{ name: 'id' }] })))),
    ...lsns.map((lsn) => wire.xLogData(BigInt(lsn), uncommitted.inBlock(xid, wire.insert(5, [String(lsn)])))),
    wire.xLogData(0n, uncommitted.streamStop()),
  ];
  const streamCommit = (xid: number, lsn: number) =>
    wire.xLogData(
      BigInt(lsn + 30),
      uncommitted.streamCommit({ xid, commitLsn: BigInt(lsn), commitEndLsn: BigInt(lsn + 30) }),
    );

  async function assembled(lossy: LossyStream): Promise<[number, unknown[]][]> {
    const assembler = new TransactionAssembler(
      new SpillDirectory(tmpdir(), { systemIdentifier: '1', slot: 'replay' }),
      1_000_000,
    );
    const transcoder = new Transcoder('lossless');
    const found: [number, unknown[]][] = [];
    for (const batch of lossy.batches) {
      const wal = new WalBatch(batch.position, transcoder.transcode(taskOf(batch)));
      for (const item of await assembler.add(wal, batch.resumed)) {
        assert.ok(item.kind === 'transaction');
        const ids: unknown[] = [];
        for await (const change of item.changes) {
          assert.ok(change.kind === 'insert');
          ids.push(change.new.id);
        }
        found.push([item.xid, ids]);
      }
    }
    await assembler.close();
    return found;
  }

  test('blocks of others before the rest of it', async () => {
    const lossy = new LossyStream();
    lossy.receive([...block(8, true, [50, 51]), ...HALF]);
    lossy.receive([
      ...block(8, true, [50, 51]),
      BEGIN,
      RELATION,
      insert(110),
      insert(120),
      insert(130),
      COMMIT,
      ...block(8, false, [940]),
      streamCommit(8, 950),
    ]);
    assert.deepEqual(await assembled(lossy), [
      [7, ['110', '120', '130']],
      [8, ['50', '51', '940']],
    ]);
  });

  test('in blocks itself', async () => {
    const lossy = new LossyStream();
    lossy.receive(HALF);
    lossy.receive([...block(7, true, [110, 120, 130]), streamCommit(7, 900)]);
    assert.deepEqual(await assembled(lossy), [[7, ['110', '120', '130']]]);
  });

  test('blocks, when it came in blocks before', async () => {
    const lossy = new LossyStream();
    lossy.receive(block(7, true, [110, 120]));
    lossy.receive([...HALF, COMMIT]);
    assert.deepEqual(await assembled(lossy), [[7, ['110', '120']]]);
  });

  test('not at all, or with less: an error, never silence', () => {
    const other = wire.xLogData(100n, wire.begin({ commitLsn: 901n, xid: 8 }));
    const sameLsn = wire.xLogData(100n, wire.begin({ commitLsn: 900n, xid: 8 }));
    const message = (lsn: bigint) =>
      wire.xLogData(lsn, wire.message({ transactional: false, lsn, prefix: 'p', content: Buffer.alloc(0) }));
    for (const again of [
      [other],
      [sameLsn],
      [BEGIN, RELATION, insert(110), COMMIT],
      [BEGIN, COMMIT],
      [message(1000n)],
      [...block(8, true, [110]), streamCommit(8, 1000)],
    ]) {
      const lossy = new LossyStream();
      lossy.receive(HALF);
      const before = lossy.facts.length;
      assert.throws(
        () => lossy.receive(again),
        (error) => error instanceof ProtocolError && error.lsn === 900n && !error.retryable,
      );
      assert.equal(lossy.facts.slice(before).filter((fact) => (fact as { xid?: number }).xid !== 8).length, 0);
    }
  });
});
