import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CopyOut, type CopyOutHandler, type CopyOutOptions } from '../../src/connection/copy-out.js';
import type { QueryResult } from '../../src/connection/query-result.js';
import type { Slab } from '../../src/connection/slab.js';
import { ConnectionError, ProtocolError, ServerError, TimeoutError } from '../../src/errors.js';
import { copyData } from '../support/pgoutput-bytes.js';
import {
  backendMessage,
  COPY_DONE,
  COPY_OUT_RESPONSE,
  errorResponse,
  int16,
  noticeResponse,
  READY_FOR_QUERY,
  resultSet,
  sessionStart,
  text,
} from './backend-bytes.js';
import { type ClientBytes, connectTo, fakeServer } from './fake-server.js';

const COMMAND = 'BASE_BACKUP';

class Recorder implements CopyOutHandler {
  readonly log: string[] = [];
  onReadBegun: (() => void) | undefined;
  isWaiting = false;

  onResult({ columns, rows, command }: QueryResult): void {
    this.log.push(`${command} ${columns} ${JSON.stringify(rows)}`);
  }
  onCopyStart(): void {
    this.log.push('start');
  }
  onCopyData(slab: Slab, start: number, end: number): void {
    this.log.push(`data ${slab.bytes.toString('latin1', start, end)}`);
  }
  onCopyDone(): void {
    this.log.push('done');
  }
  onReadEnd(): void {
    this.onReadBegun?.();
  }
  onSlabEnd(): void {}
  mayBeSilent(): boolean {
    return this.isWaiting;
  }
  onNotice({ message }: { message: string }): void {
    this.log.push(`notice ${message}`);
  }
}

async function open(
  t: TestContext,
  script: (client: ClientBytes) => Promise<void> | void,
  options: Partial<CopyOutOptions> = {},
) {
  const port = await fakeServer(t, async (client) => {
    await client.readStartup();
    client.send(sessionStart());
    const { tag, body } = await client.readMessage();
    assert.equal(`${tag} ${body}`, `Q ${COMMAND}\0`);
    await script(client);
  });
  const recorder = new Recorder();
  const copy = new CopyOut(await connectTo(port), recorder, { idleTimeoutMs: 5_000, ...options });
  return { copy, recorder };
}

const WHOLE = [
  resultSet(['recptr'], ['0/2000028']),
  noticeResponse('00000', 'early'),
  COPY_OUT_RESPONSE,
  copyData(Buffer.from('one')),
  noticeResponse('00000', 'amid'),
  copyData(Buffer.from('two')),
  COPY_DONE,
  COPY_OUT_RESPONSE,
  COPY_DONE,
  resultSet(['recptr'], ['0/2000100']),
];
const WHOLE_LOG = [
  'SELECT recptr [["0/2000028"]]',
  'notice early',
  'start',
  'data one',
  'notice amid',
  'data two',
  'done',
  'start',
  'done',
  'SELECT recptr [["0/2000100"]]',
];
const COMPLETE = backendMessage('C', text('BASE_BACKUP'));

