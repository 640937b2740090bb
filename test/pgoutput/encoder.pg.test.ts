import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { PgoutputDecoder } from '../../src/pgoutput/decoder.js';
import { encodeMessage } from '../../src/pgoutput/encoder.js';
import type { PgoutputMessage } from '../../src/pgoutput/pgoutput-message.js';
import { keyFromTuple, rowFromTuple } from '../../src/pgoutput/tuple-row.js';
import { UNCHANGED } from '../../src/types/unchanged.js';
import { PG_MAJOR, sharedServer } from '../support/server.js';
import { RECORDING_SETTINGS, type RecordedStream, recordStreams } from './recorded-streams.js';

const server = sharedServer({ settings: RECORDING_SETTINGS });

const KINDS: readonly PgoutputMessage['kind'][] = [
  'begin',
  'commit',
  'origin',
  'relation',
  'type',
  'insert',
  'update',
  'delete',
  'truncate',
  'message',
  'streamStart',
  'streamStop',
  'streamCommit',
  'streamAbort',
];
const TWO_PHASE_KINDS: readonly PgoutputMessage['kind'][] = [
  'beginPrepare',
  'prepare',
  'commitPrepared',
  'rollbackPrepared',
  'streamPrepare',
];

describe(`PostgreSQL ${PG_MAJOR}: recorded streams`, () => {
  let streams: RecordedStream[] = [];
  before(async () => {
    streams = await recordStreams(server());
  });

  function decoded(stream: RecordedStream): PgoutputMessage[] {
    const decoder = new PgoutputDecoder();
    return stream.messages.map((bytes) => decoder.decode(bytes));
  }

  test('every message encodes to the bytes that it was decoded from', () => {
    for (const { title, messages } of streams) {
      assert.ok(messages.length > 100, `${title}: ${messages.length} messages`);
      const decoder = new PgoutputDecoder();
      for (const [at, bytes] of messages.entries()) {
        const message = decoder.decode(bytes);
        assert.equal(encodeMessage(message).toString('hex'), bytes.toString('hex'), `${title}, message ${at}`);
      }
    }
  });

  test('every kind of message is among them, and every form of it', () => {
    const messages = streams.flatMap(decoded);
    const kinds = PG_MAJOR >= 15 ? [...KINDS, ...TWO_PHASE_KINDS] : KINDS;
    assert.deepEqual([...new Set(messages.map(({ kind }) => kind))].sort(), [...kinds].sort());
    const has = (what: string, test: (message: PgoutputMessage) => boolean) => assert.ok(messages.some(test), what);
    for (const kind of ['relation', 'type', 'insert', 'update', 'delete', 'truncate', 'message'] as const) {
      has(`${kind} in a streamed block`, (message) => message.kind === kind && message.xid !== undefined);
      has(`${kind} outside`, (message) => message.kind === kind && message.xid === undefined);
    }
    has('origin of a streamed transaction', (message) => message.kind === 'origin' && message.originLsn === 0n);
    has('the whole transaction aborted', (message) => message.kind === 'streamAbort' && message.xid === message.subxid);
    has('a savepoint rolled back', (message) => message.kind === 'streamAbort' && message.xid !== message.subxid);
    for (const identity of ['default', 'nothing', 'full', 'index']) {
      has(identity, (message) => message.kind === 'relation' && message.replicaIdentity === identity);
    }
    has('a type of pg_catalog', (message) => message.kind === 'type' && message.schema === 'pg_catalog');
    has('update without the old row', (m) => m.kind === 'update' && m.key === undefined && m.old === undefined);
    has('update of a key', (message) => message.kind === 'update' && message.key !== undefined);
    has('update of an old row', (message) => message.kind === 'update' && message.old !== undefined);
    has('delete by key', (message) => message.kind === 'delete' && message.key !== undefined);
    has('delete of an old row', (message) => message.kind === 'delete' && message.old !== undefined);
    has('an unchanged value', (message) => message.kind === 'update' && message.new.includes(UNCHANGED));
    has('a truncate of several', (message) => message.kind === 'truncate' && message.relationIds.length > 1);
    has('a truncate with options', (m) => m.kind === 'truncate' && m.cascade && m.restartIdentity);
    for (const format of ['text', 'binary']) {
      has(
        format,
        (m) => m.kind === 'insert' && m.new.some((value) => typeof value === 'object' && value?.format === format),
      );
    }
    if (PG_MAJOR >= 16) has('LSN of an abort', (m) => m.kind === 'streamAbort' && m.abortLsn !== undefined);
  });

  test('rows have the same values in text and in binary, streamed and not', () => {
    const expected = [
      ['public.by_key', { id: 1, n: 1, body: 'a'.repeat(9000) }],
      ['public.by_key', { id: 2, n: null, body: '' }],
      [
        'public.whole_row',
        {
          id: 1,
          body: 'b'.repeat(9000),
          at: '2024-02-29T12:00:00.000001Z',
          bytes: Buffer.of(0, 255),
          numbers: [1, null, 3],
          doc: { a: [1, '☃'] },
          exact: '12345.6789',
        },
      ],
    ];
    for (const { messages } of streams) {
      const decoder = new PgoutputDecoder();
      const inserted: unknown[] = [];
      for (const bytes of messages) {
        const message = decoder.decode(bytes);
        if (message.kind !== 'insert' && message.kind !== 'update' && message.kind !== 'delete') continue;
        const relation = decoder.relation(message.relationId);
        assert.ok(relation !== undefined);
        if (message.kind === 'insert') {
          // Without the catalog nobody knows that a value in binary is an enum's.
          const { mood: _, ...row } = rowFromTuple(message.new, relation);
          inserted.push([`${relation.schema}.${relation.table}`, row]);
        } else {
          if (message.old !== undefined) rowFromTuple(message.old, relation);
          if (message.key !== undefined) {
            const names = relation.columns.flatMap(({ name, isIdentity }) => (isIdentity ? [name] : []));
            assert.deepEqual(Object.keys(keyFromTuple(message.key, relation)), names);
          }
          if (message.kind === 'update') rowFromTuple(message.new, relation);
        }
      }
      assert.deepStrictEqual(inserted.slice(0, 3), expected);
    }
  });
});
