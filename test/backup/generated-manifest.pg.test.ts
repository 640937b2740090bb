import assert from 'node:assert/strict';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { BaseBackup } from '../../src/backup/base-backup.js';
import { parseManifest } from '../../src/backup/manifest.js';
import { formatManifest, type ListedFile } from '../../src/backup/manifest-format.js';
import { verifyBackup } from '../../src/backup/verify-backup.js';
import { findClientTool, runTool, toolMajor } from '../support/client-tools.js';
import { PG_MAJOR, sharedServer } from '../support/server.js';
import { temporaryFolder } from './copied-backup.js';

suite('a manifest that is made here', () => {
  const server = sharedServer({ settings: { wal_keep_size: '256MB' } });

  for (const manifestChecksums of ['CRC32C', 'SHA256', 'NONE'] as const) {
    test(`is, byte for byte, what the server writes, with ${manifestChecksums}`, async (t) => {
      const directory = join(await temporaryFolder(t), 'backup');
      // Bytes that are no UTF-8, and a name that JSON has to escape.
      const odd = [Buffer.from([0x6f, 0x64, 0xff]), Buffer.from('o"d\\\u00e4\t')].map((name) =>
        Buffer.concat([Buffer.from(`${server().dataDirectory}/`), name]),
      );
      for (const path of odd) await writeFile(path, 'odd');
      t.after(() => Promise.all(odd.map((path) => rm(path))));
      const connection = server().connectionString();
      const options = { connection, directory, checkpoint: 'fast', sync: false, manifestChecksums } as const;
      const { manifestPath = '', systemId } = await new BaseBackup(options).run();
      const bytes = await readFile(manifestPath);
      const { version, files, walRanges } = parseManifest([bytes]);
      const times = [...bytes.toString('latin1').matchAll(/"Last-Modified": "(.*?)"/g)];
      const listed = [...files.values()].map(
        (file, n): ListedFile => ({ ...file, modifiedAt: Date.parse(times[n]?.[1] ?? '') / 1000 }),
      );
      const content = { version, systemIdentifier: BigInt(systemId), algorithm: manifestChecksums, walRanges };
      const pieces = [...formatManifest({ ...content, files: listed })];
      assert.ok(listed.length > 500 && pieces.length > 1);
      assert.equal(Buffer.concat(pieces).toString('latin1'), bytes.toString('latin1'));
    });
  }

  for (const format of ['plain', 'tar'] as const) {
    test(`makes a backup that can be verified later: ${format}`, async (t) => {
      const directory = join(await temporaryFolder(t), 'backup');
      const connection = server().connectionString();
      const result = await new BaseBackup({ connection, directory, format, checkpoint: 'fast', manifest: 'no' }).run();
      assert.deepEqual([result.verified, result.manifestPath], [false, join(directory, 'backup_manifest')]);
      assert.match(result.unverifiedReason ?? '', /made here/);
      assert.deepEqual(await verifyBackup(directory), { ok: true, problems: [] });
      const text = await readFile(result.manifestPath ?? '', 'utf8');
      assert.doesNotMatch(text, /"pg_wal\/[0-9A-F]{24}"/);
      const { mtime } = await stat(join(server().dataDirectory, 'PG_VERSION'));
      const modified = /"PG_VERSION", "Size": 3, "Last-Modified": "(.*?)"/.exec(text)?.[1];
      assert.equal(Date.parse(modified ?? ''), Math.floor(mtime.getTime() / 1000) * 1000);
      if (format === 'tar') return;

      const tool = findClientTool('pg_verifybackup');
      if (tool === undefined) return t.diagnostic('pg_verifybackup is not installed');
      const major = await toolMajor(tool);
      if (major < 17 && PG_MAJOR >= 17) return t.diagnostic('pg_verifybackup is too old');
      const args = major === PG_MAJOR ? [directory] : ['-n', directory];
      const theirs = await runTool(tool, args);
      assert.equal(theirs.exitCode, 0, theirs.stderr);
      await writeFile(join(directory, 'PG_VERSION'), '00\n');
      assert.equal((await runTool(tool, args)).exitCode, 1);
    });
  }
});
