import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BackendMessage } from '../../src/connection/backend-message.js';
import { MAX_MESSAGE_BYTES, parseBackendMessage } from '../../src/connection/backend-parser.js';
import { MessageFramer } from '../../src/connection/message-framer.js';
import { ProtocolError } from '../../src/errors.js';
import fc from '../support/properties.js';
import { backendMessage, int16, int32, text } from './backend-bytes.js';

const TYPES = 'RSKZENATDCIGHWcd';

const EXAMPLES: [Buffer, BackendMessage][] = [
  [backendMessage('R', int32(0)), { name: 'authentication', request: { method: 'ok' } }],
  [backendMessage('R', int32(3)), { name: 'authentication', request: { method: 'password' } }],
  [
    backendMessage('R', int32(5), [1, 2, 3, 4]),
    { name: 'authentication', request: { method: 'md5', salt: Uint8Array.of(1, 2, 3, 4) } },
  ],
  [
    backendMessage('R', int32(10), text('A'), text('B'), [0]),
    { name: 'authentication', request: { method: 'sasl', mechanisms: ['A', 'B'] } },
  ],
  [
    backendMessage('R', int32(11), Buffer.from('r=x')),
    { name: 'authentication', request: { method: 'sasl-continue', data: 'r=x' } },
  ],
  [
    backendMessage('R', int32(12), Buffer.from('v=x')),
    { name: 'authentication', request: { method: 'sasl-final', data: 'v=x' } },
  ],
  [backendMessage('R', int32(7)), { name: 'authentication', request: { method: 'unsupported', title: 'GSSAPI' } }],
  [
    backendMessage('S', text('TimeZone'), text('UTC')),
    { name: 'parameterStatus', parameter: 'TimeZone', value: 'UTC' },
  ],
  [backendMessage('K', int32(7), int32(-9)), { name: 'backendKeyData', processId: 7, secretKey: -9 }],
  [backendMessage('Z', Buffer.from('T')), { name: 'readyForQuery', status: 'transaction' }],
  [
    backendMessage('E', text('SERROR'), text('C22012'), text('Mno'), [0]),
    {
      name: 'errorResponse',
      fields: {
        severity: 'ERROR',
        sqlState: '22012',
        message: 'no',
        detail: undefined,
        hint: undefined,
        where: undefined,
      },
    },
  ],
  [
    backendMessage('N', text('SWARNING'), text('C01000'), text('Mm'), text('Dd'), text('Hh'), [0]),
    {
      name: 'noticeResponse',
      fields: { severity: 'WARNING', sqlState: '01000', message: 'm', detail: 'd', hint: 'h', where: undefined },
    },
  ],
  [
    backendMessage('T', int16(1), text('c'), int32(0), int16(0), int32(25), int16(-1), int32(-1), int16(0)),
    { name: 'rowDescription', columns: ['c'] },
  ],
  [
    backendMessage('D', int16(2), int32(-1), int32(2), Buffer.from('é')),
    { name: 'dataRow', values: [null, 'é'], bytes: 17 },
  ],
  [backendMessage('C', text('SELECT 1')), { name: 'commandComplete', command: 'SELECT 1' }],
  [backendMessage('I'), { name: 'emptyQueryResponse' }],
  [backendMessage('G', [0], int16(0)), { name: 'copyInResponse' }],
  [backendMessage('H', [0], int16(0)), { name: 'copyOutResponse' }],
  [backendMessage('W', [0], int16(0)), { name: 'copyBothResponse' }],
  [backendMessage('c'), { name: 'copyDone' }],
  [backendMessage('d', [1, 2]), { name: 'copyData', payload: Uint8Array.of(1, 2) }],
];

test('every message type decodes', () => {
  for (const [bytes, expected] of EXAMPLES) assert.deepEqual(parseBackendMessage(bytes), expected);
});

test('what is decoded does not change with the memory it came from', () => {
  for (const [bytes, expected] of EXAMPLES) {
    const memory = Buffer.from(bytes);
    const message = parseBackendMessage(memory);
    memory.fill(0xff);
    assert.deepEqual(message, expected);
  }
});

