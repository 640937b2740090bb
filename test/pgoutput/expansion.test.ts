import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeMessage } from '../../src/pgoutput/encoder.js';
import { Transcoder } from '../../src/pgoutput/transcoder.js';
import { TupleValue } from '../../src/pgoutput/tuple-value.js';
import { Oid } from '../../src/types/oids.js';
import { UNCHANGED } from '../../src/types/unchanged.js';
import { xLogData } from '../support/pgoutput-bytes.js';
import { cutStream, taskOf } from './batches.js';

const ID = 1;
const COUNT = 20_000;
const INT8_ARRAY = 1016;
const FLOAT8_ARRAY = 1022;
const TEXT_ARRAY = 1009;

/** Bytes packed for a byte on the wire, when a row of one column is updated from `old` to `row`. */
function expansion(typeOid: number, row: TupleValue | typeof UNCHANGED, old?: TupleValue): number {
  const messages = [
    encodeMessage({
      kind: 'relation',
      id: ID,
      schema: 's',
      table: 't',
      replicaIdentity: 'full',
      columns: [{ name: 'c', typeOid, typeModifier: -1, isIdentity: true }],
    }),
    encodeMessage({ kind: 'update', relationId: ID, ...(old === undefined ? {} : { old: [old] }), new: [row] }),
  ];
  const [batch] = cutStream(messages.map((message) => xLogData(1n, message))).batches;
  assert.ok(batch !== undefined);
  const { data, index, error } = new Transcoder('lossless').transcode(taskOf(batch));
  assert.equal(error, undefined);
  const wireBytes = messages.reduce((sum, message) => sum + message.length, 0);
  return (data.byteLength + index.byteLength) / wireBytes;
}

const elements = (text: string) => TupleValue.fromText(`{${Array(COUNT).fill(text).join(',')}}`);

// What test/pgoutput/fuzz.pg.test.ts takes for granted.
suite('a packed value is at most ten times what came over the wire, numbers of 131,072 digits aside', () => {
  const bits = Buffer.alloc(COUNT, 0xaa);
  bits.writeUInt32BE((COUNT - 4) * 8);
  const cases: readonly [string, number, TupleValue][] = [
    ['int8[] in text', INT8_ARRAY, elements('1')],
    ['float8[] in text', FLOAT8_ARRAY, elements('1')],
    ['text[] of nulls', TEXT_ARRAY, elements('NULL')],
    ['text[] of empty strings', TEXT_ARRAY, elements('""')],
    ['varbit in binary', Oid.varbit, TupleValue.fromBinary(bits)],
    ['bytea in text', Oid.bytea, TupleValue.fromText(`\\x${'ff'.repeat(COUNT)}`)],
    ['json', Oid.json, TupleValue.fromText(`[${'1,'.repeat(COUNT)}1]`)],
  ];
  for (const [title, typeOid, value] of cases) {
    test(title, (t) => {
      const factor = expansion(typeOid, value);
      const filled = expansion(typeOid, UNCHANGED, value);
      t.diagnostic(`${factor.toFixed(2)}, and ${filled.toFixed(2)} when the old row fills the new one`);
      assert.ok(factor <= 10 && filled <= 20);
    });
  }
});
