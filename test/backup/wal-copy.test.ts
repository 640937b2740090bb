import assert from 'node:assert/strict';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { SegmentWriter } from '../../src/backup/segment-writer.js';
import { WalCopy } from '../../src/backup/wal-copy.js';
import { resolveReceiverOptions, type WalReceiverOptions } from '../../src/backup/wal-receiver-options.js';
import { SlabPool } from '../../src/connection/slab.js';
import { ConfigurationError, ProtocolError } from '../../src/errors.js';
import { encodeKeepalive, encodeXLogData } from '../../src/protocol/replication-message.js';
import fc from '../support/properties.js';
import { temporaryFolder } from './copied-backup.js';

const SEGMENT_BYTES = 1024 * 1024;
const START = 0x300_0000n;

function segmentWriter(directory: string, timeline: number): SegmentWriter {
  return new SegmentWriter({
    directory,
    segmentBytes: SEGMENT_BYTES,
    timeline,
    startLsn: START,
    naming: 'partial',
    mode: 0o600,
  });
}

function feed(copy: WalCopy, payload: Buffer): void {
  const slab = new SlabPool().acquire(payload.length);
  payload.copy(slab.bytes);
  copy.onCopyData(slab, 0, payload.length);
}

function xLogData(walStart: bigint, data: Buffer): Buffer {
  return encodeXLogData({ walStart, serverWalEnd: walStart, serverTimeUs: 0n }, data);
}

describe('what the server sends', () => {
  const options = resolveReceiverOptions({ connection: 'postgresql://nobody@nowhere', directory: '.' });
  const fresh = () => new WalCopy({ ...options, timeline: 1, slot: undefined }, segmentWriter('.', 1));

  test('WAL that does not follow on what came before is refused', () => {
    const copy = fresh();
    feed(copy, xLogData(START, Buffer.alloc(100)));
    for (const walStart of [START, START + 99n, START + 101n, 0n]) {
      assert.throws(
        () => feed(copy, xLogData(walStart, Buffer.alloc(8))),
        (error) => error instanceof ProtocolError && error.lsn === walStart,
      );
    }
    feed(copy, xLogData(START + 100n, Buffer.alloc(8)));
  });

  test('messages that are none are refused', () => {
    for (const bad of [
      Buffer.from('x'),
      Buffer.from('w123'),
      encodeKeepalive({ serverWalEnd: 0n, serverTimeUs: 0n, replyRequested: false }).subarray(1),
    ]) {
      assert.throws(() => feed(fresh(), bad), ProtocolError);
    }
  });

  test('the end of a timeline says what follows, or is refused', () => {
    fresh().onRow(['2', '0/3000148']);
    for (const row of [[], [null, null], ['x', '0/1'], ['2', null]]) {
      assert.throws(() => fresh().onRow(row), ProtocolError);
    }
  });
});

test('however WAL is cut into messages, the same segments come of it', async (t) => {
  const folder = await temporaryFolder(t);
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 700_000 }), { minLength: 1, maxLength: 8 }),
      async (lengths) => {
        const directory = join(folder, String(run++));
        await mkdir(directory);
        const wal = Buffer.alloc(lengths.reduce((sum, length) => sum + length, 0));
        for (let at = 0; at < wal.length; at++) wal[at] = (at * 31 + (at >> 8)) & 0xff;
        const writer = segmentWriter(directory, 7);
        let at = 0;
        for (const length of lengths) {
          await writer.write(wal.subarray(at, at + length));
          at += length;
        }
        await writer.sync();
        await writer.close();
        assert.equal(writer.flushedLsn, START + BigInt(wal.length));
        const names = (await readdir(directory)).sort();
        assert.equal(names.length, Math.ceil(wal.length / SEGMENT_BYTES));
        const written = Buffer.concat(await Promise.all(names.map((name) => readFile(join(directory, name)))));
        assert.equal(written.length, names.length * SEGMENT_BYTES);
        assert.ok(written.subarray(0, wal.length).equals(wal));
        assert.ok(written.subarray(wal.length).every((byte) => byte === 0));
        assert.equal(
          names.filter((name) => name.endsWith('.partial')).length,
          wal.length % SEGMENT_BYTES === 0 ? 0 : 1,
        );
        assert.equal(names[0]?.slice(0, 24), '000000070000000000000030');
      },
    ),
    { numRuns: 15 },
  );
});

test('options that make no sense are named', () => {
  for (const [given, option] of [
    [{ directory: '' }, 'directory'],
    [{ slot: 'Not A Slot' }, 'slot.name'],
    [{ slot: { name: 's', temporary: true } }, 'slot.temporary'],
    [{ slot: { name: 's', create: 'always' } }, 'slot.create'],
    [{ startLsn: -1n }, 'startLsn'],
    [{ endLsn: 5 }, 'endLsn'],
    [{ synchronous: 'yes' }, 'synchronous'],
    [{ feedbackIntervalMs: 0 }, 'feedbackIntervalMs'],
    [{ livenessTimeoutMs: 1.5 }, 'livenessTimeoutMs'],
    [{ signal: {} }, 'signal'],
    [{ folder: '.' }, 'folder'],
  ] as const) {
    const options = {
      connection: 'postgresql://nobody@nowhere',
      directory: '.',
      ...given,
    } as unknown as WalReceiverOptions;
    assert.throws(
      () => resolveReceiverOptions(options),
      (error) => error instanceof ConfigurationError && error.option === option,
      option,
    );
  }
});
