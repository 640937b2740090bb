import assert from 'node:assert/strict';
import { appendFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { copyBackup, temporaryFolder } from '../backup/copied-backup.js';
import { sharedServer, sql } from '../support/server.js';
import { runToEnd } from './command-line.js';

const server = sharedServer({ settings: { wal_keep_size: '256MB' } });

test('verifybackup says what is good and what is not', async (t) => {
  const directory = join(await temporaryFolder(t), 'backup');
  await copyBackup(server(), directory);
  assert.deepEqual(await runToEnd(['verifybackup', directory]), {
    code: 0,
    signal: null,
    stdout: 'backup successfully verified\n',
    stderr: '',
  });
  const quiet = await runToEnd(['verifybackup', '-q', '-P', directory]);
  assert.equal(quiet.code, 0);
  assert.equal(quiet.stdout, '');
  assert.match(quiet.stderr, /\(100 %\) verified\n$/);

  await appendFile(join(directory, 'pg_hba.conf'), '#');
  await appendFile(join(directory, 'pg_ident.conf'), '#');
  const bad = await runToEnd(['verifybackup', directory, '-n', '-i', 'pg_ident.conf']);
  assert.equal(bad.code, 1);
  assert.equal(bad.stdout, '');
  assert.match(bad.stderr, /^pg-walstream: "pg_hba.conf": has size \d+ on disk but size \d+ in the manifest\n$/);
});

test('receivewal ends at its position', async (t) => {
  const directory = await temporaryFolder(t);
  const slot = ['-S', 'archive', '--create-slot'];
  // So that the position is inside of a segment.
  await sql(server(), 'CREATE TABLE inside AS SELECT generate_series(1, 100)');
  const [row] = await sql(server(), 'SELECT pg_current_wal_flush_lsn()::text AS lsn');
  const args = [
    'receivewal',
    '-D',
    directory,
    '-d',
    server().connectionString(),
    ...slot,
    '--endpos',
    String(row?.lsn),
  ];
  assert.deepEqual(await runToEnd(args), { code: 0, signal: null, stdout: '', stderr: '' });
  assert.match((await readdir(directory)).join(), /^([0-9A-F]{24},)*[0-9A-F]{24}\.partial$/);
  const missing = await runToEnd(['receivewal', '-D', directory, '-d', server().connectionString(), '-S', 'nowhere']);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /^pg-walstream: slot nowhere does not exist\n$/);
});
