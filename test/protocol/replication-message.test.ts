import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigurationError, ProtocolError } from '../../src/errors.js';
import { encodeCopyData } from '../../src/protocol/copy-data.js';
import { FRAME_HEADER_BYTES } from '../../src/protocol/frame-scan.js';
import {
  encodeKeepalive,
  encodeStandbyStatus,
  encodeXLogData,
  parseKeepalive,
} from '../../src/protocol/replication-message.js';
import { POSTGRES_EPOCH_MS, timestampFromUnixMs, unixMsFromTimestamp } from '../../src/protocol/timestamp.js';
import { keepalive, xLogData } from '../support/pgoutput-bytes.js';
import fc from '../support/properties.js';

test('keepalives of any position and time', () => {
  fc.assert(
    fc.property(fc.bigInt(0n, 2n ** 64n - 1n), fc.bigInt(0n, 2n ** 62n), fc.boolean(), (lsn, timeUs, reply) => {
      const bytes = keepalive(lsn, reply, timeUs);
      assert.deepStrictEqual(parseKeepalive(bytes, FRAME_HEADER_BYTES, bytes.length), {
        serverWalEnd: lsn,
        serverTimeUs: timeUs,
        replyRequested: reply,
      });
    }),
  );
});

test('keepalives and XLogData are encoded as another account of the protocol has them', () => {
  const lsn = fc.bigInt(0n, 2n ** 64n - 1n);
  fc.assert(
    fc.property(
      lsn,
      lsn,
      fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
      fc.boolean(),
      (walStart, serverWalEnd, time, reply) => {
        const message = { serverWalEnd, serverTimeUs: time, replyRequested: reply };
        assert.deepEqual(encodeCopyData(encodeKeepalive(message)), keepalive(serverWalEnd, reply, time));
        assert.deepStrictEqual(parseKeepalive(encodeKeepalive(message), 0, 18), message);
        const data = Buffer.from(String(walStart).repeat(20));
        assert.deepEqual(
          encodeCopyData(encodeXLogData({ walStart, serverWalEnd, serverTimeUs: 0n }, data)),
          xLogData(walStart, data, serverWalEnd),
        );
      },
    ),
  );
});

test('what does not fit into them is a ConfigurationError that names the field', () => {
  const header = { walStart: 1n, serverWalEnd: 1n, serverTimeUs: 0n };
  const refusal = (option: string) => (error: unknown) =>
    error instanceof ConfigurationError && error.option === option;
  assert.throws(() => encodeXLogData({ ...header, walStart: -1n }, Buffer.alloc(0)), refusal('walStart'));
  assert.throws(() => encodeXLogData({ ...header, serverTimeUs: 2n ** 63n }, Buffer.alloc(0)), refusal('serverTimeUs'));
  assert.throws(() => encodeXLogData(header, 'data' as never), refusal('data'));
  assert.throws(
    () => encodeKeepalive({ serverWalEnd: 2n ** 64n, serverTimeUs: 0n, replyRequested: false }),
    refusal('serverWalEnd'),
  );
});

test('a keepalive of another length is a ProtocolError', () => {
  const bytes = Buffer.concat([keepalive(1n), Buffer.of(0)]);
  for (let end = FRAME_HEADER_BYTES; end <= bytes.length; end++) {
    if (end === bytes.length - 1) continue;
    assert.throws(
      () => parseKeepalive(bytes, FRAME_HEADER_BYTES, end),
      (error) => error instanceof ProtocolError && error.tag === 'k' && error.offset === FRAME_HEADER_BYTES,
    );
  }
});

test('a status update: write, flush, apply, clock, reply', () => {
  const positions = { write: 2n ** 64n - 1n, flush: 2n ** 63n, apply: 5n };
  const bytes = encodeStandbyStatus(positions, POSTGRES_EPOCH_MS + 1_500.25, true);
  assert.equal(bytes.toString('hex'), `72ffffffffffffffff8000000000000000${'5'.padStart(16, '0')}000000000016e45a01`);
  assert.equal(encodeStandbyStatus(positions, POSTGRES_EPOCH_MS, false).at(-1), 0);
});

test('times survive both ways to the microsecond, before 2000 too', () => {
  assert.equal(unixMsFromTimestamp(0n), Date.UTC(2000, 0, 1));
  assert.equal(timestampFromUnixMs(Date.UTC(1999, 11, 31)), -86_400_000_000n);
  fc.assert(
    fc.property(fc.bigInt(-(10n ** 14n), 10n ** 15n), (timestampUs) => {
      assert.equal(timestampFromUnixMs(unixMsFromTimestamp(timestampUs)), timestampUs);
    }),
  );
});
