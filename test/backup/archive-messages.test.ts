import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { createArchiveReader } from '../../src/backup/archive-messages.js';
import { type BackupTablespace, isInPlace, parseTablespaces } from '../../src/backup/tablespace.js';
import { ProtocolError } from '../../src/errors.js';
import { text } from '../connection/backend-bytes.js';

const TABLESPACES: readonly BackupTablespace[] = [
  { oid: 16385, location: '/srv/one', sizeKb: 10 },
  { oid: undefined, location: '', sizeKb: 20 },
];
const n = (name: string, location: string) => Buffer.concat([Buffer.from('n'), text(name), text(location)]);
const d = (content: string) => Buffer.from(`d${content}`);
const p = Buffer.concat([Buffer.from('p'), Buffer.alloc(8)]);
const m = Buffer.from('m');
const [ONE, BASE] = [n('16385.tar', '/srv/one'), n('base.tar', '')];

/** What comes out of these COPYs, each a list of payloads. */
function read(
  copies: readonly (readonly Uint8Array[])[],
  serverVersion: number,
  manifest = true,
  suffix = '',
): string[] {
  const log: string[] = [];
  let bytes = Buffer.alloc(0);
  const reader = createArchiveReader({ tablespaces: TABLESPACES, manifest, suffix }, serverVersion, {
    onArchive: (index) => log.push(`archive ${index}`),
    onArchiveData: (start, end) => log.push(bytes.toString('latin1', start, end)),
    onManifest: () => log.push('manifest'),
    onManifestData: (start, end) => log.push(bytes.toString('latin1', start, end)),
    onDone: (byteCount) => log.push(`done ${byteCount}`),
  });
  for (const payloads of copies) {
    reader.onCopyStart();
    for (const payload of payloads) {
      bytes = Buffer.concat([Buffer.from('before'), payload, Buffer.from('behind')]);
      reader.onCopyData(bytes, 6, 6 + payload.length);
    }
  }
  reader.expectEnd();
  return log;
}

suite('messages of a backup', () => {
  test('15 and later', () => {
    const payloads = [ONE, d('a'), p, d('b'), BASE, d('c'), m, d('{'), d('}')];
    assert.deepEqual(read([payloads], 150_000), [
      'archive 0',
      'a',
      'done 0',
      'b',
      'archive 1',
      'c',
      'manifest',
      '{',
      '}',
    ]);
    assert.deepEqual(read([[ONE, BASE]], 180_000, false), ['archive 0', 'archive 1']);
  });

  test('archives that the server compresses have names that say so', () => {
    const names = [n('16385.tar.gz', '/srv/one'), n('base.tar.gz', '')];
    assert.deepEqual(read([names], 180_000, false, '.gz'), ['archive 0', 'archive 1']);
    assert.throws(() => read([[ONE, BASE]], 180_000, false, '.gz'), ProtocolError);
    assert.throws(() => read([names], 180_000, false), ProtocolError);
  });

  test('14', () => {
    const copies = [['ab', 'c'], [], ['{}']].map((payloads) => payloads.map((payload) => Buffer.from(payload)));
    assert.deepEqual(read(copies, 140_010), ['archive 0', 'ab', 'c', 'archive 1', 'manifest', '{}']);
    assert.deepEqual(read(copies.slice(0, 2), 140_010, false), ['archive 0', 'ab', 'c', 'archive 1']);
  });

  const REFUSED: Readonly<Record<string, readonly (readonly Uint8Array[])[]>> = {
    'bytes before a name': [[d('a')]],
    'an unknown archive': [[n('16386.tar', '/srv/one')]],
    'an archive with another location': [[n('16385.tar', '/etc')]],
    'an archive with a path for a name': [[n('../base.tar', '')]],
    'archives out of order': [[BASE]],
    'the same archive twice': [[ONE, ONE]],
    'an archive too many': [[ONE, BASE, BASE]],
    'a name without its end': [[Buffer.from('nbase')]],
    'a name with something behind it': [[Buffer.concat([ONE, Buffer.from('x')])]],
    'a progress of 4 bytes': [[ONE, Buffer.from('pxxxx')]],
    'an unknown type': [[ONE, Buffer.from('x')]],
    'an empty message': [[ONE, Buffer.alloc(0)]],
    'a manifest before the last archive': [[ONE, m]],
    'an archive behind the manifest': [[ONE, BASE, m, BASE]],
    'progress behind the manifest': [[ONE, BASE, m, p]],
    'a second manifest': [[ONE, BASE, m, m]],
    'a manifest with content in its announcement': [[ONE, BASE, Buffer.from('m{}')]],
    'a second COPY': [[ONE, BASE, m], []],
    'the last archive missing': [[ONE]],
    'the manifest missing': [[ONE, BASE]],
    nothing: [],
  };
  for (const [what, copies] of Object.entries(REFUSED)) {
    test(`refused: ${what}`, () => {
      assert.throws(() => read(copies, 180_000), ProtocolError);
    });
  }

  test('refused: a manifest that nobody asked for', () => {
    assert.throws(() => read([[ONE, BASE, m]], 180_000, false), ProtocolError);
  });

  test('refused on 14: too few COPYs, and too many', () => {
    for (const count of [0, 1, 2, 4])
      assert.throws(() => read(Array(count).fill([]), 140_000), ProtocolError, String(count));
  });
});

suite('tablespaces', () => {
  const parse = (rows: (string | null)[][]) =>
    parseTablespaces({ columns: ['spcoid', 'spclocation', 'size'], rows, command: 'SELECT' });

  test('rows', () => {
    assert.deepEqual(
      parse([
        ['16385', '/srv/one', '10'],
        [null, null, '20'],
      ]),
      TABLESPACES,
    );
    assert.deepEqual(parse([[null, null, null]]), [{ oid: undefined, location: '', sizeKb: undefined }]);
  });

  test('in place, only under its own name', () => {
    assert.equal(isInPlace({ oid: 5, location: 'pg_tblspc/5', sizeKb: 1 }), true);
    assert.equal(isInPlace({ oid: 5, location: 'pg_tblspc/6', sizeKb: 1 }), false);
  });

  const REFUSED: Readonly<Record<string, (string | null)[][]>> = {
    'no rows': [],
    'no data directory': [['1', '/a', '1']],
    'the data directory first': [
      [null, null, '1'],
      ['1', '/a', '1'],
    ],
    'two data directories': [
      [null, null, '1'],
      [null, null, '1'],
    ],
    'the same twice': [
      ['1', '/a', '1'],
      ['1', '/b', '1'],
      [null, null, '1'],
    ],
    'an OID that is a path': [
      ['../1', '/a', '1'],
      [null, null, '1'],
    ],
    'an OID beyond 32 bits': [
      ['4294967296', '/a', '1'],
      [null, null, '1'],
    ],
    'no location': [
      ['1', null, '1'],
      [null, null, '1'],
    ],
    'a location that is not UTF-8': [
      ['1', '/\ufffd', '1'],
      [null, null, '1'],
    ],
  };
  for (const [what, rows] of Object.entries(REFUSED)) {
    test(`refused: ${what}`, () => {
      assert.throws(() => parse(rows), ProtocolError);
    });
  }
});
