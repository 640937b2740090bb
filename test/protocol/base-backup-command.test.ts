import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ConfigurationError } from '../../src/errors.js';
import { type BaseBackupRequest, baseBackup } from '../../src/protocol/base-backup-command.js';

const FULL: BaseBackupRequest = {
  label: "it's \\ here",
  checkpoint: 'fast',
  progress: true,
  wal: true,
  wait: false,
  tablespaceMap: true,
  verifyChecksums: false,
  maxRateKb: 1024,
  manifest: 'force-encode',
  manifestChecksums: 'SHA256',
};

suite('BASE_BACKUP', () => {
  test('14: keywords', () => {
    assert.equal(
      baseBackup(FULL, 140_010),
      "BASE_BACKUP LABEL 'it''s \\ here' PROGRESS FAST WAL NOWAIT MAX_RATE 1024 TABLESPACE_MAP NOVERIFY_CHECKSUMS " +
        "MANIFEST 'force-encode' MANIFEST_CHECKSUMS 'SHA256'",
    );
    const opposite: BaseBackupRequest = {
      checkpoint: 'spread',
      progress: false,
      wal: false,
      wait: true,
      tablespaceMap: false,
      verifyChecksums: true,
      manifest: 'no',
    };
    assert.equal(baseBackup(opposite, 140_010), 'BASE_BACKUP');
  });

  test('15 and later: a list, with what defaults to true said', () => {
    assert.equal(
      baseBackup(FULL, 150_000),
      "BASE_BACKUP (LABEL 'it''s \\ here', PROGRESS true, CHECKPOINT 'fast', WAL true, WAIT false, MAX_RATE 1024, " +
        "TABLESPACE_MAP true, VERIFY_CHECKSUMS false, MANIFEST 'force-encode', MANIFEST_CHECKSUMS 'SHA256')",
    );
    assert.equal(
      baseBackup({ wait: true, checkpoint: 'spread', manifest: 'no' }, 180_000),
      "BASE_BACKUP (CHECKPOINT 'spread', WAIT true, MANIFEST 'no')",
    );
    assert.equal(
      baseBackup(
        {
          target: 'server',
          targetDetail: '/b',
          compression: { method: 'gzip', detail: 'level=5' },
          incremental: true,
        },
        170_000,
      ),
      "BASE_BACKUP (TARGET 'server', TARGET_DETAIL '/b', COMPRESSION 'gzip', COMPRESSION_DETAIL 'level=5', INCREMENTAL)",
    );
  });

  test('nothing asked for', () => {
    assert.equal(baseBackup({}, 140_000), 'BASE_BACKUP');
    assert.equal(baseBackup({}, 180_000), 'BASE_BACKUP');
  });

  const REFUSED: readonly (readonly [string, BaseBackupRequest, number])[] = [
    ['target', { target: 'server' }, 140_000],
    ['compression', { compression: { method: 'lz4' } }, 140_000],
    ['compression', { compression: { method: 'zstd', detail: 'level=3,long' } }, 150_000],
    ['incrementalFrom', { incremental: true }, 160_000],
    ['target', { targetDetail: '/b' }, 180_000],
    ['maxRateKb', { maxRateKb: 31 }, 180_000],
    ['maxRateKb', { maxRateKb: 1_048_577 }, 180_000],
    ['maxRateKb', { maxRateKb: 99.5 }, 180_000],
    ['manifestChecksums', { manifestChecksums: 'CRC32C' }, 180_000],
    ['manifestChecksums', { manifest: 'no', manifestChecksums: 'CRC32C' }, 180_000],
    ['label', { label: 'a\0b' }, 180_000],
    ['label', { label: 'a\nSTART TIMELINE: 9' }, 180_000],
    ['label', { label: 'x'.repeat(1025) }, 180_000],
  ];
  for (const [option, request, version] of REFUSED) {
    test(`refused: ${JSON.stringify(request).slice(0, 60)} on ${version}`, () => {
      assert.throws(
        () => baseBackup(request, version),
        (error) => error instanceof ConfigurationError && error.option === option,
      );
    });
  }
});
