import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import * as embedded from '../src/embedded.js';
import * as main from '../src/index.js';
import * as pgoutput from '../src/pgoutput/index.js';
import * as testing from '../src/testing/index.js';

/** What users can import is a promise: it grows on purpose only, and shrinks never by accident. */
const NAMES = [
  'AppliedPosition',
  'AuthenticationError',
  'BackupError',
  'BaseBackup',
  'BeginEvent',
  'BeginPrepareEvent',
  'CommitEvent',
  'CommitPreparedEvent',
  'ConfigurationError',
  'ConnectionError',
  'DecodeError',
  'DeleteEvent',
  'InsertEvent',
  'Lsn',
  'ManifestMismatchError',
  'MessageEvent',
  'OriginEvent',
  'PrepareEvent',
  'PreparedTransaction',
  'ProtocolError',
  'RelationEvent',
  'ReplicationConnection',
  'RollbackPreparedEvent',
  'ServerError',
  'SlotError',
  'SpillError',
  'StreamAbortEvent',
  'StreamCommitEvent',
  'StreamPrepareEvent',
  'StreamStartEvent',
  'StreamStopEvent',
  'TimeoutError',
  'Transaction',
  'TruncateEvent',
  'TypeEvent',
  'UNCHANGED',
  'UpdateEvent',
  'ValidationError',
  'WalReceiver',
  'WalStream',
  'WalStreamError',
  'WorkerError',
  'advanceSlot',
  'createPublication',
  'createSlot',
  'dropPublication',
  'dropSlot',
  'findPublication',
  'findSlot',
  'isChangeOf',
  'isRowEvent',
  'listBlockingTransactions',
  'listPublications',
  'listSlots',
  'preflight',
  'resolveConnectionConfig',
  'verifyBackup',
  'writeTableTypes',
];

const PGOUTPUT_NAMES = [
  'ConfigurationError',
  'DecodeError',
  'PgoutputDecoder',
  'TupleValue',
  'UNCHANGED',
  'encodeMessage',
  'keyFromTuple',
  'rowFromTuple',
];

const TESTING_NAMES = [
  'ConfigurationError',
  'FakeBackup',
  'FakeSlot',
  'FakeWalSender',
  'TapeRelation',
  'TupleValue',
  'UNCHANGED',
  'WalTape',
  'emitMessage',
  'savepoint',
  'truncate',
];

suite('public exports', () => {
  test('pg-walstream', () => {
    assert.deepEqual(Object.keys(main).sort(), NAMES);
  });

  test('pg-walstream/pgoutput', () => {
    assert.deepEqual(Object.keys(pgoutput).sort(), PGOUTPUT_NAMES);
  });

  test('pg-walstream/testing', () => {
    assert.deepEqual(Object.keys(testing).sort(), TESTING_NAMES);
  });

  test('pg-walstream/embedded', () => {
    assert.deepEqual(Object.keys(embedded), ['EmbeddedServer']);
  });

  test("package.json names files that are built, by the package's own name", async () => {
    const root = new URL('../../', import.meta.url);
    const manifest = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));
    for (const [path, target] of Object.entries<string | Record<string, string>>(manifest.exports)) {
      for (const file of typeof target === 'string' ? [target] : Object.values(target)) {
        assert.ok(readFileSync(new URL(file, root)).length > 0, `${path}: ${file}`);
      }
    }
    const self = await import(manifest.name);
    assert.equal(self.WalStream, main.WalStream);
    assert.deepEqual(Object.keys(await import(`${manifest.name}/pgoutput`)), Object.keys(pgoutput));
    assert.deepEqual(Object.keys(await import(`${manifest.name}/testing`)), Object.keys(testing));
    assert.deepEqual(Object.keys(await import(`${manifest.name}/opentelemetry`)), ['observeMetrics']);
    assert.deepEqual(Object.keys(await import(`${manifest.name}/prometheus`)), ['registerMetrics']);
    assert.deepEqual(Object.keys(await import(`${manifest.name}/embedded`)), Object.keys(embedded));
    await assert.rejects(import(`${manifest.name}/dist/src/options.js`), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' });
  });

  test('importing it starts nothing', () => {
    const left = process.getActiveResourcesInfo().filter((name) => /TCP|Worker|MessagePort/.test(name));
    assert.deepEqual(left, []);
  });
});
