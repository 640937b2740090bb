import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProtocolError } from '../../src/errors.js';
import { FRAME_HEADER_BYTES, scanFrames } from '../../src/protocol/frame-scan.js';
import { backendMessage, int32 } from '../connection/backend-bytes.js';
import fc from '../support/properties.js';

const MAX_BODY_BYTES = 1000;

function scan(bytes: Buffer, start = 0, end = bytes.length) {
  const frames: string[] = [];
  const scanned = scanFrames(bytes, start, end, MAX_BODY_BYTES, {
    onFrame: (type, bodyStart, bodyEnd) => {
      frames.push(`${String.fromCharCode(type)}${bytes.toString('hex', bodyStart, bodyEnd)}`);
    },
  });
  return { frames, scanned };
}

const frame = fc
  .tuple(fc.constantFrom(...'dcCZEN'), fc.uint8Array({ maxLength: 20 }))
  .map(([type, body]) => ({ bytes: backendMessage(type, body), text: `${type}${Buffer.from(body).toString('hex')}` }));

test('a stream split at any byte gives the same frames, in memory that is scanned as it fills', () => {
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 12 }), (frames) => {
      const bytes = Buffer.concat(frames.map((each) => each.bytes));
      for (let split = 0; split <= bytes.length; split++) {
        const first = scan(bytes, 0, split);
        assert.ok(first.scanned <= split);
        const second = scan(bytes, first.scanned);
        assert.deepStrictEqual(
          [...first.frames, ...second.frames],
          frames.map((each) => each.text),
        );
        assert.equal(second.scanned, bytes.length);
      }
    }),
    { numRuns: 200 },
  );
});

test('nothing before the start or behind the end is looked at', () => {
  const bytes = Buffer.concat([Buffer.from('junk'), backendMessage('d', [1, 2]), Buffer.alloc(9, 0xff)]);
  assert.deepStrictEqual(scan(bytes, 4, 4 + FRAME_HEADER_BYTES + 2), { frames: ['d0102'], scanned: 11 });
  assert.deepStrictEqual(scan(bytes, 4, 4 + FRAME_HEADER_BYTES + 1), { frames: [], scanned: 4 });
});

test('a length that cannot be is a ProtocolError as soon as the header is there', () => {
  for (const length of [0, 1, 3, MAX_BODY_BYTES + 5, 0x7fffffff, -1, -(2 ** 31)]) {
    const bytes = Buffer.concat([backendMessage('Z', [73]), Buffer.from('d'), int32(length)]);
    assert.deepStrictEqual(scan(bytes, 0, bytes.length - 1).frames, ['Z49']);
    assert.throws(
      () => scan(bytes),
      (error) => error instanceof ProtocolError && error.offset === 6 && error.tag === 'd',
      `${length}`,
    );
  }
  assert.equal(scan(backendMessage('d', Buffer.alloc(MAX_BODY_BYTES))).frames.length, 1);
});

test('an error of the handler stops the scan', () => {
  const bytes = backendMessage('d', [1]);
  const onFrame = () => {
    throw new RangeError('enough');
  };
  assert.throws(() => scanFrames(bytes, 0, bytes.length, MAX_BODY_BYTES, { onFrame }), RangeError);
});