suite('COPY OUT', () => {
  test('results, notices and COPYs in order, wherever the bytes are cut', async (t) => {
    const bytes = Buffer.concat([...WHOLE, COMPLETE, READY_FOR_QUERY]);
    for (const split of [1, 20, 70, bytes.length - 7, bytes.length - 1]) {
      const { copy, recorder } = await open(t, async (client) => {
        client.send(bytes.subarray(0, split));
        await sleep(5);
        client.send(bytes.subarray(split));
      });
      await copy.run(COMMAND);
      assert.deepEqual(recorder.log, [...WHOLE_LOG, 'BASE_BACKUP  []']);
    }
  });

  test('an error behind the last result is an error', async (t) => {
    const { copy, recorder } = await open(t, (client) =>
      client.send(...WHOLE, errorResponse('XX001', 'checksum verification failure', 'ERROR'), READY_FOR_QUERY),
    );
    await assert.rejects(copy.run(COMMAND), (error) => error instanceof ServerError && error.sqlState === 'XX001');
    assert.deepEqual(recorder.log, WHOLE_LOG);
  });

  test('an error in the middle of a COPY, with and without a word after it', async (t) => {
    for (const last of [[READY_FOR_QUERY], []]) {
      const { copy } = await open(t, (client) => {
        client.send(COPY_OUT_RESPONSE, errorResponse('57P01', 'terminating'), ...last);
        if (last.length === 0) client.socket.end();
      });
      await assert.rejects(copy.run(COMMAND), (error) => error instanceof ServerError && error.sqlState === '57P01');
    }
  });

  test('a lost connection', async (t) => {
    for (const sent of [[], [COPY_OUT_RESPONSE], WHOLE, [...WHOLE, COMPLETE]]) {
      const { copy } = await open(t, (client) => {
        client.send(...sent);
        client.socket.end();
      });
      await assert.rejects(copy.run(COMMAND), ConnectionError);
    }
  });

  test('silence in a COPY', async (t) => {
    const { copy } = await open(t, (client) => client.send(COPY_OUT_RESPONSE), { idleTimeoutMs: 60 });
    await assert.rejects(copy.run(COMMAND), (error) => error instanceof TimeoutError && error.timeoutMs === 60);
  });

  test('silence before the COPY, which a checkpoint may need, and while reading is held, is none', async (t) => {
    const { copy, recorder } = await open(
      t,
      async (client) => {
        await sleep(150);
        client.send(COPY_OUT_RESPONSE);
        await sleep(150);
        client.send(COPY_DONE, COMPLETE, READY_FOR_QUERY);
      },
      { idleTimeoutMs: 60 },
    );
    recorder.onReadBegun = () => {
      recorder.onReadBegun = undefined;
      copy.hold();
      setTimeout(() => copy.release(), 200);
    };
    await copy.run(COMMAND);
    assert.deepEqual(recorder.log, ['start', 'done', 'BASE_BACKUP  []']);
  });

  test('silence that the handler allows', async (t) => {
    const { copy, recorder } = await open(
      t,
      async (client) => {
        client.send(COPY_OUT_RESPONSE);
        await sleep(200);
        client.send(copyData(Buffer.from('late')));
      },
      { idleTimeoutMs: 60 },
    );
    recorder.isWaiting = true;
    recorder.onReadBegun = () => {
      recorder.isWaiting = !recorder.log.includes('data late');
    };
    await assert.rejects(copy.run(COMMAND), TimeoutError);
    assert.deepEqual(recorder.log, ['start', 'data late']);
  });

  test('an abort, also while reading is held', async (t) => {
    for (const held of [false, true]) {
      const abort = new AbortController();
      const { copy, recorder } = await open(t, (client) => client.send(COPY_OUT_RESPONSE), { signal: abort.signal });
      recorder.onReadBegun = () => {
        if (held) copy.hold();
        setTimeout(() => abort.abort(new Error('enough')), 10);
      };
      await assert.rejects(copy.run(COMMAND), /enough/);
    }
  });

  test('what a handler throws', async (t) => {
    const { copy, recorder } = await open(t, (client) => client.send(...WHOLE));
    recorder.onCopyData = () => {
      throw new RangeError('no');
    };
    await assert.rejects(copy.run(COMMAND), RangeError);
  });

  const OUT_OF_PLACE: Readonly<Record<string, readonly Uint8Array[]>> = {
    'CopyData before the COPY': [copyData(Buffer.from('x'))],
    'CopyData behind it': [COPY_OUT_RESPONSE, COPY_DONE, copyData(Buffer.from('x'))],
    'CopyDone before the COPY': [COPY_DONE],
    'a COPY in a COPY': [COPY_OUT_RESPONSE, COPY_OUT_RESPONSE],
    'the end inside a COPY': [COPY_OUT_RESPONSE, READY_FOR_QUERY],
    CopyBothResponse: [backendMessage('W', [0], int16(0))],
    'no message type': [backendMessage('?')],
  };
  for (const [what, messages] of Object.entries(OUT_OF_PLACE)) {
    test(`out of place: ${what}`, async (t) => {
      const { copy } = await open(t, (client) => client.send(...messages));
      await assert.rejects(copy.run(COMMAND), ProtocolError);
    });
  }
});
