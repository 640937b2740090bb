import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ReadScheduler } from '../../src/connection/read-scheduler.js';

/** A socket that only remembers whether it may be read, and a clock that stands still until told. */
function fakeSocket(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let now = 1_000;
  t.mock.method(performance, 'now', () => now);
  const socket = {
    reading: true,
    calls: [] as string[],
    pause() {
      socket.reading = false;
      socket.calls.push('pause');
    },
    resume() {
      socket.reading = true;
      socket.calls.push('resume');
    },
  };
  const scheduler = new ReadScheduler(socket);
  const wait = (ms: number) => {
    now += ms;
    t.mock.timers.tick(ms);
  };
  return { socket, scheduler, wait };
}

const MUCH = 1024 * 1024;

/** Until reads are paced. */
function makeBusy({ scheduler, wait }: ReturnType<typeof fakeSocket>): void {
  wait(10);
  scheduler.onRead(MUCH, true);
  assert.ok(scheduler.delayMs > 0);
}

test('little at a time is read at once: the socket is never paused', (t) => {
  const { socket, scheduler, wait } = fakeSocket(t);
  for (let read = 0; read < 100; read++) {
    wait(1);
    scheduler.onRead(300, true);
  }
  assert.equal(scheduler.delayMs, 0);
  assert.deepEqual(socket.calls, []);
});

test('much pauses the socket for the delay, after the kernel was emptied', (t) => {
  const fake = fakeSocket(t);
  const { socket, scheduler, wait } = fake;
  wait(10);
  scheduler.onRead(MUCH, false);
  assert.equal(socket.reading, true, 'there is more to read');
  scheduler.onRead(MUCH, true);
  assert.equal(socket.reading, false);
  const { delayMs } = scheduler;
  wait(delayMs - 1);
  assert.equal(socket.reading, false);
  wait(2);
  assert.equal(socket.reading, true);
});

test('when little comes, reads are at once again', (t) => {
  const fake = fakeSocket(t);
  makeBusy(fake);
  const { socket, scheduler, wait } = fake;
  for (let read = 0; read < 20 && scheduler.delayMs > 0; read++) {
    wait(200);
    scheduler.onRead(100, true);
  }
  assert.equal(scheduler.delayMs, 0);
  assert.equal(socket.reading, true);
});

test('held means held: no timer resumes it', (t) => {
  const fake = fakeSocket(t);
  const { socket, scheduler, wait } = fake;
  makeBusy(fake);
  scheduler.hold();
  assert.equal(scheduler.held, true);
  wait(1_000);
  assert.equal(socket.reading, false);
  // Bytes that were on their way change nothing.
  scheduler.onRead(MUCH, true);
  wait(1_000);
  assert.equal(socket.reading, false);
  scheduler.hold();
  scheduler.release();
  assert.equal(scheduler.held, false);
  assert.equal(socket.reading, true);
  scheduler.release();
});

test('bytes that come while it sleeps leave no second timer behind', (t) => {
  const fake = fakeSocket(t);
  const { socket, scheduler, wait } = fake;
  makeBusy(fake);
  wait(1);
  scheduler.onRead(MUCH, true);
  scheduler.hold();
  wait(1_000);
  assert.equal(socket.reading, false);
});

test('the time in which it was held does not count as silence of the server', (t) => {
  const fake = fakeSocket(t);
  const { scheduler, wait } = fake;
  makeBusy(fake);
  scheduler.hold();
  wait(60_000);
  scheduler.release();
  wait(10);
  scheduler.onRead(MUCH, true);
  assert.ok(scheduler.delayMs > 0);
});

test('stop() reads at once from then on, whatever comes', (t) => {
  const fake = fakeSocket(t);
  const { socket, scheduler, wait } = fake;
  makeBusy(fake);
  scheduler.stop();
  assert.equal(socket.reading, true);
  wait(10);
  scheduler.onRead(MUCH, true);
  scheduler.hold();
  assert.equal(socket.reading, true);
  const calls = socket.calls.length;
  wait(1_000);
  assert.equal(socket.calls.length, calls);
});

test('stop() lets go of a socket that was held', (t) => {
  const { socket, scheduler } = fakeSocket(t);
  scheduler.hold();
  scheduler.stop();
  assert.equal(socket.reading, true);
});
