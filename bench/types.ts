import { bench, do_not_optimize, run } from 'mitata';
import { type ColumnFormat, ColumnWriters } from '../src/types/column-writer.js';
import { Oid } from '../src/types/oids.js';
import { PackSource } from '../src/types/pack-source.js';
import { PackWriter } from '../src/types/pack-writer.js';
import { createRowReader, ROW_HEADER } from '../src/types/row-reader.js';
import type { TypeDescriptor } from '../src/types/type-descriptor.js';

/**
 * Nanoseconds per column value: `write` in the worker, from the wire to the packed row, and `read` on the main thread,
 * from the packed row to JavaScript. Each benchmark does VALUE_COUNT values, different ones, in rows of one column, so
 * a read includes what an empty row costs.
 *
 * @example npm run -s build && node dist/bench/types.js [filter]
 */

const VALUE_COUNT = 1000;
const rowReader = createRowReader(['value']);
const out = new PackWriter(1 << 20);

interface Sample {
  readonly name: string;
  readonly oid: number;
  readonly text: (index: number) => string;
  readonly binary: (index: number) => Buffer;
}

function bytesOf(byteCount: number, write: (view: DataView) => void): Buffer {
  const bytes = Buffer.alloc(byteCount);
  write(new DataView(bytes.buffer, bytes.byteOffset, byteCount));
  return bytes;
}

function numericBytes(index: number): Buffer {
  // 12345.6789 and the like: weight 1, four decimal places.
  return bytesOf(14, (view) => {
    [3, 1, 0, 4, 1 + (index % 9), index, 6789].forEach((word, at) => {
      view.setInt16(at * 2, word);
    });
  });
}

function uuidText(index: number): string {
  return `a0eebc99-9c0b-4ef8-bb6d-6bb9bd38${String(index).padStart(4, '0')}`;
}

function jsonText(index: number): string {
  return `{"id": ${index}, "tags": ["a", "b"], "name": "item ${index}"}`;
}

function textOf(length: number): (index: number) => string {
  return (index) => `${index}-${'lorem ipsum '.repeat(Math.ceil(length / 12))}`.slice(0, length);
}

const DAY_MICROSECONDS = 86_400_000_000n;

const PAIR_OID = 20_001;
const HSTORE_OID = 20_002;
const MOOD_OID = 20_003;
const DESCRIPTORS: readonly TypeDescriptor[] = [
  {
    oid: PAIR_OID,
    schema: 'public',
    name: 'pair',
    kind: 'composite',
    fields: [
      { name: 'id', typeOid: Oid.int4 },
      { name: 'note', typeOid: Oid.text },
    ],
    earlierFields: [],
  },
  { oid: HSTORE_OID, schema: 'public', name: 'hstore', kind: 'base', send: 'hstore_send' },
  { oid: MOOD_OID, schema: 'public', name: 'mood', kind: 'enum' },
];

/** Parts of a binary value: int32 as they are, strings behind their length. */
function partsOf(...parts: readonly (number | string)[]): Buffer {
  return Buffer.concat(
    parts.map((part) => {
      const text = typeof part === 'string' ? part : '';
      const bytes = Buffer.alloc(4 + text.length);
      bytes.writeInt32BE(typeof part === 'number' ? part : text.length);
      bytes.write(text, 4);
      return bytes;
    }),
  );
}

