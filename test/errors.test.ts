import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { inspect } from 'node:util';
import {
  AuthenticationError,
  BackupError,
  ConfigurationError,
  ConnectionError,
  DecodeError,
  isRetryableSqlState,
  ManifestMismatchError,
  ProtocolError,
  ServerError,
  SlotError,
  type SlotErrorReason,
  TimeoutError,
  WalStreamError,
  WorkerError,
} from '../src/errors.js';

const cause = new Error('why');

const ERRORS: readonly { readonly error: WalStreamError; readonly code: string; readonly retryable: boolean }[] = [
  { error: new ConfigurationError('m', { option: 'slot', cause }), code: 'ERR_CONFIGURATION', retryable: false },
  { error: new ConnectionError('m', { host: 'h', phase: 'tls', cause }), code: 'ERR_CONNECTION', retryable: true },
  {
    error: new ConnectionError('m', { host: 'h', phase: 'tls', retryable: false, cause }),
    code: 'ERR_CONNECTION',
    retryable: false,
  },
  {
    error: new TimeoutError('m', { host: 'h', phase: 'streaming', timeoutMs: 5, cause }),
    code: 'ERR_TIMEOUT',
    retryable: true,
  },
  { error: new AuthenticationError('m', { method: 'md5', cause }), code: 'ERR_AUTHENTICATION', retryable: false },
  {
    error: new ServerError('m', { sqlState: '57P01', severity: 'FATAL', cause }),
    code: 'ERR_SERVER',
    retryable: true,
  },
  {
    error: new ServerError('m', { sqlState: '42601', severity: 'ERROR', cause }),
    code: 'ERR_SERVER',
    retryable: false,
  },
  { error: new SlotError('m', { slotName: 's', reason: 'in-use', cause }), code: 'ERR_SLOT', retryable: true },
  { error: new ProtocolError('m', { offset: 3, tag: 'w', cause }), code: 'ERR_PROTOCOL', retryable: false },
  { error: new DecodeError('m', { offset: 3, lsn: 1n, relationId: 5, cause }), code: 'ERR_DECODE', retryable: false },
  { error: new WorkerError('m', { sequence: 1, cause }), code: 'ERR_WORKER', retryable: false },
  { error: new BackupError('m', { path: 'p', cause }), code: 'ERR_BACKUP', retryable: false },
  { error: new WorkerError('m', { sequence: 1, retryable: true, cause }), code: 'ERR_WORKER', retryable: true },
];

suite('errors', () => {
  for (const { error, code, retryable } of ERRORS) {
    test(`${error.constructor.name}, ${retryable ? 'retryable' : 'final'}`, () => {
      assert.ok(error instanceof WalStreamError && error instanceof Error);
      assert.equal(error.name, error.constructor.name);
      assert.equal(error.code, code);
      assert.equal(error.retryable, retryable);
      assert.equal(error.message, 'm');
      assert.equal(error.cause, cause);
      assert.match(String(error.stack), /errors\.test/);
      assert.match(inspect(error), new RegExp(`^${error.name}: m`));
    });
  }

  test('a mismatch says what was expected', () => {
    const error = new ManifestMismatchError('m', { path: 'base/1/1', expected: '8192 bytes', actual: '0 bytes' });
    assert.deepEqual(
      [error.code, error.name, error.retryable, error.path, error.expected, error.actual],
      ['ERR_MANIFEST_MISMATCH', 'ManifestMismatchError', false, 'base/1/1', '8192 bytes', '0 bytes'],
    );
  });

  test('without a cause there is none', () => {
    assert.ok(!('cause' in new ConfigurationError('m', { option: 'o' })));
  });

  test('of the slot errors, only in-use passes by itself', () => {
    const reasons: SlotErrorReason[] = ['in-use', 'missing', 'invalidated', 'gap'];
    assert.deepEqual(
      reasons.filter((reason) => new SlotError('m', { slotName: 's', reason }).retryable),
      ['in-use'],
    );
  });

  test('SQLSTATEs that pass by themselves', () => {
    for (const state of ['08000', '08006', '57P01', '57P02', '57P03', '53300', '55006', '40001', '40P01']) {
      assert.equal(isRetryableSqlState(state), true, state);
    }
    for (const state of ['', '28P01', '42501', '42704', '55000', '58P01', '57014', '53100', 'XX000', '3D000']) {
      assert.equal(isRetryableSqlState(state), false, state);
    }
  });
});
