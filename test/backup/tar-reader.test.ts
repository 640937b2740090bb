import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type TarOrigin, TarReader } from '../../src/backup/tar-reader.js';
import { BackupError } from '../../src/errors.js';
import { TAR_END, type TarEntry, tarArchive, tarMember } from '../../src/testing/tar-archive.js';
import fc from '../support/properties.js';

/** What was read, as text; pushes the bytes in pieces of these sizes, over and over. */
function read(
  archive: Buffer,
  origin: TarOrigin = 'server',
  pieces: readonly number[] = [archive.length || 1],
): string[] {
  const log: string[] = [];
  let content: Buffer[] = [];
  const reader = new TarReader('base.tar', origin, {
    onMember: ({ kind, path, size, target }) => log.push(`${kind} ${path} ${size}${target && ` -> ${target}`}`),
    onContent: (bytes, start, end) => content.push(Buffer.from(bytes.subarray(start, end))),
    onMemberEnd: () => {
      log.push(Buffer.concat(content).toString('latin1'));
      content = [];
    },
  });
  for (let at = 0, i = 0; at < archive.length; i++) {
    const end = Math.min(archive.length, at + (pieces[i % pieces.length] ?? 1));
    reader.push(archive, at, end);
    at = end;
  }
  reader.end();
  return log;
}

const ENTRIES: readonly TarEntry[] = [
  { name: 'backup_label', content: 'START' },
  { name: 'base/', type: '5' },
  { name: './pg_wal', type: '5' },
  { name: 'empty' },
  { name: 'full', content: 'f'.repeat(1024) },
  { name: 'n\xe4me\xff', content: 'bytes' },
  { name: 'pg_tblspc/16385', type: '2', linkName: '/srv/one' },
];
const WHOLE = tarArchive(...ENTRIES);
const LOG = [
  'file backup_label 5',
  'START',
  'directory base 0',
  'directory pg_wal 0',
  'file empty 0',
  '',
  'file full 1024',
  'f'.repeat(1024),
  'file n\xe4me\xff 5',
  'bytes',
  'symlink pg_tblspc/16385 0 -> /srv/one',
];