const SAMPLES: readonly Sample[] = [
  {
    name: 'bool',
    oid: Oid.bool,
    text: (index) => (index % 3 === 0 ? 't' : 'f'),
    binary: (index) => Buffer.from([index % 3 === 0 ? 1 : 0]),
  },
  {
    name: 'int4',
    oid: Oid.int4,
    text: (index) => String(index * 7919),
    binary: (index) => bytesOf(4, (view) => view.setInt32(0, index * 7919)),
  },
  {
    name: 'int8 small',
    oid: Oid.int8,
    text: (index) => String(index * 7919),
    binary: (index) => bytesOf(8, (view) => view.setBigInt64(0, BigInt(index * 7919))),
  },
  {
    name: 'int8 large',
    oid: Oid.int8,
    text: (index) => String(9_007_199_254_740_993n + BigInt(index)),
    binary: (index) => bytesOf(8, (view) => view.setBigInt64(0, 9_007_199_254_740_993n + BigInt(index))),
  },
  {
    name: 'float4',
    oid: Oid.float4,
    text: (index) => String(index / 100),
    binary: (index) => bytesOf(4, (view) => view.setFloat32(0, index / 100)),
  },
  {
    name: 'float8 short',
    oid: Oid.float8,
    text: (index) => String(index / 100),
    binary: (index) => bytesOf(8, (view) => view.setFloat64(0, index / 100)),
  },
  {
    name: 'float8 17 digits',
    oid: Oid.float8,
    text: (index) => String(Math.sqrt(index + 2)),
    binary: (index) => bytesOf(8, (view) => view.setFloat64(0, Math.sqrt(index + 2))),
  },
  {
    name: 'numeric',
    oid: Oid.numeric,
    text: (index) => `${1 + (index % 9)}${String(index).padStart(4, '0')}.6789`,
    binary: numericBytes,
  },
  { name: 'text 12', oid: Oid.text, text: textOf(12), binary: (index) => Buffer.from(textOf(12)(index)) },
  { name: 'text 60', oid: Oid.text, text: textOf(60), binary: (index) => Buffer.from(textOf(60)(index)) },
  { name: 'text 1000', oid: Oid.text, text: textOf(1000), binary: (index) => Buffer.from(textOf(1000)(index)) },
  {
    name: 'text 20 umlauts',
    oid: Oid.text,
    text: (index) => `größe ${index} übung ß`,
    binary: (index) => Buffer.from(`größe ${index} übung ß`),
  },
  {
    name: 'uuid',
    oid: Oid.uuid,
    text: uuidText,
    binary: (index) => Buffer.from(uuidText(index).replaceAll('-', ''), 'hex'),
  },
  {
    name: 'jsonb',
    oid: Oid.jsonb,
    text: jsonText,
    binary: (index) => Buffer.from(`\x01${jsonText(index)}`),
  },
  {
    name: 'bytea 32',
    oid: Oid.bytea,
    text: (index) => `\\x${Buffer.alloc(32, index).toString('hex')}`,
    binary: (index) => Buffer.alloc(32, index),
  },
  {
    name: 'date',
    oid: Oid.date,
    text: (index) => new Date(index * 86_400_000).toISOString().slice(0, 10),
    binary: (index) => bytesOf(4, (view) => view.setInt32(0, index)),
  },
  {
    name: 'timestamptz',
    oid: Oid.timestamptz,
    text: (index) => `2024-01-02 03:04:05.${String(678_000 + index)}+00`,
    binary: (index) => bytesOf(8, (view) => view.setBigInt64(0, DAY_MICROSECONDS * 8767n + 678_000n + BigInt(index))),
  },
  {
    name: 'interval',
    oid: Oid.interval,
    text: (index) => `1 year 2 mons ${index} days 04:05:06.789`,
    binary: (index) =>
      bytesOf(16, (view) => {
        view.setBigInt64(0, 14_706_789_000n);
        view.setInt32(8, index);
        view.setInt32(12, 14);
      }),
  },
  {
    name: 'int4[] of 5',
    oid: 1007,
    text: (index) => `{1,22,333,4444,${index}}`,
    binary: (index) =>
      bytesOf(60, (view) => {
        [1, 0, Oid.int4, 5, 1, 4, 1, 4, 22, 4, 333, 4, 4444, 4, index].forEach((word, at) => {
          view.setInt32(at * 4, word);
        });
      }),
  },
  { name: 'enum', oid: MOOD_OID, text: () => 'content', binary: () => Buffer.from('content') },
  {
    name: 'int4range',
    oid: Oid.int4range,
    text: (index) => `[${index},${index + 10})`,
    binary: (index) => Buffer.concat([Buffer.of(2), partsOf(4, index, 4, index + 10)]),
  },
  {
    name: 'composite of 2',
    oid: PAIR_OID,
    text: (index) => `(${index},"note ${index}")`,
    binary: (index) => partsOf(2, Oid.int4, 4, index, Oid.text, `note ${index}`),
  },
  {
    name: 'hstore of 2',
    oid: HSTORE_OID,
    text: (index) => `"a"=>"${index}", "b"=>NULL`,
    binary: (index) => partsOf(2, 'a', String(index), 'b', -1),
  },
];

/** All values one after the other in shared memory, as in a slab; `ends[i]` to `ends[i + 1]` is value i. */
function slabOf(valueAt: (index: number) => Buffer | string): { slab: Buffer; ends: Int32Array } {
  const values = Array.from({ length: VALUE_COUNT }, (_, index) => Buffer.from(valueAt(index)));
  const ends = new Int32Array(VALUE_COUNT + 1);
  values.forEach((value, index) => {
    ends[index + 1] = (ends[index] ?? 0) + value.length;
  });
  const slab = Buffer.from(new SharedArrayBuffer(ends[VALUE_COUNT] ?? 0));
  Buffer.concat(values).copy(slab);
  return { slab, ends };
}

function addBenches(sample: Sample, format: ColumnFormat): void {
  const { slab, ends } = slabOf(format === 'text' ? sample.text : sample.binary);
  const writer = new ColumnWriters('lossless', DESCRIPTORS).writer(sample.oid, format);
  const rowEnds = new Int32Array(VALUE_COUNT + 1);
  const writeAll = (): void => {
    out.position = 0;
    for (let index = 0; index < VALUE_COUNT; index++) {
      out.reserve(1);
      out.bytes[out.position++] = ROW_HEADER;
      writer(slab, ends[index] ?? 0, ends[index + 1] ?? 0, out);
      rowEnds[index + 1] = out.position;
    }
  };
  writeAll();
  const source = new PackSource(Buffer.from(out.bytes.subarray(0, out.position)));
  bench(`${sample.name} ${format} write`, writeAll);
  bench(`${sample.name} ${format} read`, () => {
    for (let index = 0; index < VALUE_COUNT; index++) {
      do_not_optimize(rowReader.read(source, rowEnds[index] ?? 0, rowEnds[index + 1] ?? 0));
    }
  });
}

const filter = process.argv[2] ?? '';
const samples = SAMPLES.filter(({ name }) => name.includes(filter));
for (const sample of samples) {
  addBenches(sample, 'text');
  addBenches(sample, 'binary');
}

const { benchmarks } = await run({ format: 'quiet' });
const medians = benchmarks.map(({ runs }) => {
  const [first] = runs;
  return first?.stats === undefined ? 'failed' : (first.stats.p50 / VALUE_COUNT).toFixed(0);
});
console.log('median ns per value'.padEnd(20), 'text: write', ' read', ' binary: write', ' read');
samples.forEach(({ name }, index) => {
  const [textWrite = '', textRead = '', binaryWrite = '', binaryRead = ''] = medians.slice(index * 4, index * 4 + 4);
  console.log(
    name.padEnd(20),
    textWrite.padStart(11),
    textRead.padStart(5),
    binaryWrite.padStart(14),
    binaryRead.padStart(5),
  );
});
