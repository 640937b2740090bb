import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { indexArchive } from '../../src/backup/archive-index.js';
import { paddedTarBytes, parseTarHeader } from '../../src/backup/tar-header.js';
import { TarScanner } from '../../src/backup/tar-scanner.js';
import { temporaryFolder } from './copied-backup.js';

interface Member {
  readonly name: string;
  readonly content: Buffer;
}

function header(name: string, byteCount: number, type = '0'): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 'latin1');
  block.write('0000600\0', 100);
  block.write(`${byteCount.toString(8).padStart(11, '0')} `, 124);
  block.write(type, 156);
  block.write('ustar\0' + '00', 257);
  return sum(block);
}

function sum(block: Buffer): Buffer {
  block.fill(' ', 148, 156);
  const total = block.reduce((sofar, byte) => sofar + byte, 0);
  block.write(`${total.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

function archive(members: readonly Member[]): Buffer {
  const parts = members.flatMap(({ name, content }) => [
    header(name, content.length),
    content,
    Buffer.alloc(paddedTarBytes(content.length) - content.length),
  ]);
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

function scan(pieces: readonly Buffer[]): { readonly members: Member[]; readonly problem: string | undefined } {
  const members: { name: string; parts: Buffer[] }[] = [];
  let ended = 0;
  const scanner = new TarScanner({
    onMember: ({ name }) => void members.push({ name, parts: [] }),
    onData: (bytes) => void members.at(-1)?.parts.push(Buffer.from(bytes)),
    onMemberEnd: () => void ended++,
  });
  let problem: string | undefined;
  for (const piece of pieces) problem ??= scanner.push(piece);
  problem ??= scanner.end();
  if (problem === undefined) assert.equal(ended, members.length);
  return { members: members.map(({ name, parts }) => ({ name, content: Buffer.concat(parts) })), problem };
}

const member: fc.Arbitrary<Member> = fc
  .record({ name: fc.stringMatching(/^[a-z\u0080-\u00ff]{1,90}$/), length: fc.nat(3000), fill: fc.nat(255) })
  .map(({ name, length, fill }) => ({ name, content: Buffer.alloc(length, fill) }));

describe('archives', () => {
  test('are read the same however they are cut, and by their headers alone', async (t) => {
    const path = join(await temporaryFolder(t), 'base.tar');
    await fc.assert(
      fc.asyncProperty(fc.array(member, { maxLength: 6 }), fc.integer({ min: 1, max: 2000 }), async (members, step) => {
        const bytes = archive(members);
        const pieces: Buffer[] = [];
        for (let at = 0; at < bytes.length; at += step) pieces.push(bytes.subarray(at, at + step));
        assert.deepEqual(scan(pieces), { members, problem: undefined });
        await writeFile(path, bytes);
        const index = await indexArchive(path);
        assert.equal(index.problem, undefined);
        assert.deepEqual(
          index.members.map(({ name, offset, byteCount }) => ({
            name,
            content: bytes.subarray(offset, offset + byteCount),
          })),
          members,
        );
      }),
      { numRuns: 50 },
    );
  });

  test('that are cut off anywhere are not taken for whole', async (t) => {
    const path = join(await temporaryFolder(t), 'base.tar');
    await fc.assert(
      fc.asyncProperty(fc.array(member, { minLength: 1, maxLength: 4 }), fc.nat(), async (members, choice) => {
        const bytes = archive(members);
        const cut = bytes.subarray(0, choice % bytes.length);
        assert.notEqual(scan([cut]).problem, undefined);
        await writeFile(path, cut);
        assert.notEqual((await indexArchive(path)).problem, undefined);
      }),
      { numRuns: 50 },
    );
  });

  test('of random bytes give a problem, never a crash', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 4000 }), (bytes) => {
        const { problem } = scan([Buffer.from(bytes)]);
        assert.notEqual(problem, undefined);
      }),
    );
  });

  test('hold what PostgreSQL writes, and nothing else', () => {
    assert.deepEqual(parseTarHeader(header('./pg_wal/', 0, '5'), 0), { name: 'pg_wal', byteCount: 0, type: 'folder' });
    assert.deepEqual(parseTarHeader(header('pg_tblspc/1/', 0, '2'), 0), {
      name: 'pg_tblspc/1',
      byteCount: 0,
      type: 'link',
    });
    for (const type of ['1', '3', 'L', 'x', 'g', 'S']) {
      assert.match(JSON.stringify(parseTarHeader(header('a', 0, type), 0)), /which PostgreSQL does not write/);
    }
    const large = header('a', 0);
    large.fill(0, 124, 136);
    large[124] = 0x80;
    large.writeBigUInt64BE(20n * 1024n ** 3n, 128);
    assert.deepEqual(parseTarHeader(sum(large), 0), { name: 'a', byteCount: 20 * 1024 ** 3, type: 'file' });
    large[125] = 0xff;
    assert.match(JSON.stringify(parseTarHeader(sum(large), 0)), /bad size/);
    const flipped = header('abc', 5);
    flipped[0] ^= 1;
    assert.match(JSON.stringify(parseTarHeader(flipped, 0)), /wrong checksum/);
  });
});
