import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProtocolError } from '../../src/errors.js';
import { formatServerVersion, parseServerVersion } from '../../src/protocol/server-version.js';

test('server versions', () => {
  assert.equal(parseServerVersion('18.4'), 180004);
  assert.equal(parseServerVersion('17.10 (Debian 17.10-1.pgdg)'), 170010);
  assert.equal(parseServerVersion('19devel'), 190000);
  assert.equal(parseServerVersion('18beta1'), 180000);
  assert.throws(() => parseServerVersion('CockroachDB'), ProtocolError);
  assert.equal(formatServerVersion(parseServerVersion('18.4')), '18.4');
});
