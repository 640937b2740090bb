import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { checkIncremental, parseManifestSystem } from '../../src/backup/incremental-manifest.js';
import { ConfigurationError } from '../../src/errors.js';
import { manifestBytes } from '../../src/testing/manifest-bytes.js';

const ID = '7500000000000000001';
const refused = (problem: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ConfigurationError && error.option === 'incrementalFrom');
  assert.match(error.message, problem);
  return true;
};

suite('the manifest that an incremental backup builds on', () => {
  test('names its system, every digit of it', () => {
    const manifest = manifestBytes({ version: 2, systemIdentifier: ID }).toString();
    assert.equal(parseManifestSystem(manifest, 'm'), ID);
    const compact = manifest.replaceAll(/\s/g, '');
    assert.equal(parseManifestSystem(compact, 'm'), ID);
  });

  test('is refused when it is none, or of an older server', () => {
    assert.throws(() => parseManifestSystem('', 'm'), refused(/m is not a backup_manifest/));
    assert.throws(() => parseManifestSystem('{"a": 1}', 'm'), refused(/is not a backup_manifest/));
    const old = manifestBytes({ version: 1 }).toString();
    assert.throws(() => parseManifestSystem(old, 'm'), refused(/before 17/));
    // A file may be named like that.
    const file = '{ "PostgreSQL-Backup-Manifest-Version": 1,\n"Files": [\n{ "Path": "\\"System-Identifier\\": 7, " }';
    assert.throws(() => parseManifestSystem(file, 'm'), refused(/before 17/));
  });

  test('what the server must have', () => {
    const server = { version: 170_000, systemId: ID, summarizeWal: 'on' };
    checkIncremental(ID, server);
    assert.throws(() => checkIncremental('1', server), refused(/of the system 1, but the server is 75/));
    assert.throws(() => checkIncremental(ID, { ...server, summarizeWal: 'off' }), refused(/summarize_wal/));
    const old = { version: 160_004, systemId: ID, summarizeWal: undefined };
    assert.throws(() => checkIncremental(ID, old), refused(/17 or later; this server is 16\.4/));
  });
});
