import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Transcoder } from '../../src/pgoutput/transcoder.js';
import { WalBatch } from '../../src/pgoutput/wal-batch.js';
import { Oid } from '../../src/types/oids.js';
import * as wire from '../support/pgoutput-bytes.js';
import { cutStream, decode, taskOf } from './batches.js';

const XID = 9;
const BEGIN = wire.xLogData(8n, wire.begin({ commitLsn: 900n, xid: XID }));
const ONE = wire.relation({ id: 5, columns: [{ name: 'a', typeOid: Oid.int4 }] });
const TWO = wire.relation({
  id: 5,
  columns: [
    { name: 'b', typeOid: Oid.text },
    { name: 'a', typeOid: Oid.int8 },
  ],
});

function framed(...messages: Buffer[]): Buffer[] {
  return [BEGIN, ...messages.map((message, at) => wire.xLogData(BigInt(10 + at), message))];
}

function rows(frames: readonly Buffer[], cutAfter?: (messageNumber: number) => boolean): unknown[] {
  const { events, error } = decode(frames, cutAfter);
  assert.equal(error, undefined);
  return events.filter((event) => event.kind === 'insert').map((event) => event.new);
}

test('rows before and after an alteration are read with their own version, in one batch and in several', () => {
  const frames = framed(ONE, wire.insert(5, ['1']), TWO, wire.insert(5, ['x', '2']), ONE, wire.insert(5, ['3']));
  const expected = [{ a: 1 }, { b: 'x', a: 2n }, { a: 3 }];
  assert.deepStrictEqual(rows(frames), expected);
  for (let cut = 0; cut < frames.length; cut++) {
    assert.deepStrictEqual(
      rows(frames, (messageNumber) => messageNumber === cut),
      expected,
    );
  }
});

test('events keep the relation that was in force where they stand', () => {
  const { events } = decode(framed(ONE, wire.insert(5, ['1']), TWO, wire.insert(5, ['x', '2'])));
  const columns = events.flatMap((event) =>
    event.kind === 'insert' ? [event.relation.columns.map(({ name }) => name)] : [],
  );
  assert.deepStrictEqual(columns, [['a'], ['b', 'a']]);
});

test('the same description again is no new version, and an event all the same', () => {
  const frames = framed(ONE, wire.insert(5, ['1']), ONE, wire.insert(5, ['2']), TWO, ONE);
  const [batch] = cutStream(frames).batches;
  assert.deepStrictEqual(
    batch?.position.relations.map(({ version }) => version),
    [0, 1, 2],
  );
  const { events } = decode(frames);
  assert.equal(events.filter(({ kind }) => kind === 'relation').length, 4);
  assert.deepStrictEqual(rows(frames), [{ a: 1 }, { a: 2 }]);
});

test('a batch brings the versions that it needs, whatever its decoder has seen before', () => {
  const other = wire.relation({ id: 6, columns: [{ name: 'z' }] });
  const frames = framed(ONE, other, wire.insert(6, ['q']), TWO, wire.insert(5, ['x', '2']), wire.insert(6, ['r']));
  const { batches } = cutStream(frames, () => true);
  const transcoder = new Transcoder('lossless');
  const kinds = new Map<number, string[]>();
  // Backwards, twice, with one decoder: plans that it keeps must not matter.
  for (const batch of [...batches, ...batches].reverse()) {
    const packed = transcoder.transcode(taskOf(batch));
    assert.equal(packed.error, undefined);
    kinds.set(
      batch.position.sequence,
      [...new WalBatch(batch.position, packed)].map((event) =>
        event.kind === 'insert' ? JSON.stringify(event.toJSON().new) : event.kind,
      ),
    );
  }
  assert.deepStrictEqual(
    [...kinds].sort(([a], [b]) => a - b).flatMap(([, of]) => of),
    ['begin', 'relation', 'relation', '{"z":"q"}', 'relation', '{"b":"x","a":"2"}', '{"z":"r"}'],
  );
});

test('one decoder may serve another stream, whose versions are numbered from 0 again', () => {
  const transcoder = new Transcoder('lossless');
  for (const relation of [ONE, TWO, ONE]) {
    const row = relation === ONE ? ['1'] : ['x', '2'];
    for (const batch of cutStream(framed(relation, wire.insert(5, row)), () => true).batches) {
      assert.equal(transcoder.transcode(taskOf(batch)).error, undefined);
    }
  }
});

test('ordinals, transaction and units go on from batch to batch', () => {
  const frames = [
    ...framed(ONE, wire.insert(5, ['1']), wire.insert(5, ['2']), wire.truncate([5])),
    wire.xLogData(930n, wire.commit({ commitLsn: 900n, commitEndLsn: 930n })),
    wire.xLogData(40n, wire.begin({ commitLsn: 950n, xid: XID + 1 })),
    wire.xLogData(41n, wire.insert(5, ['3'])),
  ];
  const { batches } = cutStream(frames, () => true);
  assert.deepStrictEqual(
    batches.map(({ position, changeCount, unitsThrough, endsInTransaction }) => ({
      sequence: position.sequence,
      xid: position.start.transaction?.xid,
      commitLsn: position.start.transaction?.commitLsn,
      ordinal: position.start.ordinal,
      firstUnit: position.firstUnit,
      changeCount,
      unitsThrough,
      endsInTransaction,
    })),
    [
      [undefined, 0, 0, 0, 0],
      [9, 0, 0, 0, 0],
      [9, 0, 0, 1, 0],
      [9, 1, 0, 1, 0],
      [9, 2, 0, 1, 0],
      [9, 3, 0, 0, 1],
      [undefined, 3, 1, 0, 1],
      [10, 0, 1, 1, 1],
    ].map(([xid, ordinal, firstUnit, changeCount, unitsThrough], sequence) => ({
      sequence,
      xid,
      commitLsn: xid === undefined ? undefined : xid === 9 ? 900n : 950n,
      ordinal,
      firstUnit,
      changeCount,
      unitsThrough,
      endsInTransaction: sequence !== 5,
    })),
  );
  assert.deepStrictEqual(
    batches.map(({ firstLsn, lastLsn }) => [firstLsn, lastLsn]),
    [8n, 10n, 11n, 12n, 13n, 930n, 40n, 41n].map((lsn) => [lsn, lsn]),
  );
});
