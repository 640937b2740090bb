import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { suite, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { ArchiveCodec, whyNoCodec } from '../../src/backup/archive-codec.js';
import type { CompressionMethod, ResolvedCompression } from '../../src/backup/backup-compression.js';
import { BackupError } from '../../src/errors.js';
import fc from '../support/properties.js';

const METHODS: readonly CompressionMethod[] = ['gzip', 'zstd'];
const CONTENT = Buffer.concat([randomBytes(100_000), Buffer.alloc(700_000, 'compressible'), randomBytes(5)]);

function how(method: CompressionMethod, change: Partial<ResolvedCompression> = {}): ResolvedCompression {
  return { method, location: 'client', level: undefined, workers: undefined, long: false, ...change };
}

/** Gives it in these pieces; what comes out. */
async function run(codec: (onBytes: (bytes: Buffer) => void) => ArchiveCodec, input: Buffer, cuts: readonly number[]) {
  const parts: Buffer[] = [];
  const one = codec((bytes) => parts.push(Buffer.from(bytes)));
  let start = 0;
  for (const end of [...[...cuts].sort((a, b) => a - b), input.length]) {
    await one.push(input.subarray(start, end));
    start = end;
  }
  await one.end();
  return Buffer.concat(parts);
}

const compress = (input: Buffer, options: ResolvedCompression, cuts: readonly number[] = []) =>
  run((onBytes) => ArchiveCodec.compress('base.tar', options, onBytes), input, cuts);
const decompress = (input: Buffer, method: CompressionMethod, cuts: readonly number[] = []) =>
  run((onBytes) => ArchiveCodec.decompress('base.tar', method, onBytes), input, cuts);

test('what this Node.js has not is said', () => {
  assert.equal(whyNoCodec('gzip'), undefined);
  assert.match(whyNoCodec('lz4') ?? '', /lz4/);
  const major = Number.parseInt(process.versions.node, 10);
  assert.equal(whyNoCodec('zstd') === undefined, major >= 24);
  assert.throws(() => ArchiveCodec.decompress('base.tar', 'lz4', () => {}), BackupError);
});

for (const method of METHODS) {
  const skip = whyNoCodec(method) ?? false;
  suite(method, { skip }, () => {
    test('there and back, wherever it is cut', async () => {
      const compressed = await compress(CONTENT, how(method));
      const cuts = fc.array(fc.nat(compressed.length), { maxLength: 30 });
      const property = fc.asyncProperty(
        cuts,
        fc.array(fc.nat(CONTENT.length), { maxLength: 10 }),
        async (places, others) => {
          assert.ok((await decompress(compressed, method, places)).equals(CONTENT));
          const again = await compress(CONTENT, how(method), others);
          assert.ok((await decompress(again, method)).equals(CONTENT));
        },
      );
      await fc.assert(property, { numRuns: 20 });
    });

    test('levels', async () => {
      const [fast, best] = method === 'gzip' ? [1, 9] : [-100, 19];
      const sizes = [];
      const text = Buffer.from(Array.from({ length: 40_000 }, (_, n) => `${n * 7919} ${n % 13}\n`).join(''));
      for (const level of [fast, best]) {
        const compressed = await compress(text, how(method, { level }));
        assert.ok((await decompress(compressed, method)).equals(text));
        sizes.push(compressed.length);
      }
      assert.ok((sizes[1] ?? 0) < (sizes[0] ?? 0), String(sizes));
    });

    const damages: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
      'cut off': (bytes) => bytes.subarray(0, -1),
      'cut in half': (bytes) => bytes.subarray(0, bytes.length / 2),
      'nothing at all': () => Buffer.alloc(0),
      'something else': () => Buffer.from('this was never compressed'),
      'something behind it': (bytes) => Buffer.concat([bytes, Buffer.from('more')]),
      'zeros behind it': (bytes) => Buffer.concat([bytes, Buffer.alloc(512)]),
    };
    for (const [what, damage] of Object.entries(damages)) {
      test(`${what} is an error, in one piece and in many`, async () => {
        const bytes = damage(await compress(CONTENT, how(method)));
        const everywhere = Array.from({ length: Math.floor(bytes.length / 1000) }, (_, n) => n * 1000);
        for (const cuts of [[], everywhere]) {
          await assert.rejects(decompress(bytes, method, cuts), (error) => {
            return error instanceof BackupError && error.path === 'base.tar';
          });
        }
      });
    }

    test('a bomb comes in small pieces, and ends when they are refused', async () => {
      const bomb = await compress(Buffer.alloc(300 * 1024 * 1024), how(method));
      assert.ok(bomb.length < 1024 * 1024);
      const refusal = new Error('no more');
      let largest = 0;
      let sum = 0;
      const codec = ArchiveCodec.decompress('base.tar', method, (bytes) => {
        largest = Math.max(largest, bytes.length);
        sum += bytes.length;
        if (sum > 2_000_000) throw refusal;
      });
      await assert.rejects(codec.push(bomb), refusal);
      await assert.rejects(codec.push(bomb), refusal);
      await assert.rejects(codec.end(), refusal);
      assert.ok(largest <= 256 * 1024 && sum <= 2_000_000 + 256 * 1024, `${largest} ${sum}`);
    });
  });
}

test('gzip is what everybody reads and writes', async () => {
  assert.ok(gunzipSync(await compress(CONTENT, how('gzip'))).equals(CONTENT));
  assert.ok((await decompress(gzipSync(CONTENT), 'gzip')).equals(CONTENT));
});

test('zstd over long distances', { skip: whyNoCodec('zstd') ?? false }, async () => {
  const far = Buffer.concat([CONTENT, randomBytes(12 * 1024 * 1024), CONTENT]);
  const plain = await compress(far, how('zstd', { level: 1 }));
  const long = await compress(far, how('zstd', { level: 1, long: true }));
  assert.ok((await decompress(long, 'zstd')).equals(far));
  assert.ok(long.length < plain.length - 50_000, `${long.length} ${plain.length}`);
});
