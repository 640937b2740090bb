import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigurationError } from '../../src/errors.js';
import { quoteIdentifier, quoteLiteral, quoteReplicationLiteral, quoteSlotName } from '../../src/protocol/quoting.js';
import fc from '../support/properties.js';

/** Names that break out of careless quoting. */
const HOSTILE = fc.oneof(
  fc.string({
    unit: fc.constantFrom('"', "'", '\\', '.', ',', ';', '-', '/', '*', '$', ' ', '\n', 'ä', '😀', 'A'),
    minLength: 1,
    maxLength: 15,
  }),
  fc.constantFrom('"; DROP TABLE t; --', "'; --", '/* x', '*/', "E'\\'", '$$', 'a.b', '"a"', '\\', "\\'", 'U&"x"'),
);

/** Reads one quoted token as PostgreSQL's scanners do; undefined when something is left over. */
function unquote(text: string, quote: string): string | undefined {
  if (!text.startsWith(quote) || !text.endsWith(quote) || text.length < 2) return undefined;
  const inner = text.slice(1, -1);
  const single = inner.replaceAll(quote + quote, '');
  return single.includes(quote) ? undefined : inner.replaceAll(quote + quote, quote);
}

function optionOf(option: string): (error: unknown) => boolean {
  return (error) => error instanceof ConfigurationError && error.option === option;
}

describe('quoting', () => {
  test('an identifier comes back as it went in', () => {
    fc.assert(
      fc.property(HOSTILE, (name) => {
        assert.equal(unquote(quoteIdentifier(name, 'name'), '"'), name);
      }),
    );
  });

  test('a literal of a replication command takes backslashes as they are', () => {
    fc.assert(
      fc.property(HOSTILE, (text) => {
        assert.equal(unquote(quoteReplicationLiteral(text, 'name'), "'"), text);
      }),
    );
  });

  test('an SQL literal with backslashes does not depend on standard_conforming_strings', () => {
    assert.equal(quoteLiteral("it's", 'x'), "'it''s'");
    assert.equal(quoteLiteral("\\'", 'x'), "E'\\\\'''");
    fc.assert(
      fc.property(HOSTILE, (text) => {
        const quoted = quoteLiteral(text, 'x');
        const escaped = quoted.startsWith('E');
        assert.equal(escaped, text.includes('\\'));
        const inner = unquote(escaped ? quoted.slice(1) : quoted, "'");
        assert.equal(escaped ? inner?.replaceAll('\\\\', '\\') : inner, text);
      }),
    );
  });

  test('what the server would cut, drop or change is refused, naming the option', () => {
    const refused = ['', 'a\0b', 'x'.repeat(64), 'ä'.repeat(32), '\ud800'];
    for (const name of refused) assert.throws(() => quoteIdentifier(name, 'publications'), optionOf('publications'));
    for (const text of ['\0', '\udc00']) {
      assert.throws(() => quoteLiteral(text, 'label'), optionOf('label'));
      assert.throws(() => quoteReplicationLiteral(text, 'label'), optionOf('label'));
    }
    assert.equal(quoteIdentifier('ä'.repeat(31), 'x').length, 33);
  });

  test('slot names are lower-case letters, digits and underscores', () => {
    assert.equal(quoteSlotName('orders_1', 'slot.name'), '"orders_1"');
    assert.equal(quoteSlotName('x'.repeat(63), 'slot.name').length, 65);
    for (const name of ['', 'Orders', 'a-b', 'a b', 'a"b', 'ä', 'a\n', 'x'.repeat(64)]) {
      assert.throws(() => quoteSlotName(name, 'slot.name'), optionOf('slot.name'));
    }
  });
});
