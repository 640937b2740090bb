import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProgressMeter } from '../../src/backup/backup-progress.js';
import { progressJson, progressLine } from '../../src/cli/backup-progress-report.js';
import fc from '../support/properties.js';

const MIB = 1024 * 1024;

test('whatever comes, progress never goes back, never passes the whole, and ends there', () => {
  const space = fc.record({ sizeKb: fc.nat(5_000), pieces: fc.array(fc.nat(700_000), { maxLength: 12 }) });
  fc.assert(
    fc.property(fc.array(space, { minLength: 1, maxLength: 5 }), fc.boolean(), (spaces, hasManifest) => {
      const meter = new ProgressMeter(
        spaces.map(({ sizeKb }, i) => ({
          oid: i + 1 === spaces.length ? undefined : 16_384 + i,
          location: '',
          sizeKb,
        })),
      );
      let last = 0;
      let nowMs = 0;
      const look = () => {
        const {
          receivedBytes,
          expectedBytes = 0,
          tablespaces,
          remainingMs = 0,
          bytesPerSecond,
        } = meter.progress(nowMs);
        assert.ok(receivedBytes <= expectedBytes && remainingMs >= 0 && bytesPerSecond >= 0);
        for (const one of tablespaces) assert.ok(one.receivedBytes <= (one.expectedBytes ?? 0));
        const share = expectedBytes === 0 ? 0 : receivedBytes / expectedBytes;
        assert.ok(share >= last - 1e-12, `${share} after ${last}`);
        last = share;
      };
      let total = 0;
      spaces.forEach(({ pieces }, index) => {
        meter.beginArchive(index);
        look();
        for (const piece of pieces) {
          nowMs += 50;
          total += piece;
          meter.add(piece, nowMs);
          look();
        }
      });
      if (hasManifest) {
        meter.beginManifest();
        meter.add(1000, nowMs);
        look();
      }
      meter.end();
      look();
      const { receivedBytes, expectedBytes, archive } = meter.progress(nowMs);
      assert.deepEqual(
        [receivedBytes, expectedBytes, archive],
        [total, total, hasManifest ? 'backup_manifest' : undefined],
      );
    }),
  );
});

test('rate and time left are those of the last seconds', () => {
  const meter = new ProgressMeter([{ oid: undefined, location: '', sizeKb: 100 * 1024 }]);
  meter.beginArchive(0);
  // 10 MiB in the first seconds, then 1 MiB per second.
  meter.add(10 * MIB, 0);
  for (let second = 1; second <= 20; second++) meter.add(MIB, second * 1000);
  const { bytesPerSecond, remainingMs } = meter.progress(20_000);
  assert.equal(Math.round(bytesPerSecond / MIB), 1);
  assert.equal(Math.round((remainingMs ?? 0) / 1000), 70);
});

test('a server that was not asked gives no whole, and a bar none', () => {
  const meter = new ProgressMeter([{ oid: undefined, location: '', sizeKb: undefined }]);
  meter.beginArchive(0);
  meter.add(2_500_000, 0);
  const progress = meter.progress(1_000);
  assert.deepEqual([progress.expectedBytes, progress.remainingMs], [undefined, undefined]);
  assert.equal(progressLine(progress), '2.5 MB  0 B/s  base.tar');
});

test('a line for people, and one for programs', () => {
  const meter = new ProgressMeter([
    { oid: 16_385, location: '/srv/one', sizeKb: 1000 },
    { oid: undefined, location: '', sizeKb: 3000 },
  ]);
  meter.beginArchive(0);
  meter.add(0, 0);
  meter.add(1_024_000, 1000);
  meter.beginArchive(1);
  meter.add(1_024_000, 2000);
  const progress = meter.progress(2000);
  const bar = '############------------';
  assert.equal(progressLine(progress), `[${bar}] 50 %  2.0 MB of 4.1 MB  1.0 MB/s  2 s left  base.tar`);
  assert.deepEqual(JSON.parse(progressJson(progress)), {
    receivedBytes: 2_048_000,
    expectedBytes: 4_096_000,
    archive: 'base.tar',
    tablespaces: [
      { oid: 16_385, location: '/srv/one', receivedBytes: 1_024_000, expectedBytes: 1_024_000 },
      { location: '', receivedBytes: 1_024_000, expectedBytes: 3_072_000 },
    ],
    percent: 50,
    bytesPerSecond: 1_024_000,
    remainingMs: 2_000,
  });
});
