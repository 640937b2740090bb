import assert from 'node:assert/strict';
import { once } from 'node:events';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CopyBoth, type CopyBothHandler, type CopyBothOptions } from '../../src/connection/copy-both.js';
import type { ServerNotice } from '../../src/connection/server-error.js';
import type { Slab } from '../../src/connection/slab.js';
import { ConnectionError, ProtocolError, ServerError, TimeoutError } from '../../src/errors.js';
import { copyData } from '../support/pgoutput-bytes.js';
import {
  backendMessage,
  COPY_DONE,
  errorResponse,
  int16,
  int32,
  noticeResponse,
  READY_FOR_QUERY,
  sessionStart,
  text,
} from './backend-bytes.js';
import { type ClientBytes, connectTo, fakeServer } from './fake-server.js';

const COPY_BOTH_RESPONSE = backendMessage('W', [0], int16(0));
const COMMAND_COMPLETE = backendMessage('C', text('COPY 0'));
const COMMAND = 'START_REPLICATION SLOT "s" LOGICAL 0/0';

class Recorder implements CopyBothHandler {
  readonly payloads: Buffer[] = [];
  readonly notices: ServerNotice[] = [];
  readonly ends: unknown[] = [];
  readonly rows: (readonly (string | null)[])[] = [];
  bytes = 0;
  #wake: (() => void) | undefined;

