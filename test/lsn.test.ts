import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ConfigurationError } from '../src/errors.js';
import { Lsn } from '../src/lsn.js';
import fc from './support/properties.js';

const anyLsn = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });

suite('Lsn', () => {
  test('text as PostgreSQL writes it', () => {
    for (const [text, lsn] of [
      ['0/0', 0n],
      ['0/1', 1n],
      ['16/B374D848', 0x16_b374_d848n],
      ['1/0', 0x1_0000_0000n],
      ['FFFFFFFF/FFFFFFFF', 0xffff_ffff_ffff_ffffn],
    ] as const) {
      assert.equal(Lsn.parse(text), lsn);
      assert.equal(Lsn.format(lsn), text);
    }
    assert.equal(Lsn.parse('0000000a/0000000b'), 0xa_0000_000bn);
  });

  test('format is undone by parse', () => {
    fc.assert(fc.property(anyLsn, (lsn) => Lsn.parse(Lsn.format(lsn)) === lsn));
  });

  test('what is no position is not formatted', () => {
    const wrong = (error: unknown) => error instanceof ConfigurationError && error.option === 'lsn';
    for (const junk of ['0/1', 1, null, undefined, {}, Symbol('lsn'), -1n, 2n ** 64n, -(2n ** 64n)]) {
      assert.throws(() => Lsn.format(junk as never), wrong, String(junk));
    }
  });

  test('compare orders them, beyond 2^53 too', () => {
    const sign = (value: bigint) => (value < 0n ? -1 : value > 0n ? 1 : 0);
    fc.assert(fc.property(anyLsn, anyLsn, (a, b) => Lsn.compare(a, b) === sign(a - b)));
    assert.deepEqual([2n ** 63n + 1n, 1n, 2n ** 63n].sort(Lsn.compare), [1n, 2n ** 63n, 2n ** 63n + 1n]);
  });

  test('anything else is a ConfigurationError', () => {
    const wrong = (error: unknown) => error instanceof ConfigurationError && error.option === 'lsn';
    for (const text of ['', '/', '0', '0/', '/0', '0/0/0', ' 0/0', '0/0\n', '0x1/0', '123456789/0', '0/G', '-1/0']) {
      assert.throws(() => Lsn.parse(text), wrong, JSON.stringify(text));
    }
    for (const junk of [undefined, null, 1, 1n, {}, [], Symbol('lsn')]) {
      assert.throws(() => Lsn.parse(junk as never), wrong, String(junk));
    }
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          Lsn.parse(text);
          return /^[\da-f]{1,8}\/[\da-f]{1,8}$/i.test(text);
        } catch (error) {
          return wrong(error);
        }
      }),
    );
  });
});
