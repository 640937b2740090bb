import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { WalEvent } from '../../src/pgoutput/event.js';
import { TransactionContext } from '../../src/pgoutput/transaction-context.js';
import { Transcoder } from '../../src/pgoutput/transcoder.js';
import { acknowledgementUnit, UnitEvent } from '../../src/pgoutput/unit-event.js';
import { WalBatch } from '../../src/pgoutput/wal-batch.js';
import { RawBatch } from '../../src/stream/raw-batch.js';
import { TransformRunner } from '../../src/threads/transform-runner.js';
import { unpackValue } from '../../src/threads/value-codec.js';
import fc from '../support/properties.js';
import { type ExpectedUncommitted, uncommittedStream } from './arbitrary-uncommitted.js';
import { cutStream, decode, taskOf } from './batches.js';

/** What the model says of an event. Fields that there are not are left out. */
function said(event: WalEvent): ExpectedUncommitted {
  const unit = event instanceof UnitEvent ? acknowledgementUnit(event)?.number : undefined;
  const { kind } = event;
  const fields: Record<string, unknown> = { kind, unit, row: rowOf(event) };
  for (const name of ['xid', 'subxid', 'ordinal', 'commitLsn', 'gid', 'prepareLsn'] as const) {
    fields[name] = name in event ? event[name as keyof WalEvent] : undefined;
  }
  return present(fields);
}

function endOf(event: WalEvent): bigint | undefined {
  if ('commitEndLsn' in event) return event.commitEndLsn;
  if ('rollbackEndLsn' in event) return event.rollbackEndLsn;
  if ('prepareEndLsn' in event) return event.prepareEndLsn;
  return event.kind === 'message' ? event.lsn : undefined;
}

function rowOf(event: WalEvent): unknown {
  switch (event.kind) {
    case 'insert':
      return event.new;
    case 'update':
    case 'delete':
      return event.old;
    case 'truncate':
      return event.relations.map(({ table }) => table);
    case 'relation':
      return event.relation.columns.map(({ name }) => name);
    default:
      return undefined;
  }
}

function present(fields: object): ExpectedUncommitted {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}

function assertSaid(events: readonly WalEvent[], expected: readonly ExpectedUncommitted[]): void {
  assert.deepStrictEqual(events.map(said), expected.map(present));
}

suite('streamed and prepared transactions', () => {
  test('every event is what the model says, wherever the stream is cut', () => {
    fc.assert(
      fc.property(uncommittedStream(40), fc.func(fc.boolean()), ({ frames, events, unitEnds }, cutAfter) => {
        for (const cut of [undefined, () => true, (at: number) => cutAfter(at)]) {
          const decoded = decode(frames, cut);
          assert.equal(decoded.error, undefined);
          assertSaid(decoded.events, events);
          assert.deepEqual(
            decoded.events
              .filter((event) => event instanceof UnitEvent && acknowledgementUnit(event) !== undefined)
              .map(endOf),
            unitEnds,
          );
        }
      }),
      { numRuns: 500 },
    );
  });

  test('the cutter counts the same units, and knows where a transaction is half-way', () => {
    fc.assert(
      fc.property(uncommittedStream(40), fc.func(fc.boolean()), ({ frames, unitEnds }, cutAfter) => {
        const { batches, frontier } = cutStream(frames, (at) => cutAfter(at));
        assert.equal(frontier.nextUnit, unitEnds.length);
        assert.equal(frontier.lastReceivedLsn, unitEnds.at(-1) ?? 0n);
        const transcoder = new Transcoder('lossless');
        for (const batch of batches) {
          const cursor = new WalBatch(batch.position, transcoder.transcode(taskOf(batch)))[Symbol.iterator]();
          const raw = new RawBatch(batch)[Symbol.iterator]();
          for (const one of [cursor, raw]) {
            while (!one.next().done);
            assert.equal(one.unitsPassed, batch.unitsThrough);
            assert.equal(one.inTransaction, batch.endsInTransaction);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  test('a worker, which has seen nothing of the stream before, reads the same; so does its transform', async () => {
    await fc.assert(
      fc.asyncProperty(uncommittedStream(30), fc.func(fc.boolean()), async ({ frames, events }, cutAfter) => {
        const value = (event: { kind: string; xid?: number | undefined; subxid?: number | undefined }) =>
          `${event.kind} ${event.xid} ${event.subxid}`;
        const runner = new TransformRunner(value as never, 'change', undefined);
        const seen: unknown[] = [];
        for (const batch of cutStream(frames, (at) => cutAfter(at)).batches) {
          const { relations, facts, transaction } = structuredClone({
            relations: batch.position.relations.map(({ version, message }) => ({ version, message })),
            facts: batch.facts,
            transaction: batch.transaction,
          });
          const packed = new Transcoder('lossless').transcode({ ...taskOf(batch), relations, facts });
          const start = {
            transaction: transaction === undefined ? undefined : new TransactionContext(transaction),
            ordinal: batch.position.start.ordinal,
          };
          const position = { ...batch.position, relations: packed.relations, start };
          const transformed = await runner.run(packed, position);
          assert.equal(transformed.failure, undefined);
          for (const event of new WalBatch(batch.position, transformed, unpackValue)) {
            seen.push('value' in event ? event.value : event.kind);
            if ('value' in event) assert.equal(event.value, value(event));
          }
        }
        const isRow = ({ kind }: ExpectedUncommitted) => kind === 'insert' || kind === 'update' || kind === 'delete';
        assert.deepEqual(
          seen,
          events.map((event) => (isRow(event) ? value(event as never) : event.kind)),
        );
      }),
      { numRuns: 100 },
    );
  });

  test('objects and JSON leave out what there is not', () => {
    fc.assert(
      fc.property(uncommittedStream(40), ({ frames }) => {
        for (const event of decode(frames).events) {
          const streamed = 'subxid' in event && event.subxid !== undefined;
          const prepared = !streamed && 'gid' in event && event.gid !== undefined;
          for (const form of [event.toObject(), JSON.parse(JSON.stringify(event))]) {
            assert.equal(form.kind, event.kind);
            assert.equal('subxid' in form, streamed);
            assert.equal('gid' in form, prepared);
          }
        }
      }),
      { numRuns: 100 },
    );
  });
});
