import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failureLine } from '../../src/cli/failure-line.js';

test('one line, whatever was thrown', () => {
  const suppressed = Object.assign(new Error('while closing'), { suppressed: new Error('the reason') });
  const cases: [unknown, string][] = [
    [new Error('a\n  b\u001b[2J\u0085c'), 'a   b [2J c'],
    [new AggregateError([new Error('first'), new Error('second')]), 'first'],
    [new RangeError(''), 'RangeError'],
    [suppressed, 'the reason'],
    ['text', 'text'],
    [undefined, 'undefined'],
  ];
  for (const [thrown, line] of cases) assert.equal(failureLine(thrown), `pg-walstream: ${line}\n`);
});
