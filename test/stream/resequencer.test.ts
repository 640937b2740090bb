import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Resequencer } from '../../src/stream/resequencer.js';
import fc from '../support/properties.js';

test('any order of completion comes out as the order of the stream, each as soon as its turn has come', () => {
  const shuffled = fc
    .integer({ min: 0, max: 60 })
    .chain((count) => fc.shuffledSubarray([...Array(count).keys()], { minLength: count, maxLength: count }));
  fc.assert(
    fc.property(shuffled, (order) => {
      const resequencer = new Resequencer<string>();
      const out: string[] = [];
      const done = new Set<number>();
      for (const sequence of order) {
        done.add(sequence);
        out.push(...resequencer.push(sequence, `item ${sequence}`));
        let turn = 0;
        while (done.has(turn)) turn++;
        assert.equal(out.length, turn);
        assert.equal(resequencer.waiting, done.size - turn);
      }
      assert.deepStrictEqual(
        out,
        order.map((_, sequence) => `item ${sequence}`),
      );
    }),
  );
});

test('a number that comes twice is an error', () => {
  const resequencer = new Resequencer<string>();
  assert.deepEqual([...resequencer.push(1, 'b')], []);
  assert.throws(() => [...resequencer.push(1, 'b')], RangeError);
  assert.deepEqual([...resequencer.push(0, 'a')], ['a', 'b']);
  assert.throws(() => [...resequencer.push(0, 'a')], RangeError);
});