  onCopyData(slab: Slab, start: number, end: number): void {
    this.payloads.push(Buffer.from(slab.bytes.subarray(start, end)));
  }
  onReadEnd(byteCount: number): void {
    this.bytes += byteCount;
    this.#wake?.();
  }
  onSlabEnd(): void {}
  onNotice(notice: ServerNotice): void {
    this.notices.push(notice);
    this.#wake?.();
  }
  onRow(values: readonly (string | null)[]): void {
    this.rows.push(values);
  }
  onEnd(error: unknown): void {
    this.ends.push(error);
    this.#wake?.();
  }
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** Connects to a server that does as `script` says once it has got the command. */
async function open(
  t: TestContext,
  script: (client: ClientBytes) => Promise<void> | void,
  options?: CopyBothOptions,
  recorder = new Recorder(),
) {
  const port = await fakeServer(t, async (client) => {
    await client.readStartup();
    client.send(sessionStart());
    const { tag, body } = await client.readMessage();
    assert.equal(tag, 'Q');
    assert.equal(body.toString(), `${COMMAND}\0`);
    await script(client);
  });
  const copy = await CopyBoth.start(await connectTo(port), COMMAND, recorder, options);
  t.after(() => copy.destroy());
  return { copy, recorder, port };
}

suite('streaming', () => {
  test('payloads, whatever way the bytes come', async (t) => {
    const payloads = ['', 'a', 'payload', 'x'.repeat(3000)].map((payload) => Buffer.from(payload));
    const bytes = Buffer.concat([COPY_BOTH_RESPONSE, ...payloads.map(copyData)]);
    for (const split of [1, 5, 6, 8, bytes.length - 1]) {
      const { copy, recorder } = await open(t, async (client) => {
        client.send(bytes.subarray(0, split));
        await sleep(10);
        client.send(bytes.subarray(split));
      });
      await recorder.until(() => recorder.payloads.length === payloads.length);
      assert.deepStrictEqual(recorder.payloads, payloads);
      assert.ok(copy.reads >= 1 && copy.bytesRead >= recorder.bytes);
      assert.equal(recorder.ends.length, 0);
    }
  });

  const NEXT_TIMELINE = Buffer.concat([
    backendMessage('D', int16(2), int32(1), Buffer.from('2'), int32(9), Buffer.from('0/3000000')),
    COMMAND_COMPLETE,
    READY_FOR_QUERY,
  ]);

  test('a timeline that ends: the server ends the COPY first, and says what follows', async (t) => {
    let answer = '';
    const { recorder } = await open(t, async (client) => {
      client.send(Buffer.concat([COPY_BOTH_RESPONSE, copyData(Buffer.from('last')), COPY_DONE]));
      answer = (await client.readMessage()).tag;
      client.send(NEXT_TIMELINE);
    });
    await recorder.until(() => recorder.ends.length > 0);
    assert.equal(answer, 'c');
    assert.deepEqual(recorder.rows, [['2', '0/3000000']]);
    assert.deepEqual(recorder.ends, [undefined]);
  });

  test('a timeline with nothing more on it: there is a row and no COPY', async (t) => {
    const { recorder } = await open(t, (client) => void client.send(NEXT_TIMELINE));
    await recorder.until(() => recorder.ends.length > 0);
    assert.deepEqual(recorder.rows, [['2', '0/3000000']]);
    assert.deepEqual(recorder.ends, [undefined]);
    assert.deepEqual(recorder.payloads, []);
  });

  test('hold() makes the server wait, release() goes on', async (t) => {
    const { copy, recorder } = await open(t, async (client) => {
      client.send(COPY_BOTH_RESPONSE);
      await client.readMessage();
      client.send(copyData(Buffer.from('after')));
    });
    copy.hold();
    assert.equal(copy.held, true);
    copy.send(Buffer.from('go'));
    await sleep(50);
    assert.equal(recorder.payloads.length, 0);
    copy.release();
    await recorder.until(() => recorder.payloads.length === 1);
  });

  test('what is sent is CopyData', async (t) => {
    let got: { tag: string; body: Buffer } | undefined;
    const { copy, recorder } = await open(t, async (client) => {
      client.send(COPY_BOTH_RESPONSE);
      got = await client.readMessage();
      client.send(copyData(Buffer.from('thanks')));
    });
    copy.send(Buffer.from('status'));
    await recorder.until(() => recorder.payloads.length === 1);
    assert.deepStrictEqual(got, { tag: 'd', body: Buffer.from('status') });
  });

  test('a server that reads nothing is congested, until it reads again', async (t) => {
    let reading: (() => void) | undefined;
    const { copy } = await open(t, (client) => {
      client.send(COPY_BOTH_RESPONSE);
      reading = () => client.socket.resume();
    });
    const payload = Buffer.alloc(256 * 1024);
    for (let sent = 0; sent < 200; sent++) copy.send(payload);
    await sleep(200);
    assert.equal(copy.congested, true);
    reading?.();
    for (let patience = 0; copy.congested && patience < 500; patience++) await sleep(10);
    assert.equal(copy.congested, false);
  });

  test('a notice is told, and the stream goes on', async (t) => {
    const notice = noticeResponse('55000', 'skipped', 'WARNING');
    const { recorder } = await open(t, (client) => {
      client.send(COPY_BOTH_RESPONSE, notice, copyData(Buffer.from('x')));
    });
    await recorder.until(() => recorder.payloads.length === 1);
    assert.equal(recorder.notices[0]?.sqlState, '55000');
  });
});

suite('start', () => {
  test('is rejected by the error of the server', async (t) => {
    const script = (client: ClientBytes) =>
      client.send(errorResponse('55006', 'slot is active', 'ERROR'), READY_FOR_QUERY);
    await assert.rejects(open(t, script), (error) => error instanceof ServerError && error.sqlState === '55006');
  });

  test('is rejected when the server hangs up, sends CopyData at once or sends nonsense', async (t) => {
    await assert.rejects(
      open(t, (client) => void client.socket.destroy()),
      ConnectionError,
    );
    await assert.rejects(
      open(t, (client) => client.send(copyData(Buffer.from('x')))),
      ProtocolError,
    );
    await assert.rejects(
      open(t, (client) => client.send(Buffer.from('\x01\0\0\0\x04'))),
      ProtocolError,
    );
  });

  test('is bounded in time, and can be aborted', async (t) => {
    await assert.rejects(
      open(t, () => {}, { timeoutMs: 50 }),
      (error) => error instanceof TimeoutError && error.phase === 'streaming',
    );
    const abort = new AbortController();
    const reason = new Error('enough');
    setTimeout(() => abort.abort(reason), 30);
    await assert.rejects(
      open(t, () => {}, { signal: abort.signal }),
      (error) => error === reason,
    );
  });
});

suite('the end', () => {
  test('by an error of the server: that is the reason, not the closed connection', async (t) => {
    const { recorder } = await open(t, (client) => {
      client.send(COPY_BOTH_RESPONSE, errorResponse('57P01', 'terminating'));
      client.socket.end();
    });
    await recorder.until(() => recorder.ends.length > 0);
    const [error] = recorder.ends;
    assert.ok(error instanceof ServerError && error.sqlState === '57P01' && error.retryable);
  });

  test('by a closed connection', async (t) => {
    const { recorder } = await open(t, (client) => {
      client.send(COPY_BOTH_RESPONSE);
      client.socket.end();
    });
    await recorder.until(() => recorder.ends.length > 0);
    await sleep(30);
    assert.equal(recorder.ends.length, 1);
    const [error] = recorder.ends;
    assert.ok(error instanceof ConnectionError && error.phase === 'streaming' && error.retryable);
  });

  test('by the server, orderly', async (t) => {
    const { recorder } = await open(t, (client) => {
      client.send(COPY_BOTH_RESPONSE, COPY_DONE, COMMAND_COMPLETE, READY_FOR_QUERY);
    });
    await recorder.until(() => recorder.ends.length > 0);
    assert.deepStrictEqual(recorder.ends, [undefined]);
  });

  test('by bytes that are no message, after those that are', async (t) => {
    const { recorder } = await open(
      t,
      (client) =>
        client.send(COPY_BOTH_RESPONSE, copyData(Buffer.from('x')), Buffer.from('d\x7f\xff\xff\xff', 'latin1')),
      { maxMessageBytes: 1000 },
    );
    await recorder.until(() => recorder.ends.length > 0);
    assert.equal(recorder.payloads.length, 1);
    assert.ok(recorder.ends[0] instanceof ProtocolError);
  });

  test('by what the handler throws', async (t) => {
    const recorder = new Recorder();
    const thrown = new RangeError('enough');
    recorder.onCopyData = () => {
      throw thrown;
    };
    const script = (client: ClientBytes) => client.send(COPY_BOTH_RESPONSE, copyData(Buffer.from('x')));
    await open(t, script, undefined, recorder);
    await recorder.until(() => recorder.ends.length > 0);
    assert.deepStrictEqual(recorder.ends, [thrown]);
  });
});

suite('finish()', () => {
  test('sends CopyDone after what was sent before, discards what comes, and waits for the server', async (t) => {
    const tags: string[] = [];
    let closed: Promise<unknown> | undefined;
    const { copy, recorder } = await open(t, async (client) => {
      closed = once(client.socket, 'close');
      client.send(COPY_BOTH_RESPONSE);
      tags.push((await client.readMessage()).tag, (await client.readMessage()).tag);
      client.send(copyData(Buffer.from('too late')), COPY_DONE, COMMAND_COMPLETE, READY_FOR_QUERY);
    });
    copy.hold();
    copy.send(Buffer.from('final status'));
    await copy.finish(5_000);
    await closed;
    assert.deepEqual(tags, ['d', 'c']);
    assert.deepEqual(recorder.payloads, []);
    assert.deepEqual(recorder.ends, []);
  });

  test('does not wait for a server that says nothing', async (t) => {
    const { copy } = await open(t, (client) => client.send(COPY_BOTH_RESPONSE));
    const startedAt = performance.now();
    await copy.finish(50);
    assert.ok(performance.now() - startedAt < 3_500);
  });

  test('ends when the server hangs up', async (t) => {
    const { copy } = await open(t, async (client) => {
      client.send(COPY_BOTH_RESPONSE);
      await client.readMessage();
      client.socket.destroy();
    });
    await copy.finish(5_000);
    await copy.finish(5_000);
  });
});
