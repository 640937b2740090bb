import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as nextTick } from 'node:timers/promises';
import { Output, OutputClosedError } from '../../src/cli/output.js';

/** Takes nothing until it is told to, with an error or without. */
class HeldStream extends Writable {
  taken = '';
  #release: ((error?: Error) => void) | undefined;

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error) => void): void {
    this.#release = (error) => {
      if (error === undefined) this.taken += chunk.toString();
      callback(error);
    };
  }

  async release(error?: Error): Promise<void> {
    this.#release?.(error);
    await nextTick();
  }
}

const withCode = (code: string) => Object.assign(new Error(code), { code });

test('a write has ended when the text was taken', async () => {
  const stream = new HeldStream();
  let written = false;
  const write = new Output(stream).write('one').then(() => {
    written = true;
  });
  await nextTick();
  assert.equal(written, false);
  await stream.release();
  await write;
  assert.equal(stream.taken, 'one');
});

test('a reader that has gone is told apart from other failures', async () => {
  for (const [error, closed] of [
    [withCode('EPIPE'), true],
    [withCode('ENOSPC'), false],
  ] as const) {
    const stream = new HeldStream();
    const output = new Output(stream);
    const check = (thrown: unknown) => thrown instanceof OutputClosedError === closed && thrown instanceof Error;
    const first = assert.rejects(output.write('one'), check);
    await stream.release(error);
    await first;
    assert.equal(output.closed, closed);
    await assert.rejects(output.write('two'), check);
  }
});

test('an abort does not wait for the reader', async () => {
  const abort = new AbortController();
  const write = new Output(new HeldStream()).write('one', abort.signal);
  abort.abort('enough');
  await assert.rejects(write, (reason) => reason === 'enough');
  await assert.rejects(new Output(new HeldStream()).write('one', abort.signal), (reason) => reason === 'enough');
});
