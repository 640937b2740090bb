import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { indexArchive } from '../../src/backup/archive-index.js';
import { encodeTarHeader, parseTarHeader, resizeTarHeader } from '../../src/backup/tar-header.js';
import { tarArchive, tarMember } from '../../src/testing/tar-archive.js';
import fc from '../support/properties.js';
import { temporaryFolder } from './copied-backup.js';

const member = fc
  .record({ name: fc.stringMatching(/^[a-z\u0080-\u00ff]{1,90}$/), length: fc.nat(3000), fill: fc.nat(255) })
  .map(({ name, length, fill }) => ({ name, content: Buffer.alloc(length, fill) }));

suite('an archive on disk', () => {
  test('is read by its headers alone', async (t) => {
    const path = join(await temporaryFolder(t), 'base.tar');
    await fc.assert(
      fc.asyncProperty(fc.array(member, { maxLength: 6 }), async (members) => {
        const bytes = tarArchive(...members);
        await writeFile(path, bytes);
        const index = await indexArchive(path);
        assert.equal(index.problem, undefined);
        const found = index.members.map((one) => ({
          name: one.path,
          content: bytes.subarray(one.offset, one.offset + one.size),
        }));
        assert.deepEqual(found, members);
      }),
      { numRuns: 50 },
    );
  });

  test('cut off anywhere is not taken for whole', async (t) => {
    const path = join(await temporaryFolder(t), 'base.tar');
    await fc.assert(
      fc.asyncProperty(fc.array(member, { minLength: 1, maxLength: 4 }), fc.nat(), async (members, choice) => {
        const bytes = tarArchive(...members);
        await writeFile(path, bytes.subarray(0, choice % bytes.length));
        assert.notEqual((await indexArchive(path)).problem, undefined);
      }),
      { numRuns: 50 },
    );
  });

  test('of random bytes gives a problem, never a crash', async (t) => {
    const path = join(await temporaryFolder(t), 'base.tar');
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 4000 }), async (bytes) => {
        await writeFile(path, bytes);
        assert.notEqual((await indexArchive(path)).problem, undefined);
      }),
      { numRuns: 50 },
    );
  });
});

test('headers that are written are read, for files of any size', () => {
  for (const size of [0, 1, 2 ** 33 - 1, 2 ** 33, 2 ** 45]) {
    const header = encodeTarHeader('000000010000000000000002', size, 0o600);
    const expected = { kind: 'file', path: '000000010000000000000002', target: '' };
    assert.deepEqual(parseTarHeader(header), { ...expected, size });
    assert.deepEqual(parseTarHeader(resizeTarHeader(header, size + 5)), { ...expected, size: size + 5 });
  }
  // All but size and checksum stay.
  const theirs = tarMember({ name: 'postgresql.auto.conf', content: 'x' }).subarray(0, 512);
  const ours = resizeTarHeader(theirs, 77);
  assert.equal(ours.toString('latin1', 0, 100), theirs.toString('latin1', 0, 100));
  assert.equal(Number.parseInt(ours.toString('latin1', 100, 107), 8), 0o600);
});
