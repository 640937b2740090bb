import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseManifest, showPath } from '../../src/backup/manifest.js';
import { MANIFEST_CHECKSUM_ALGORITHMS, ManifestChecksum } from '../../src/backup/manifest-checksum.js';
import { BackupError } from '../../src/errors.js';
import { manifestBytes, sealManifest } from '../../src/testing/manifest-bytes.js';
import fc from '../support/properties.js';

const FILE =
  '{ "Path": "base/1/1255", "Size": 8192, "Last-Modified": "2026-01-01 00:00:00 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "0a1B2c3d" }';
const RANGE = '{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "1/2000158" }';

suite('manifest', () => {
  test('version 1', () => {
    const manifest = parseManifest([manifestBytes({ files: [FILE], walRanges: [RANGE] })]);
    assert.equal(manifest.version, 1);
    assert.equal(manifest.systemIdentifier, undefined);
    assert.deepEqual(
      [...manifest.files.values()],
      [{ path: 'base/1/1255', size: 8192, algorithm: 'CRC32C', checksum: '0a1b2c3d' }],
    );
    assert.deepEqual(manifest.walRanges, [{ timeline: 1, startLsn: 0x2000028n, endLsn: 0x1_0200_0158n }]);
  });

  test('version 2 with a system identifier that no double holds', () => {
    const { systemIdentifier } = parseManifest([
      manifestBytes({ version: 2, systemIdentifier: '7500000000000000001' }),
    ]);
    assert.equal(systemIdentifier, 7500000000000000001n);
  });

  test('names of any bytes', () => {
    const files = [
      '{ "Encoded-Path": "62ff80", "Size": 1, "Last-Modified": "x" }',
      '{ "Path": "gr\u00fc\\"n", "Size": 2, "Last-Modified": "x" }',
    ];
    const paths = [...parseManifest([manifestBytes({ files })]).files.keys()];
    assert.deepEqual(paths, ['b\xff\x80', Buffer.from('gr\u00fc"n').toString('latin1')]);
    assert.deepEqual(paths.map(showPath), ['b\xff\\x80', 'gr\u00fc"n']);
  });

  const FAULTS: Readonly<Record<string, Buffer>> = {
    'another version': manifestBytes({ version: 3 }),
    'version 2 without an identifier': manifestBytes({ version: 2 }),
    'version 1 with an identifier': manifestBytes({ systemIdentifier: '1' }),
    'an identifier beyond 64 bits': manifestBytes({ version: 2, systemIdentifier: '18446744073709551616' }),
    'no version first': sealManifest('{ "Files": [], "PostgreSQL-Backup-Manifest-Version": 1, "WAL-Ranges": [],\n'),
    'an unknown field': sealManifest('{ "PostgreSQL-Backup-Manifest-Version": 1, "Other": 1,\n'),
    'no WAL ranges': sealManifest('{ "PostgreSQL-Backup-Manifest-Version": 1, "Files": [],\n'),
    'a field twice': sealManifest('{ "PostgreSQL-Backup-Manifest-Version": 1, "Files": [], "Files": [],\n'),
    'the same path twice': manifestBytes({ files: [FILE, FILE] }),
    'two paths': manifestBytes({ files: ['{ "Path": "a", "Encoded-Path": "61", "Size": 1 }'] }),
    'no path': manifestBytes({ files: ['{ "Size": 1 }'] }),
    'no size': manifestBytes({ files: ['{ "Path": "a" }'] }),
    'a negative size': manifestBytes({ files: ['{ "Path": "a", "Size": -1 }'] }),
    'a size that no number holds': manifestBytes({ files: ['{ "Path": "a", "Size": 9007199254740993 }'] }),
    'a checksum without its algorithm': manifestBytes({ files: ['{ "Path": "a", "Size": 1, "Checksum": "00" }'] }),
    'an unknown algorithm': manifestBytes({ files: [FILE.replace('CRC32C', 'MD5')] }),
    'a checksum of another length': manifestBytes({ files: [FILE.replace('CRC32C', 'SHA256')] }),
    'a checksum that is not hex': manifestBytes({ files: [FILE.replace('0a1B', '0x1B')] }),
    'an unknown field of a file': manifestBytes({ files: ['{ "Path": "a", "Size": 1, "Mode": 1 }'] }),
    'invalid UTF-8': sealManifest(manifestBytes({ files: [FILE] }).toString()).fill(0xff, 90, 91),
    'a WAL range without its end': manifestBytes({ walRanges: ['{ "Timeline": 1, "Start-LSN": "0/1" }'] }),
    'a WAL range that runs backwards': manifestBytes({ walRanges: [RANGE.replace('1/2', '0/1')] }),
    'timeline 0': manifestBytes({ walRanges: [RANGE.replace('1', '0')] }),
    'no LSN': manifestBytes({ walRanges: [RANGE.replace('0/2000028', '2000028')] }),
    'a checksum of other bytes': Buffer.from(
      manifestBytes({ files: [FILE] })
        .toString()
        .replace('8192', '8193'),
    ),
    'no newline at the end': manifestBytes().subarray(0, -1),
    'something behind the end': Buffer.concat([manifestBytes(), Buffer.from('{}\n')]),
    'a checksum on the same line as others': Buffer.from(
      manifestBytes().toString().replace(',\n"Manifest', ', "Manifest'),
    ),
    'a path beyond any': manifestBytes({ files: [`{ "Path": "${'a'.repeat(1 << 20)}", "Size": 1 }`] }),
    'a number beyond any': manifestBytes({ files: [`{ "Path": "a", "Size": ${'1'.repeat(1 << 20)} }`] }),
    'a last line beyond any': Buffer.from(
      manifestBytes()
        .toString()
        .replace('"Manifest-Checksum":', `$&${' '.repeat(5000)}`),
    ),
    nothing: Buffer.alloc(0),
    'no object': Buffer.from('[]\n'),
  };
  for (const [fault, bytes] of Object.entries(FAULTS)) {
    test(`refused: ${fault}`, () => {
      assert.throws(
        () => parseManifest([bytes]),
        (error) => error instanceof BackupError && error.path === 'backup_manifest',
      );
    });
  }

  /** The bytes in pieces that are overwritten when the next is asked for. */
  function* inPieces(bytes: Buffer, lengths: Iterable<number>): Generator<Buffer> {
    const memory = Buffer.alloc(bytes.length);
    let at = 0;
    for (const length of lengths) {
      const end = Math.min(bytes.length, at + length);
      bytes.copy(memory, 0, at, end);
      yield memory.subarray(0, end - at);
      memory.fill(0x22);
      at = end;
    }
    yield Buffer.from(bytes.subarray(at));
  }

  test('the same in any pieces, lines longer than the last one is included', () => {
    const long = FILE.replace('base/1/1255', 'gr\u00fcn \\u00e9/'.repeat(300));
    const whole = manifestBytes({ files: [FILE, long], walRanges: [RANGE] });
    const expected = parseManifest([whole]);
    assert.deepEqual(parseManifest(inPieces(whole, Array(whole.length).fill(1))), expected);
    fc.assert(
      fc.property(fc.array(fc.nat(2000)), (lengths) => {
        assert.deepEqual(parseManifest(inPieces(whole, lengths)), expected);
      }),
    );
  });

  test('whoever gives the pieces is told when no more are wanted', () => {
    let left = false;
    function* pieces(): Generator<Buffer> {
      try {
        yield Buffer.from('[');
        yield Buffer.from(']');
      } finally {
        left = true;
      }
    }
    assert.throws(() => parseManifest(pieces()), BackupError);
    assert.ok(left);
  });

  test('cut anywhere, or with a byte changed, it is refused', () => {
    const whole = manifestBytes({ files: [FILE, FILE.replace('1255', '1256')], walRanges: [RANGE] });
    for (let length = 0; length < whole.length; length++) {
      assert.throws(() => parseManifest([whole.subarray(0, length)]), BackupError, String(length));
    }
    fc.assert(
      fc.property(fc.nat(whole.length - 2), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = Buffer.from(whole);
        bytes[at] = (bytes[at] ?? 0) ^ change;
        // The case of hex digits and the last line's own spaces say nothing.
        const meaning = (text: Buffer) => text.toString('latin1').toLowerCase().replace(/\s+/g, '');
        if (meaning(bytes) === meaning(whole)) return;
        assert.throws(() => parseManifest([bytes]), BackupError);
      }),
    );
  });
});

suite('manifest checksums', () => {
  const EXPECTED: Readonly<Record<string, string>> = {
    NONE: '',
    // RFC 3720 gives 0xe3069283 for these digits; a manifest has its bytes in memory order.
    CRC32C: '839206e3',
    SHA224: '9b3e61bf29f17c75572fae2e86e17809a4513d07c8a18152acf34521',
    SHA256: '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225',
    SHA384: 'eb455d56d2c1a69de64e832011f3393d45f3fa31d6842f21af92d2fe469c499da5e3179847334a18479c8d1dedea1be3',
    SHA512:
      'd9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274ad27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85',
  };
  for (const algorithm of MANIFEST_CHECKSUM_ALGORITHMS) {
    test(algorithm, () => {
      const checksum = new ManifestChecksum(algorithm);
      for (const part of ['1234', '', '56789']) checksum.update(Buffer.from(part));
      assert.equal(checksum.digest(), EXPECTED[algorithm]);
    });
  }
});
