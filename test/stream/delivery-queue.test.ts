import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { DeliveryQueue } from '../../src/stream/delivery-queue.js';
import { until } from './source.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

suite('delivery queue', () => {
  test('gives items in order, then its end', async () => {
    const queue = new DeliveryQueue<number>();
    const waiting = queue.wait();
    queue.push(1);
    queue.push(2);
    await waiting;
    assert.deepEqual([queue.length, queue.ended], [2, undefined]);
    queue.end('over');
    queue.end('again');
    assert.equal(queue.push(3), false);
    assert.deepEqual([queue.take(), queue.ended, queue.take(), queue.ended], [1, undefined, 2, { error: 'over' }]);
    assert.equal(queue.take(), undefined);
    await queue.wait();
  });

  test('keeps nothing that was taken, however long it is not empty', async () => {
    const queue = new DeliveryQueue<object>();
    const taken: WeakRef<object>[] = [];
    queue.push({});
    for (let turn = 0; turn < 100; turn++) {
      queue.push({ turn });
      taken.push(new WeakRef(queue.take() as object));
    }
    assert.equal(queue.length, 1);
    await until(() => {
      collect();
      return taken.every((item) => item.deref() === undefined);
    }, 'they are collected');
  });

  test('what is dropped is given back', () => {
    const queue = new DeliveryQueue<number>();
    for (const item of [1, 2, 3]) queue.push(item);
    assert.equal(queue.take(), 1);
    assert.deepEqual(queue.clear(), [2, 3]);
    queue.push(4);
    assert.deepEqual(queue.abort('stop'), [4]);
    assert.deepEqual(queue.ended, { error: 'stop' });
  });
});