test('malformed messages are ProtocolErrors with a tag', () => {
  const malformed: [string, Buffer][] = [
    ['an ErrorResponse without its end', backendMessage('E', text('SERROR'))],
    ['an empty ErrorResponse', backendMessage('E')],
    ['an ErrorResponse with more after its end', backendMessage('E', [0], text('SERROR'))],
    ['a field without its NUL', backendMessage('N', Buffer.from('Sxy'))],
    ['AuthenticationOk with a tail', backendMessage('R', int32(0), [1])],
    ['a cleartext request of a wrong length, which pg-protocol takes for Ok', backendMessage('R', int32(3), [1])],
    ['an MD5 request without its salt', backendMessage('R', int32(5))],
    ['an Authentication without its kind', backendMessage('R', [0])],
    ['a row that claims more columns', backendMessage('D', int16(2), int32(-1))],
    ['a row with a column beyond its end', backendMessage('D', int16(1), int32(9), [1])],
    ['a row with a tail', backendMessage('D', int16(0), [1])],
    ['a row with a negative length', backendMessage('D', int16(1), int32(-2))],
    ['a row with a negative count', backendMessage('D', int16(-1))],
    ['a RowDescription cut short', backendMessage('T', int16(2), text('c'), int32(0))],
    ['a BackendKeyData cut short', backendMessage('K', int32(1))],
    ['an unknown transaction status', backendMessage('Z', Buffer.from('X'))],
    ['no transaction status', backendMessage('Z')],
  ];
  for (const [what, bytes] of malformed) {
    assert.throws(
      () => parseBackendMessage(bytes),
      (error) => error instanceof ProtocolError && error.tag === String.fromCharCode(bytes[0] ?? 0),
      what,
    );
  }
  assert.throws(() => parseBackendMessage(backendMessage('v', int32(1))), /unknown message type 0x76/);
  assert.throws(() => parseBackendMessage(Uint8Array.of(0x5a, 0, 0, 0, 9, 0x49)), ProtocolError);
  assert.throws(() => parseBackendMessage(new Uint8Array(0)), ProtocolError);
});

test('property: any body of any type is a message or a ProtocolError, soon', () => {
  const type = fc.constantFrom(...TYPES, 'v', '\0');
  const part = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.constantFrom(int16(1), int16(-1), int32(-1), int32(0x7fffffff), int32(10), text('SCRAM'), Buffer.from([0])),
  );
  fc.assert(
    fc.property(type, fc.array(part, { maxLength: 6 }), (tag, parts) => {
      try {
        parseBackendMessage(backendMessage(tag, ...parts));
      } catch (error) {
        assert.ok(error instanceof ProtocolError, String(error));
      }
    }),
    { numRuns: 3000 },
  );
});

test('property: the framer cuts the same messages wherever the bytes are split', () => {
  const example = fc.constantFrom(...EXAMPLES);
  fc.assert(
    fc.property(
      fc.array(example, { minLength: 1 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
      (all, sizes) => {
        const bytes = Buffer.concat(all.map(([message]) => message));
        const framer = new MessageFramer();
        const messages: BackendMessage[] = [];
        for (let offset = 0; offset < bytes.length; ) {
          const size = sizes.next().value;
          framer.push(bytes.subarray(offset, offset + size), (message) => messages.push(parseBackendMessage(message)));
          offset += size;
        }
        assert.deepEqual(
          messages,
          all.map(([, message]) => message),
        );
        assert.equal(framer.incomplete.length, 0);
      },
    ),
  );
});

test('the framer keeps what is incomplete', () => {
  const framer = new MessageFramer();
  const bytes = backendMessage('S', text('a'), text('b'));
  framer.push(Buffer.concat([backendMessage('c'), bytes.subarray(0, 7)]), () => {});
  assert.deepEqual([...framer.incomplete], [...bytes.subarray(0, 7)]);
});

test('lengths that are impossible or beyond the bound are refused at the header, whatever it claims', () => {
  for (const length of [0, 3, MAX_MESSAGE_BYTES, 0x7fffffff, 0xffffffff]) {
    const header = Buffer.from([0x44, 0, 0, 0, 0]);
    header.writeUInt32BE(length, 1);
    for (const split of [5, 1, 3]) {
      const framer = new MessageFramer();
      assert.throws(() => {
        framer.push(header.subarray(0, split), () => assert.fail('a message'));
        framer.push(header.subarray(split), () => assert.fail('a message'));
        framer.push(Buffer.alloc(1), () => {});
      }, ProtocolError);
    }
  }
  assert.throws(() => new MessageFramer().push(Buffer.from('HTTP/1.1 400'), () => {}), ProtocolError);
});

test('memory follows what has come, not what a header claims', () => {
  const header = Buffer.from([0x44, 0, 0, 0, 0]);
  header.writeUInt32BE(MAX_MESSAGE_BYTES - 1, 1);
  const before = process.memoryUsage().arrayBuffers;
  const framer = new MessageFramer();
  framer.push(header, () => {});
  framer.push(Buffer.alloc(100), () => {});
  assert.ok(process.memoryUsage().arrayBuffers - before < 1024 * 1024);
  assert.equal(framer.incomplete.length, 105);
});
