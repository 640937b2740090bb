import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  COUNT_VALUE,
  LSN_VALUE,
  PATH_MAPPING_VALUE,
  RATE_KB_VALUE,
  SECONDS_VALUE,
  SLOT_NAME_VALUE,
  TABLE_VALUE,
} from '../../src/cli/flag-values.js';

test('positions', () => {
  assert.equal(LSN_VALUE.parse('16/B374D848'), 0x16_b374_d848n);
  for (const text of ['', '16', '16/', 'g/0', '123456789/0', '0/1 ']) assert.equal(LSN_VALUE.parse(text), undefined);
});

test('counts', () => {
  assert.equal(COUNT_VALUE.parse('1'), 1);
  assert.equal(COUNT_VALUE.parse('999999999999999'), 999_999_999_999_999);
  for (const text of ['', '0', '-1', '1.5', '1e3', '0x1', ' 1', '9999999999999999']) {
    assert.equal(COUNT_VALUE.parse(text), undefined, text);
  }
});

test('counts with a bound', () => {
  assert.equal(SECONDS_VALUE.parse('2147483'), 2_147_483);
  for (const text of ['0', '2147484', 'x']) assert.equal(SECONDS_VALUE.parse(text), undefined, text);
});

test('names of slots', () => {
  assert.equal(SLOT_NAME_VALUE.parse('my_slot_1'), 'my_slot_1');
  for (const text of ['', 'My', 'a-b', 'é', 'a'.repeat(64)]) assert.equal(SLOT_NAME_VALUE.parse(text), undefined, text);
});

test('tables', () => {
  const tables = {
    'public.orders': { schema: 'public', table: 'orders' },
    'App.Größe': { schema: 'App', table: 'Größe' },
    '"my.app"."a""b"': { schema: 'my.app', table: 'a"b' },
    'public."a b"': { schema: 'public', table: 'a b' },
  };
  for (const [text, table] of Object.entries(tables)) assert.deepEqual(TABLE_VALUE.parse(text), table);
  for (const text of ['', 'orders', 'a.b.c', '.b', 'a.', '"a.b', '"a"b.c', 'a."b', '"".b']) {
    assert.equal(TABLE_VALUE.parse(text), undefined, text);
  }
});

test('rates', () => {
  const rates = { '32': 32, '32k': 32, '1M': 1024, '1024M': 1_048_576, '1048576': 1_048_576 };
  for (const [text, rate] of Object.entries(rates)) assert.equal(RATE_KB_VALUE.parse(text), rate, text);
  for (const text of ['', '31', '1025M', '1048577', '64K', '1.5M', '-64', 'M']) {
    assert.equal(RATE_KB_VALUE.parse(text), undefined, text);
  }
});

test('mappings of paths', () => {
  assert.deepEqual(PATH_MAPPING_VALUE.parse('/a=/b'), { from: '/a', to: '/b' });
  assert.deepEqual(PATH_MAPPING_VALUE.parse('/a\\=b=/c'), { from: '/a=b', to: '/c' });
  for (const text of ['', '/a', '/a=', '=/b', 'a=/b', '/a=b', '/a=/b=/c']) {
    assert.equal(PATH_MAPPING_VALUE.parse(text), undefined, text);
  }
});