suite('tar archives', () => {
  test('members, wherever the bytes are cut', () => {
    assert.deepEqual(read(WHOLE), LOG);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 1500 }), { minLength: 1, maxLength: 8 }), (pieces) => {
        assert.deepEqual(read(WHOLE, 'server', pieces), LOG);
      }),
    );
  });

  test('without the blocks of zeros, as 14 sends them', () => {
    assert.deepEqual(read(WHOLE.subarray(0, -TAR_END.length), 'server-14'), LOG);
  });

  test('files larger than octal digits can say', () => {
    const size = 2 ** 40;
    const bytes = Buffer.alloc(12);
    bytes[0] = 0x80;
    bytes.writeUIntBE(size, 6, 6);
    const header = tarMember({ name: 'large', patch: { at: 124, bytes } });
    const sizes: number[] = [];
    const handler = {
      onMember: (member: { size: number }) => sizes.push(member.size),
      onContent: () => {},
      onMemberEnd: () => {},
    };
    new TarReader('base.tar', 'server', handler).push(header, 0, 512);
    assert.deepEqual(sizes, [size]);
  });

  test('cut anywhere, at the end of a member too, it is refused', () => {
    for (let length = 0; length < WHOLE.length; length += 128) {
      assert.throws(() => read(WHOLE.subarray(0, length)), BackupError, String(length));
    }
  });

  const REFUSED: Readonly<Record<string, Buffer>> = {
    'a name that climbs': tarArchive({ name: '../evil', content: 'x' }),
    'a name that climbs later': tarArchive({ name: 'base/../../evil', content: 'x' }),
    'an absolute name': tarArchive({ name: '/etc/passwd', content: 'x' }),
    'an absolute name behind a dot': tarArchive({ name: './/etc/passwd', content: 'x' }),
    'an empty name': tarArchive({ name: '', content: 'x' }),
    'the folder itself': tarArchive({ name: './', type: '5' }),
    'a dot inside': tarArchive({ name: 'base/./1', content: 'x' }),
    'a file that ends like a folder': tarArchive({ name: 'base/', content: 'x' }),
    'a NUL in a name': tarArchive({ name: 'good\0bad', content: 'x' }),
    'a NUL in the name of a link': tarArchive({ name: 'pg_tblspc/1', type: '2', linkName: '/a\0/b' }),
    'a prefix that climbs': tarArchive({ name: 'evil', patch: { at: 345, bytes: Buffer.from('../..') } }),
    'a hard link': tarArchive({ name: 'a', type: '1', linkName: '/etc/passwd' }),
    'a device': tarArchive({ name: 'a', type: '3' }),
    'a FIFO': tarArchive({ name: 'a', type: '6' }),
    'an old file type': tarArchive({ name: 'a', type: '\0' }),
    'a PAX header': tarArchive({ name: 'pax', type: 'x', content: '20 path=../evil\n' }, { name: 'a' }),
    'a global PAX header': tarArchive({ name: 'pax', type: 'g', content: '20 path=../evil\n' }),
    'a GNU long name of 4 GiB': tarArchive({ name: '././@LongLink', type: 'L', size: 0x1_0000_0000 }),
    'a GNU long link': tarArchive({ name: '././@LongLink', type: 'K', content: '../evil' }),
    'a folder with content': tarArchive({ name: 'a/', type: '5', size: 512 }),
    'a negative size': tarArchive({ name: 'a', patch: { at: 124, bytes: Buffer.alloc(12, 0xff) } }),
    'a size beyond 2^53': tarArchive({
      name: 'a',
      patch: { at: 124, bytes: Buffer.from([0x80, ...Array(11).fill(0xff)]) },
    }),
    'a size that is no number': tarArchive({ name: 'a', patch: { at: 124, bytes: Buffer.from('zzzzzzzzzzz ') } }),
    'a wrong header checksum': Buffer.from(WHOLE).fill('x', 3, 4),
    'no tar at all': Buffer.alloc(2048, 'junk'),
    nothing: Buffer.alloc(0),
    'one block of zeros': WHOLE.subarray(0, -512),
    'three blocks of zeros': Buffer.concat([WHOLE, Buffer.alloc(512)]),
    'a member behind the zeros': Buffer.concat([WHOLE, tarMember({ name: 'late', content: 'x' })]),
    'a member between the zeros': Buffer.concat([WHOLE.subarray(0, -512), tarMember({ name: 'late' })]),
  };
  for (const [what, archive] of Object.entries(REFUSED)) {
    test(`refused: ${what}`, () => {
      assert.throws(() => read(archive), BackupError);
    });
  }

  test('refused without a trailer: zeros', () => {
    assert.throws(() => read(WHOLE, 'server-14'), BackupError);
  });

  test('on disk, where another tar has packed it', () => {
    const packed = Buffer.concat([tarMember({ name: './', type: '5' }), WHOLE, Buffer.alloc(8192)]);
    assert.deepEqual(read(packed, 'disk'), LOG);
    assert.throws(() => read(packed, 'server'), BackupError);
    assert.throws(() => read(WHOLE.subarray(0, -512), 'disk'), BackupError);
    assert.throws(() => read(Buffer.concat([packed, WHOLE]), 'disk'), BackupError);
    assert.throws(() => read(tarArchive({ name: '../evil', content: 'x' }), 'disk'), BackupError);
  });

  test('any bytes give a typed error or a reading, never anything else', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(WHOLE.length - 1), fc.nat(255)), { maxLength: 4 }), (changes) => {
        const bytes = Buffer.from(WHOLE);
        for (const [at, value] of changes) bytes[at] = value;
        try {
          read(bytes);
        } catch (error) {
          assert.ok(error instanceof BackupError, String(error));
        }
      }),
    );
  });
});
